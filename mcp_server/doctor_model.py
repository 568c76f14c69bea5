"""What doctor says of the model: its packages, the hardware under them, the weights, what was chosen, the endpoints."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from anyio import to_thread

from mcp_server.finding import Finding
from mcp_server.setup_facts import Facts
from mcp_server.torch_builds import installed_torch, trouble
from vision.config import Settings
from vision.engine.engine import Engine
from vision.engine.local import folder_of, local_weights
from vision.errors import EngineUnavailable, UnknownVariant, VisionError
from vision.remote.servers import EndpointState
from vision.serving.installed import require_command
from vision.serving.servers import SERVERS, TITLES
from vision.serving.types import ServingPlan
from vision.variants.candidates import unusable
from vision.variants.hardware import Hardware

_GIB = 1 << 30
_WITHOUT_GPU = "InternVL3.5-1B runs on a CPU, in tens of seconds a picture; larger ones want a GPU."


async def findings(facts: Facts, engine: Engine) -> list[Finding]:
    """The extra, the hardware, the weights and the choice, each with what would mend it."""
    hardware = await to_thread.run_sync(facts.probe)
    return [
        *_extra(facts, engine.settings, hardware),
        *_managed(engine.settings),
        _hardware(hardware),
        *_weights(facts, engine.settings),
        await _choice(engine),
        *await _endpoints(engine),
    ]


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


def _extra(facts: Facts, settings: Settings, hardware: Hardware) -> list[Finding]:
    """Whether the packages are here, and whether this torch is one for this hardware."""
    missing = facts.missing()
    if missing:
        advice = "For InternVL: internvl-mcp setup. Text, documents and measures work without it."
        return [Finding("absent", f"the extra [local] is not installed ({', '.join(missing)} missing)", advice)]
    versions = ", ".join(f"{name} {_version(facts, name)}" for name in ("torch", "transformers"))
    found = [Finding("ok", f"the extra [local] is installed: {versions}")]
    torch = installed_torch(facts.packages)
    gpus = [] if settings.device == "cpu" else hardware.gpus
    wrong = trouble(torch, gpus) if torch is not None else ""
    if wrong:
        advice = "internvl-mcp setup installs the build for this hardware; --device cpu does without the GPU."
        found.append(Finding("broken", wrong, advice))
    return found


def _version(facts: Facts, name: str) -> str:
    distribution = facts.distribution(name)
    return distribution.version if distribution else "of an unknown version"


def _hardware(found: Hardware) -> Finding:
    gpus = [f"{g.name} ({g.free_bytes / _GIB:.1f} of {g.total_bytes / _GIB:.1f} GiB free)" for g in found.gpus]
    free = "unknown" if found.free_ram is None else f"{found.free_ram / _GIB:.1f} GiB free"
    what = f"for the model: {', '.join(gpus) or 'no GPU'}; memory {free}"
    notes = [f"{gpu.name} is not used: {why}." for gpu in found.gpus if (why := unusable(gpu))]
    notes += found.notes
    usable = len(gpus) > 0 and not all(unusable(gpu) for gpu in found.gpus)
    return Finding("ok" if usable else "absent", what, " ".join(notes) or ("" if gpus else _WITHOUT_GPU))


def _weights(facts: Facts, settings: Settings) -> list[Finding]:
    """Checkpoints that were begun and are not whole; those that are whole are told with the choice."""
    if folder_of(settings) is not None:
        return []
    try:
        _, broken = local_weights(settings, facts.cache)
    except UnknownVariant:  # told with the choice
        return []
    return [Finding("absent", error.message, error.hint) for error in broken]


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
