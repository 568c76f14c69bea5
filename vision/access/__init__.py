"""Where pictures come from: the policy, and the only code that opens a client's path or address."""
