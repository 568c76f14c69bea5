"""How agents install the server: descriptors rendered for each client."""
