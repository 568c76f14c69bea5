"""The caller's JSON Schema (2020-12): what it asks for, what text becomes under it, what is valid."""
