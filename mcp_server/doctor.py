"""`internvl-mcp doctor`: tries what the server needs on this machine and says what to do about the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import anyio

from mcp_server import __version__
from vision.access.opened import this_host
from vision.call import Call
from vision.config import Settings
from vision.engine.engine import Engine
from vision.engine.local import missing_packages
from vision.errors import EngineUnavailable, VisionError
from vision.machine import available_cores, memory_bytes
from vision.reading import read_pages
from vision.remote.servers import EndpointState
from vision.service import VisionService
from vision.serving.installed import require_command
from vision.serving.servers import SERVERS, TITLES
from vision.serving.types import ServingPlan
from vision.workers.sandbox import can_filter_system_calls, landlock_abi

# Drawn by the self-test itself, so that it needs no file: the recogniser must read these words back.
_WORDS = "Hello 2026"
_SELF_TEST = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='600' height='160'%3E"
    "%3Crect width='600' height='160' fill='white'/%3E"
    f"%3Ctext x='40' y='100' font-size='64' font-family='Helvetica'%3E{_WORDS}%3C/text%3E%3C/svg%3E"
)
_GIB = 1 << 30
_WITHOUT_GPU = "InternVL3.5-1B runs on a CPU, in tens of seconds a picture; larger ones want a GPU."


@dataclass(frozen=True)
class Finding:
    """`state`: ok, absent (works without it) or broken (does not work until it is mended)."""

    state: Literal["ok", "absent", "broken"]
    what: str
    advice: str = ""


def examine(settings: Settings) -> int:
    """Prints a line for each check; 1 when something that the server needs is broken."""
    marks = {"ok": "ok    ", "absent": "absent", "broken": "BROKEN"}
    broken = False
    for finding in anyio.run(_findings, settings):
        sys.stdout.write(f"{marks[finding.state]}  {finding.what}\n")
        if finding.advice:
            sys.stdout.write(f"        {finding.advice}\n")
        broken = broken or finding.state == "broken"
    sys.stdout.write("\nAdd it to Claude Code:  claude mcp add internvl -- internvl-mcp\n")
    sys.stdout.write("Add it to Codex:        codex mcp add internvl -- internvl-mcp\n")
    return 1 if broken else 0


async def _findings(settings: Settings) -> list[Finding]:
    findings = [_versions(), _machine(), _roots(settings), _sandbox()]
    with VisionService(settings, Path.cwd()) as service:
        try:
            findings.append(Finding("ok", f"text recognition: {await _reads_a_picture(service)}"))
        except VisionError as e:
            findings.append(Finding("broken", f"text recognition: {e.message}", e.hint))
        return [*findings, _clipboard(), *await _model(service.engine), *await _endpoints(service.engine)]


def _versions() -> Finding:
    return Finding("ok", f"internvl-mcp {__version__}, Python {platform.python_version()}, {platform.platform()}")


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


async def _reads_a_picture(service: VisionService) -> str:
    call = Call(within_s=service.settings.job_within_s)
    with await service.open(_SELF_TEST, call) as media:
        pages = [page async for page in read_pages(service, media, call, output="text")]
    found = pages[0].page.text
    if found != _WORDS:
        raise VisionError(
            f"read {found!r} where {_WORDS!r} stands", "Reinstall: pip install --force-reinstall rapidocr"
        )
    return f"read {found!r} back in {call.elapsed_s:.1f} s, the recogniser's start included"


def _clipboard() -> Finding:
    tools = {"posix": ("wl-paste", "xclip"), "macos": ("osascript",), "wsl": ("powershell.exe",), "windows": ()}
    names = tools[this_host().kind]
    if not names or any(shutil.which(name) for name in names):
        return Finding("ok", "pictures can be taken from the clipboard")
    return Finding("absent", "no tool that reads the clipboard", f"Install one of: {', '.join(names)}.")


async def _model(engine: Engine) -> list[Finding]:
    """The extra, the hardware and the choice, each with what would mend it."""
    return [_extra(), *_managed(engine.settings), await _hardware(engine), await _choice(engine)]


def _managed(settings: Settings) -> list[Finding]:
    """The command of the server that the settings have started; that it is missing is told with the choice."""
    name = settings.engine
    if name not in SERVERS:
        return []
    try:
        command = require_command(name)
    except EngineUnavailable:
        return []
    return [Finding("ok", f"{TITLES[name]}: {command}, which is started when it is needed and ended when idle")]


def _extra() -> Finding:
    missing = missing_packages()
    if missing:
        advice = "For InternVL: pip install 'internvl-mcp[local]'. Text, documents and measures work without it."
        return Finding("absent", f"the extra [local] is not installed ({', '.join(missing)} missing)", advice)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
    return Finding("ok", f"the extra [local] is installed: {versions}")


async def _hardware(engine: Engine) -> Finding:
    found = await engine.hardware()
    gpus = [f"{g.name} ({g.free_bytes / _GIB:.1f} of {g.total_bytes / _GIB:.1f} GiB free)" for g in found.gpus]
    free = "unknown" if found.free_ram is None else f"{found.free_ram / _GIB:.1f} GiB free"
    what = f"for the model: {', '.join(gpus) or 'no GPU'}; memory {free}"
    return Finding("ok" if gpus else "absent", what, " ".join(found.notes) or ("" if gpus else _WITHOUT_GPU))


async def _choice(engine: Engine) -> Finding:
    try:
        choice = await engine.choice()
    except VisionError as e:  # only where the settings demand a model
        return Finding("broken", f"a model is demanded (engine, endpoints) and cannot be had: {e.message}", e.hint)
    if choice.remote is not None:
        return Finding("ok", f"{choice.remote.capabilities.name}: {choice.reason}", choice.advice)
    plan = choice.plan
    if plan is None:
        return Finding("absent", choice.reason, choice.advice)
    quantised = "" if plan.quantisation == "none" else f", {plan.quantisation}"
    where = f"{plan.device} {', '.join(map(str, plan.devices))}".strip()
    by = f" by {TITLES[plan.server]}" if isinstance(plan, ServingPlan) else ""
    what = f"InternVL: {plan.variant}{by} on {where} ({plan.dtype}{quantised}): {choice.reason}"
    return Finding("ok", what, choice.advice)


async def _endpoints(engine: Engine) -> list[Finding]:
    """How the servers are that the setting endpoints names, and whether the key is kept well. The key is not shown."""
    found = [_endpoint(state, engine.settings) for state in await engine.endpoints()]
    path = engine.settings.endpoint_key_file
    if path is not None and os.name == "posix" and path.expanduser().stat().st_mode & 0o077:
        advice = f"Keep it to yourself: chmod 600 {path}"
        found.append(Finding("absent", f"others may read the key file {path}", advice))
    return found


def _endpoint(state: EndpointState, settings: Settings) -> Finding:
    known = state.capabilities
    if known is None:
        broken = settings.engine in ("auto", "remote") and not settings.fallback
        return Finding("broken" if broken else "absent", f"endpoint {state.url}: {state.problem}", state.advice)
    context = "context unknown" if known.context is None else f"context {known.context}"
    tiles = "tiles chosen by us" if known.tiles is not None else "tiles by its own rule"
    what = f"endpoint {state.url}: {known.kind}, {known.model}, {context}, {tiles}, {state.latency_ms} ms"
    if state.breaker != "closed":
        what += f", circuit {state.breaker} after failures"
    bare = settings.endpoint_key is not None and state.url.startswith("http:") and not _is_loopback(state.url)
    return Finding("ok", what, "The key travels unencrypted over http: use https." if bare else "")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
