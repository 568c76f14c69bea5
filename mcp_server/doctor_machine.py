"""What doctor says of the machine: cores, folders, disks, locks around decoders, proxies."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from mcp_server import __version__
from mcp_server.finding import Finding
from mcp_server.pulling import size
from mcp_server.setup_environment import environment_of
from mcp_server.setup_facts import Facts
from vision.access.opened import this_host
from vision.chat.record import state_folder
from vision.config import Settings
from vision.machine import available_cores, existing, memory_bytes
from vision.workers.sandbox import can_filter_system_calls, landlock_abi

# Less than this, and the next picture's pages or a job's result may not find room.
_LITTLE = 10**9
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def findings(facts: Facts, settings: Settings) -> list[Finding]:
    return [
        _versions(facts),
        _machine(),
        _roots(settings),
        _state(facts, settings),
        *_cache(facts),
        *_disks(facts, settings),
        *_proxy(facts, settings),
        _sandbox(),
    ]


def clipboard() -> Finding:
    tools = {"posix": ("wl-paste", "xclip"), "macos": ("osascript",), "wsl": ("powershell.exe",), "windows": ()}
    names = tools[this_host().kind]
    if not names or any(shutil.which(name) for name in names):
        return Finding("ok", "pictures can be taken from the clipboard")
    return Finding("absent", "no tool that reads the clipboard", f"Install one of: {', '.join(names)}.")


def _versions(facts: Facts) -> Finding:
    environment = environment_of(facts)
    what = f"internvl-mcp {__version__}, Python {platform.python_version()}, {platform.platform()}"
    if environment.kind == "uvx":
        return Finding("ok", f"{what}; {environment.title}", "To keep it: uv tool install internvl-mcp")
    return Finding("ok", f"{what}; {environment.title}")


def _machine() -> Finding:
    total, free = memory_bytes()
    memory = f", {total / 2**30:.1f} GiB memory ({(free or 0) / 2**30:.1f} free)" if total else ""
    return Finding("ok", f"{available_cores()} cores{memory}")


def _roots(settings: Settings) -> Finding:
    roots = [str(root) for root in settings.roots]
    here = Path.cwd()
    if settings.use_working_directory and here != Path(here.anchor):
        roots.append(f"{here} (working directory)")
    missing = [str(root) for root in settings.roots if not root.is_dir()]
    if missing:
        return Finding("broken", f"no such folder: {', '.join(missing)}", "Mend --root or INTERNVL_MCP_ROOTS.")
    if not roots:
        advice = "Start in a project folder, or allow one with --root DIR or INTERNVL_MCP_ROOTS."
        return Finding("absent", "no folder may be read but those the client declares", advice)
    return Finding("ok", f"files may be read under: {', '.join(roots)}")


def _state_folder(facts: Facts, settings: Settings) -> Path:
    return (settings.state_folder or state_folder(facts.place.environment).logs).expanduser()


def _state(facts: Facts, settings: Settings) -> Finding:
    folder = _state_folder(facts, settings)
    if facts.may_write(folder):
        return Finding("ok", f"jobs and conversations are kept in {folder}")
    there = existing(folder) or folder
    advice = f"Make {there} a folder that you may write to, or name another: state_folder (--state-folder DIR)."
    return Finding("broken", f"jobs and conversations cannot be kept: {there} cannot be written", advice)


def _cache(facts: Facts) -> list[Finding]:
    """That weights cannot be looked for; that others look after them, and they can only be read, is well."""
    there = existing(facts.cache)
    if there is not None and there.is_dir() and os.access(there, os.R_OK | os.X_OK):
        return []
    what = f"weights cannot be looked for in {facts.cache}: {there or facts.cache.anchor} is not open to you"
    return [Finding("absent", what, "Have it opened, or set HF_HOME to a folder of your own.")]


def _disks(facts: Facts, settings: Settings) -> list[Finding]:
    """The disks that are nearly full, of those that are written to."""
    wanted = {"weights": facts.cache, "jobs and conversations": _state_folder(facts, settings)}
    full = {name: folder for name, folder in wanted.items() if facts.free_bytes(folder) < _LITTLE}
    advice = {
        "weights": "Free some room, or set HF_HOME to a folder on a larger disk.",
        "jobs and conversations": "Free some room, or set state_folder to a folder on a larger disk.",
    }
    return [
        Finding("absent", f"{size(facts.free_bytes(folder))} are free for {name} in {folder}", advice[name])
        for name, folder in full.items()
    ]


def _proxy(facts: Facts, settings: Settings) -> list[Finding]:
    """A proxy, without the password that may stand in its address."""
    environment = facts.place.environment
    name = next((name for name in _PROXIES if environment.get(name)), None)
    if name is None:
        return []
    try:
        address = urlsplit(environment[name])
        host = f"{address.hostname}:{address.port}" if address.port else address.hostname
    except ValueError:
        host = None
    if not host:
        return [Finding("broken", f"{name} is no address of a proxy", f"Write {name}=http://host:port, or unset it.")]
    what = f"{name} names the proxy {host}: weights and endpoints come through it, addresses that agents name do not"
    around = environment.get("NO_PROXY") or environment.get("no_proxy")
    advice = "Endpoints in your own network want their hosts in NO_PROXY." if settings.endpoints and not around else ""
    return [Finding("ok", what, advice)]


def _sandbox() -> Finding:
    locks = []
    if abi := landlock_abi():
        locks.append(f"files (Landlock ABI {abi})")
    if can_filter_system_calls():
        locks.append("network and other programs (system call filter)")
    if len(locks) == 2:
        return Finding("ok", f"decoders are locked away from {' and from '.join(locks)}")
    advice = "They run in processes of their own, with time and memory limits; Linux 5.13 or later adds these locks."
    return Finding("absent", f"decoders are locked away from {' and '.join(locks) or 'nothing'} on this system", advice)
