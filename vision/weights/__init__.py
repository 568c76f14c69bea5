"""Checkpoints on this machine: fetched from a hub, found again, and looked over before a model is built from them."""
