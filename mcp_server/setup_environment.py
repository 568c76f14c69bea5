"""The Python environment that runs, and how the model's packages come into it.

Into one that lasts they are installed where it stands: by uv where there is one, which knows torch's builds, else by
pip. uv's tools are installed anew with the extra, or the next `uv tool upgrade` would drop it. An environment in uv's
cache does not last: the server becomes a tool of uv's first. A Python that the system manages is left alone.
"""

from __future__ import annotations

import json
import shlex
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

from manifests.clients.launch import is_ephemeral
from manifests.descriptor import descriptor
from mcp_server.setup_facts import Facts
from mcp_server.torch_builds import Build
from vision.types import Frozen

Kind = Literal["uv tool", "uvx", "pipx", "npm", "venv", "conda", "managed", "system"]
_TITLES: dict[Kind, str] = {
    "uv tool": "an environment of uv's for this tool",
    "uvx": "an environment in uv's cache, which does not last",
    "pipx": "an environment of pipx's",
    "npm": "the environment of the npm package",
    "venv": "a virtual environment",
    "conda": "a conda environment",
    "managed": "the system's own Python, which its package manager looks after",
    "system": "a Python that is shared with other programs",
}


class Environment(Frozen):
    kind: Kind
    prefix: Path
    python: Path

    @property
    def title(self) -> str:
        return f"{_TITLES[self.kind]} ({self.prefix})"


class Install(Frozen):
    """The commands that install the packages. `by_us`: whether setup may run them; `note`: what is to be known.

    `elsewhere`: the program that is there afterwards and goes on, where that is not this one.
    """

    commands: tuple[tuple[str, ...], ...]
    by_us: bool = True
    note: str = ""
    elsewhere: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(shlex.join(command) for command in self.commands)


def environment_of(facts: Facts) -> Environment:
    prefix = facts.place.prefix
    if facts.place.system != "windows":
        python = prefix / "bin" / "python"
    else:
        python = prefix / "Scripts" / "python.exe" if _venv(prefix) else prefix / "python.exe"
    return Environment(kind=_kind(facts), prefix=prefix, python=python)


def _venv(prefix: Path) -> bool:
    return (prefix / "pyvenv.cfg").is_file()


def _kind(facts: Facts) -> Kind:
    prefix = facts.place.prefix
    if (prefix / "uv-receipt.toml").is_file():
        return "uv tool"
    if is_ephemeral(prefix):
        return "uvx"
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx"
    if prefix.parent.name == descriptor().name and prefix.name.startswith("env-"):
        return "npm"
    if _venv(prefix):
        return "venv"
    if (prefix / "conda-meta").is_dir():
        return "conda"
    return "managed" if (facts.stdlib / "EXTERNALLY-MANAGED").is_file() else "system"


def uv_of(facts: Facts) -> Path | None:
    """uv, which tells programs that it runs where it is; the npm package's environment may hold one of its own."""
    if told := facts.place.environment.get("UV"):
        return Path(told)
    own = facts.place.prefix / ("Scripts/uv.exe" if facts.place.system == "windows" else "bin/uv")
    return facts.place.program("uv") or (own if own.is_file() else None)


def install_for(environment: Environment, build: Build, facts: Facts, *, replace: bool) -> Install:
    """How torch and the extra come here. `replace`: another torch is here, which has to go."""
    uv = uv_of(facts)
    again = ("--reinstall-package", "torch") if replace else ()
    if environment.kind in ("uv tool", "uvx", "managed"):
        tool = (str(uv or "uv"), "tool", "install", "--torch-backend", build.backend, *again, _as_tool(facts))
        return _tool(environment, facts, tool)
    note = _NOTES.get(environment.kind, "")
    if uv is not None:
        to = ("--python", str(environment.python), "--torch-backend", build.backend, *again)
        return Install(commands=((str(uv), "pip", "install", *to, _pinned()),), note=note)
    if build.by_uv or PathFinder.find_spec("pip", facts.packages) is None:
        to = ("--python", str(environment.python), "--torch-backend", build.backend, *again)
        lacks = "Which build this hardware needs, uv finds out" if build.by_uv else "This environment has no pip"
        wanted = f"{lacks}: install uv (https://docs.astral.sh/uv/) and run setup again."
        return Install(commands=(("uv", "pip", "install", *to, _pinned()),), by_us=False, note=wanted)
    return Install(commands=_by_pip(environment, build, replace), note=note)


_NOTES: dict[Kind, str] = {
    "pipx": "`pipx reinstall` leaves these out: run setup again after it.",
    "npm": "A newer version of the npm package has an environment of its own: run setup again after an update.",
}


def _tool(environment: Environment, facts: Facts, command: tuple[str, ...]) -> Install:
    if environment.kind == "managed":
        return Install(
            commands=(command, (descriptor().command, "setup")),
            by_us=False,
            note="The system's Python is its package manager's: give the server an environment of its own.",
        )
    if uv_of(facts) is None:
        return Install(commands=(command,), by_us=False, note="uv is not on the PATH.")
    if environment.kind == "uv tool" and facts.place.system == "windows":
        again = (descriptor().command, "setup")
        return Install(commands=(command, again), by_us=False, note="Windows lets no program replace its own files.")
    return Install(commands=(command,), elsewhere=environment.kind == "uvx")


def _by_pip(environment: Environment, build: Build, replace: bool) -> tuple[tuple[str, ...], ...]:
    """torch first where it comes from an index of its own: pip would take PyPI's for one and the same."""
    pip = (str(environment.python), "-m", "pip", "install")
    extra = (*pip, _pinned())
    again = ("--force-reinstall",) if replace else ()
    if build.index is None:
        return ((*pip, *again, "torch>=2.9,<3"), extra) if replace else (extra,)
    return ((*pip, *again, "torch>=2.9,<3", "--index-url", build.index), extra)


def _pinned() -> str:
    """The extra of the version that is here, so that nothing else of it is fetched."""
    about = descriptor()
    return f"{about.pypi}[local]=={about.version}"


def _as_tool(facts: Facts) -> str:
    """From where this one came: a wheel or repository that was named, else the package index."""
    about = descriptor()
    found = facts.distribution(about.pypi)
    text = found.read_text("direct_url.json") if found is not None else None
    origin = json.loads(text) if text else {}
    if "vcs_info" in origin:
        return f"{about.pypi}[local] @ git+{origin['url']}@{origin['vcs_info']['commit_id']}"
    return f"{about.pypi}[local] @ {origin['url']}" if origin.get("url") else _pinned()
