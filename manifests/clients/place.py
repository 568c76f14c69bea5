"""The computer and project that an installation is for. All of it is passed in: tests describe other computers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

System = Literal["linux", "darwin", "windows"]
Scope = Literal["user", "project"]
_SYSTEMS: Mapping[str, System] = {"darwin": "darwin", "win32": "windows"}  # others keep their files as Linux does


@dataclass(frozen=True)
class Place:
    """`project` is the folder that `--scope project` means, `prefix` is sys.prefix: where this server is installed."""

    system: System
    home: Path
    environment: Mapping[str, str]
    project: Path
    prefix: Path

    def program(self, name: str) -> Path | None:
        """An executable on the PATH, as an absolute path."""
        found = shutil.which(name, path=self.environment.get("PATH", ""))
        return Path(found).absolute() if found else None

    def path(self, template: str) -> Path:
        """A path such as "{config}/zed/settings.json", see `_base`."""
        first, _, rest = template.partition("/")
        return self._base(first.strip("{}")) / rest

    def exists(self, template: str) -> bool:
        """Whether there is something at such a path; what lies in a folder that this user may not look into is not."""
        return os.path.exists(self.path(template))  # noqa: PTH110 - never raises

    def state(self) -> Path:
        """Where this server keeps what outlives it: the same folder as its jobs."""
        if self.system == "windows":
            return self._either("LOCALAPPDATA", "AppData/Local") / "internvl-mcp"
        return self._either("XDG_STATE_HOME", ".local/state") / "internvl-mcp"

    def _base(self, name: str) -> Path:
        bases = {
            "project": self.project,
            "home": self.home,
            "config": self._either("XDG_CONFIG_HOME", ".config"),
            "flatpak_config": self._either("FLATPAK_XDG_CONFIG_HOME", "")
            if self.environment.get("FLATPAK_XDG_CONFIG_HOME")
            else self._either("XDG_CONFIG_HOME", ".config"),
            "appdata": self._either("APPDATA", "AppData/Roaming"),
            "localappdata": self._either("LOCALAPPDATA", "AppData/Local"),
            # These clients let a variable move what they keep.
            "claude": self._either("CLAUDE_CONFIG_DIR", ""),
            "claude_folder": self._either("CLAUDE_CONFIG_DIR", ".claude"),
            "codex": self._either("CODEX_HOME", ".codex"),
            "gemini": self._either("GEMINI_CLI_HOME", ""),
        }
        return bases[name]

    def _either(self, variable: str, below_home: str) -> Path:
        value = self.environment.get(variable)
        return self.project / value if value else self.home / below_home


def here(environment: Mapping[str, str] = os.environ) -> Place:
    """This computer, this folder."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    return Place(_SYSTEMS.get(sys.platform, "linux"), home, environment, Path.cwd(), Path(sys.prefix))
