"""Edits of settings files that touch no byte but those of one entry."""
