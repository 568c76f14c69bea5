"""Servers that other people wrote, run with the selector's numbers: what they can serve, how it is cut, the command."""
