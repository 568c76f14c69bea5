"""What doctor says of the clients on this computer: whether their entries start this server, or anything at all."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from manifests.clients.known import Client, detected
from manifests.clients.launch import Launch, launch_for
from manifests.clients.place import Place
from manifests.descriptor import descriptor
from manifests.edits import jsonc, toml
from manifests.edits.meaning import found
from manifests.edits.text import without_mark
from manifests.errors import InstallError
from manifests.install.plan import Change, kept_out, plan_install, switched_off
from mcp_server import __version__
from mcp_server.finding import Finding

_ANSWERS_WITHIN_S = 30


def findings(place: Place) -> list[Finding]:
    clients = detected(place)
    if not clients:
        advice = "Name yours, such as: internvl-mcp install --target claude-code"
        return [Finding("absent", "no client was found on this computer", advice)]
    return [_client(place, client) for client in clients]


def _client(place: Place, client: Client) -> Finding:
    about = descriptor()
    try:
        launch = launch_for(place, "user", about)
    except InstallError:
        launch = Launch((about.command,))  # nothing that lasts is installed: what the entry starts is told all the same
    try:
        (change,) = plan_install(place, [client], "user", launch, about)
    except InstallError as e:
        return Finding("broken", f"{client.title}: {e.message}", e.hint)
    if change.action in ("create", "add"):
        advice = f"To add it: internvl-mcp install --target {client.name}"
        return Finding("absent", f"{client.title} does not have this server yet", advice)
    if off := switched_off(_entry(change)):
        return Finding(
            "absent", f"{client.title} has this server switched off: {off} ({change.path})", "Take that out."
        )
    if out := kept_out(client, change.before or b"", about.server):
        return Finding("absent", f"{client.title} does not start this server: {out} ({change.path})", "Change that.")
    program = _program(_entry(change))
    if program is None:
        return Finding("ok", f"{client.title} uses a server at an address ({change.path})")
    return _started(place, change, program)


def _started(place: Place, change: Change, program: str) -> Finding:
    """What the entry's program is: none, this version, or another one."""
    title = change.client.title
    mend = f"To mend it: internvl-mcp install --target {change.client.name}"
    there = Path(program) if Path(program).is_absolute() else place.program(program)
    if there is None or not os.access(there, os.X_OK):
        return Finding("broken", f"{title} starts {program}, which is not there ({change.path})", mend)
    if change.action == "already" or there.stem != descriptor().command:
        return Finding("ok", f"{title} starts this server by {program} ({change.path})")
    version = _version(there)
    if version is None:
        return Finding("broken", f"{title} starts {program}, which does not run ({change.path})", mend)
    if version != __version__:
        return Finding("absent", f"{title} starts {program}, version {version}; this is {__version__}", mend)
    return Finding("ok", f"{title} starts another copy of this version, {program} ({change.path})")


def _version(program: Path) -> str | None:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\d+(?:\.\d+)+\S*", done.stdout)
    return match[0] if match else None


def _entry(change: Change) -> Any:
    _, text = without_mark(change.before or b"")
    meaning = toml.meaning if change.client.format == "toml" else jsonc.meaning
    return found(meaning(text), change.entry)


def _program(entry: Any) -> str | None:
    """The program that an entry starts; opencode writes it and its words as one list."""
    command = entry.get("command") if isinstance(entry, dict) else None
    first = command[0] if isinstance(command, list) and command else command
    return first if isinstance(first, str) else None
