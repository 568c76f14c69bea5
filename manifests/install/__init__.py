"""Putting the server's entry into clients' settings and taking it out again: plan, show, apply."""
