"""Starts the server in a .mcpb bundle. The arguments are the folders that may be read.

A host gives a list of folders as so many arguments, and the server wants `--root` before each. The folder that the host
is in may not be read, unless it is among them: a desktop program is started in any folder.
"""

import sys
from pathlib import Path

from mcp_server.cli import main


def flags(folders: list[str]) -> list[str]:
    """The server's flags for these folders, without those that are not there: not everybody has the suggested ones."""
    there = [folder for folder in folders if Path(folder).is_dir()]
    return ["--use-working-directory", "no", *(word for folder in there for word in ("--root", folder))]


if __name__ == "__main__":
    sys.exit(main(flags(sys.argv[1:])))
