"""The clients this server can be put into: where each keeps its servers, and how an entry looks there.

Their names stand here so that the command line can list them without loading what they need.
"""

NAMES = ("claude-code", "claude-desktop", "codex", "cursor", "vscode", "gemini", "windsurf", "zed", "opencode")
