"""How it is seen: access policy, media, text recognition, engines and the service that joins them."""
