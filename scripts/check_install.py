"""Our installer with the real Claude Code, Codex and Gemini CLI: installed, they connect and list the server; after the
uninstall their files are as before, byte for byte.

scripts/check_clients.py calls it, each check with a scratch HOME. The files hold comments where their client reads
them, unknown keys and other servers, or are missing, empty, read-only or broken.

A client may write to its file while it runs. What is left is then compared with what the same client makes of the same
file without us, and that is said.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.client_place import CheckFailed, Place
from scripts.codex_server import listed_tools
from tools.catalogue import TOOLS

_COMMAND = str(Path(sys.executable).parent / "internvl-mcp")
# What Claude Code makes up anew in every HOME.
_OWN = re.compile(rb'"(firstStartTime|machineID|userID)": "[^"]*"')


@dataclass(frozen=True)
class Installed:
    """A client: its program, its file in the HOME, texts that may stand there, and how it is asked for our server."""

    target: str
    program: str
    file: str
    typical: bytes
    broken: bytes
    connects: Callable[[Place], str]


def _claude(place: Place) -> str:
    answer = place.run([place.client("claude"), "mcp", "list"]).out
    if not re.search(r"^internvl: .*Connected", answer, re.MULTILINE):
        raise CheckFailed(f"claude mcp list printed:\n{answer}")
    return "Connected"


def _codex(place: Place) -> str:
    program = place.client("codex")
    listed = {server["name"]: server for server in json.loads(place.run([program, "mcp", "list", "--json"]).out)}
    if listed.get("internvl", {}).get("startup_timeout_sec") != 30:
        raise CheckFailed(f"codex mcp list: {listed}")
    place.run([program, "mcp", "get", "internvl"])
    tools = listed_tools(place, "internvl")
    if tools != {tool.name for tool in TOOLS}:
        raise CheckFailed(f"codex app-server lists {sorted(tools)}")
    return f"{len(tools)} tools"


def _gemini(place: Place) -> str:
    trusted = place.home / ".gemini" / "trustedFolders.json"
    trusted.write_text(json.dumps({str(place.project): "TRUST_FOLDER"}))
    answer = "\n".join(place.run([place.client("gemini"), "mcp", "list"]))
    if not re.search(r"internvl: .*(?<!Dis)Connected", answer, re.IGNORECASE) or "Disconnected" in answer:
        raise CheckFailed(f"gemini mcp list printed:\n{answer}")
    return "Connected"


CLAUDE = Installed(
    "claude-code",
    "claude",
    ".claude.json",
    b'{\n    "unknown": {"deep": [1, 2.50, 1e+3, null]},\n    "mcpServers": {\n'
    b'        "other": {"command": "true", "env": {"TOKEN": "theirs"}}\n    },\n    "numStartups": 7\n}',
    b'{"mcpServers": {',
    _claude,
)
CODEX = Installed(
    "codex",
    "codex",
    ".codex/config.toml",
    b'# my settings\r\nmodel = "gpt-5"   # the one\r\n\r\n[mcp_servers.off]   # not ours\r\ncommand = "true"\r\n'
    b"args = [\r\n  \"a\", # a comment\r\n]\r\nenabled = false\r\n\r\n[desktop.unknown]\r\nkey = 'kept'\r\n# the end",
    b"[mcp_servers.other\n",
    _codex,
)
GEMINI = Installed(
    "gemini",
    "gemini",
    ".gemini/settings.json",
    b'\t{\n\t\t// kept\n\t\t"unknown": {"deep": true}, /* this too */\n\t\t"mcp": {"allowed": ["internvl"]},\n'
    b'\t\t"mcpServers": {\n\t\t\t"other": {"command": "true"} // not ours\n\t\t}\n\t}\n',
    b'{"mcpServers": {"other": }}',
    _gemini,
)
CLIENTS = (CLAUDE, CODEX, GEMINI)


def installed(place: Place, client: Installed) -> str:
    """The client connects after our installation and finds its file as before after the removal."""
    said = []
    cases: list[tuple[str, bytes | None]] = [("typical", client.typical), ("empty", b""), ("missing", None)]
    if client is CLAUDE:  # it adds to a file that it sees for the first time, and then leaves it alone
        cases.append(("settled", _without_us(place, "settled", client, client.typical)))
    for case, before in cases:
        here = _home(place, case)
        file = _written(here, client, before)
        _ours(here, "install", client)
        written = file.read_bytes()
        answer = client.connects(here)
        touched = file.read_bytes() != written
        _ours(here, "install", client, says="already there")
        _ours(here, "uninstall", client)
        left = _bytes(file)
        wanted = _without_us(place, case, client, before) if touched else before
        if case == "settled" and touched:
            raise CheckFailed(f"{client.program} wrote {client.file} although it knew it")
        if left != wanted and not (touched and _OWN.sub(b"", left or b"") == _OWN.sub(b"", wanted or b"")):
            raise CheckFailed(f"{case}: after uninstall {client.file} holds\n{left!r}\nnot\n{wanted!r}")
        said.append(f"{case} file: {answer}, then {'as the client alone would have it' if touched else 'as before'}")
    return "; ".join(said)


def refused(place: Place) -> str:
    """A file that cannot be changed keeps all three from being changed."""
    for client in CLIENTS:
        for case in ("read-only", "broken", "folder"):
            here = _home(place, f"{client.target}-{case}")
            files = {one.target: _written(here, one, one.typical) for one in CLIENTS}
            file = files[client.target]
            if case == "broken":
                file.write_bytes(client.broken)
            elif case == "read-only":
                file.chmod(0o444)
            else:
                file.unlink()
                file.mkdir()
            before = {name: _bytes(path) for name, path in files.items() if path.is_file()}
            command = [_COMMAND, "install", "--yes", *(word for one in CLIENTS for word in ("--target", one.target))]
            said = here.run(command, expect=1).err
            if str(file) not in said or "Traceback" in said or len(said.splitlines()) != 2:
                raise CheckFailed(f"{case} {client.file}: install said\n{said}")
            if {name: _bytes(path) for name, path in files.items() if path.is_file()} != before:
                raise CheckFailed(f"{case} {client.file}: install changed a file all the same")
    return "read-only, broken, a folder in place of a file: nothing changed anywhere, one error each"


def _home(place: Place, name: str) -> Place:
    home = place.home / name
    home.mkdir()
    return place._replace(home=home)


def _written(place: Place, client: Installed, data: bytes | None) -> Path:
    file = place.home / client.file
    file.parent.mkdir(parents=True, exist_ok=True)
    if data is not None:
        file.write_bytes(data)
    return file


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _ours(place: Place, command: str, client: Installed, says: str = "") -> None:
    said = place.run([_COMMAND, command, "--target", client.target, "--yes"]).out
    if says not in said:
        raise CheckFailed(f"{command} --target {client.target} printed:\n{said}")


def _without_us(place: Place, case: str, client: Installed, before: bytes | None) -> bytes | None:
    """What the client makes of the file by itself; of an empty object where there was nothing, as while we were in it:
    Claude Code notes down more when it finds an empty file, or none.
    """
    here = _home(place, f"{case}-alone")
    file = _written(here, client, before or b"{}\n")
    here.run([here.client(client.program), "mcp", "list"], expect=None)
    return _bytes(file)


CHECKS: tuple[tuple[str, Callable[[Place], str]], ...] = (
    *((f"Installer, {client.target}", lambda place, client=client: installed(place, client)) for client in CLIENTS),
    ("Installer, files that cannot be changed", refused),
)
