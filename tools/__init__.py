"""What an agent can ask: one file a tool, without protocol and without decoders."""
