"""A model that somebody else serves: what the server can do, whether it is well, which of several is asked."""
