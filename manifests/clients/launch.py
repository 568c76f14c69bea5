"""How a client's entry starts the server: words that go on working when this process has ended.

user scope      the console script where it is installed; `uvx internvl-mcp` where it runs from uv's cache, which uv may
                empty; `npx` where it runs from another cache
project scope   `npx` with the version: the file is shared with people who have it installed elsewhere, or not at all

Never `python -m`: a client starts servers inside the user's project, whose `tools` folder Python would import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.clients.place import Place, Scope
from manifests.descriptor import Descriptor
from manifests.errors import InstallError

# Folders of environments that a package manager makes for one run: uv's and pipx's caches.
_UV_CACHE = ("archive-v", "environments-v", "builds-v")


@dataclass(frozen=True)
class Launch:
    """The program and its words. `flags` are the server's own and come last; None: keep those of an earlier entry."""

    words: tuple[str, ...]
    flags: tuple[str, ...] | None = None

    def with_flags(self, flags: Sequence[str]) -> Launch:
        return Launch(self.words, tuple(flags))

    @property
    def command(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> list[str]:
        return [*self.words[1:], *(self.flags or ())]


def launch_for(place: Place, scope: Scope, descriptor: Descriptor) -> Launch:
    """Raises InstallError (no_command) where nothing is installed that a client could start."""
    if scope == "project":
        return Launch(_npx(place, "npx", descriptor))
    script = _script(place, descriptor.command)
    if not is_ephemeral(place.prefix) and script is not None:
        return Launch((str(script),))
    uvx, npx = place.program("uvx"), place.program("npx")
    if uvx is not None:
        return Launch((str(uvx), descriptor.pypi))
    if npx is not None:
        return Launch(_npx(place, str(npx), descriptor))
    raise InstallError(
        "no_command",
        f"there is no {descriptor.command} that a client could start: it runs from a folder that does not last",
        f"Install it with `uv tool install {descriptor.pypi}` or `pipx install {descriptor.pypi}` and run this again, "
        "or say what to start: --command 'WORDS'.",
    )


def flags_in(words: Sequence[str], descriptor: Descriptor) -> tuple[str, ...]:
    """The server's own flags in an entry that some installation made: what follows the word that names the server."""
    names = {descriptor.command, descriptor.pypi, descriptor.npm}
    for index in range(len(words) - 1, -1, -1):
        word = words[index].replace("\\", "/").rsplit("/", 1)[-1]
        if word.removesuffix(".exe").partition("@")[0].partition("=")[0].partition("[")[0] in names:
            return tuple(words[index + 1 :])
    return ()


def _npx(place: Place, npx: str, descriptor: Descriptor) -> tuple[str, ...]:
    words = (npx, *descriptor.launcher[1:])
    # On Windows npx is a script of the command interpreter, which clients do not start by themselves. It is named by
    # its name alone: the interpreter loses the quotes where more than one word of its line needs them.
    return ("cmd", "/c", "npx", *words[1:]) if place.system == "windows" else words


def _script(place: Place, command: str) -> Path | None:
    folder, name = ("Scripts", f"{command}.exe") if place.system == "windows" else ("bin", command)
    script = place.prefix / folder / name
    return script if script.is_file() else place.program(command)


def is_ephemeral(prefix: Path) -> bool:
    in_uv_cache = any(part.startswith(_UV_CACHE) for part in prefix.parts)
    # Below ~/.cache on Linux, ~/Library/Caches on a Mac, AppData on Windows.
    in_pipx_cache = "pipx" in prefix.parts and not {".cache", "Caches", "Cache"}.isdisjoint(prefix.parts)
    return in_uv_cache or in_pipx_cache
