"""The protocol: MCP app, transports and the command line. Knows nothing of pixels."""

__version__ = "0.1.0"
