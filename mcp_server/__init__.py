"""The protocol: MCP app, transports and the command line. Knows nothing of pixels."""
