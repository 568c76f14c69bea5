"""manage_model: what this machine can do now, and the model's weights and memory."""

from __future__ import annotations

import os
import platform
from typing import Annotated, Literal

from pydantic import Field

from tools.asking import embedded, engine_used
from tools.result import EngineUsed, ToolResult
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.engine.choice import Choice
from vision.errors import EngineUnavailable, VisionError
from vision.machine import available_cores, memory_bytes
from vision.remote.servers import EndpointState
from vision.service import VisionService
from vision.serving.types import ServingPlan
from vision.types import Frozen
from vision.variants.catalogue import variant_named
from vision.variants.plan import Plan

_GIB = 1 << 30
_GOES_ON = (
    "The download goes on while this server runs, and from where it stopped if it is asked for again; "
    'action="status" tells how far it is. From a shell: internvl-mcp pull {variant}.'
)


class ManageModelParameters(Parameters):
    action: Annotated[
        Literal["status", "plan", "preload", "unload", "download"],
        Field(
            description="status: engines, hardware, limits in force; plan: what would run here and why; preload: load "
            "the model now; unload: end it, for all servers of this user; download: fetch weights, if the user asks"
        ),
    ] = "status"
    variant: Annotated[
        str | None,
        Field(max_length=100, description='Such as "InternVL3.5-8B" or "3.5-8B"; the best that fits when left out'),
    ] = None


class EngineState(Frozen):
    """`note`: why it is not ready, or what would be better, and what to do about it."""

    name: str
    ready: bool
    can: str
    note: str | None = None


class GpuState(Frozen):
    name: str
    memory_gib: float
    free_memory_gib: float


class HardwareState(Frozen):
    system: str
    cores: int
    memory_gib: float | None
    free_memory_gib: float | None
    gpus: tuple[GpuState, ...] = ()
    notes: tuple[str, ...] = ()


class ModelState(Frozen):
    """A model that is up. `loaded`: share of its weights in place; `memory_gib`: what it takes on its devices.

    `server`: the one that runs it, started from here; null where our own host does.
    """

    variant: str
    device: str
    quantisation: str
    state: str
    loaded: float
    working: int
    memory_gib: float | None
    server: str | None = None


class ServerState(Frozen):
    """A server that the setting endpoints names. `breaker`: open while it is left alone after failures in a row.

    `context`: most tokens of a prompt with its answer; `max_pictures`: most pictures in one; null where it tells none.
    """

    url: str
    reachable: bool
    breaker: str
    latency_ms: int | None = None
    kind: str | None = None
    model: str | None = None
    context: int | None = None
    max_pictures: int | None = None
    takes_tiles: bool | None = Field(default=None, description="whether the tiles of a picture can be chosen there")
    problem: str | None = None


class DownloadState(Frozen):
    repository: str
    state: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: int | None
    left_s: int | None
    problem: str | None = None


class PlanState(Frozen):
    """What would run on this machine. `memory_gib` by device, of `available_gib`; `rejected`: larger ones, and why."""

    variant: str
    repository: str
    device: str
    devices: tuple[int, ...]
    dtype: str
    quantisation: str
    max_tiles: int
    max_frames: int
    context: int
    memory_gib: dict[str, float]
    available_gib: dict[str, float]
    reasons: tuple[str, ...]
    rejected: tuple[str, ...]


class ManageModelResult(ToolResult):
    """`workers`: processes up now, by role; they start when needed and end when idle."""

    engines: tuple[EngineState, ...]
    hardware: HardwareState
    workers: dict[str, int]
    limits: dict[str, float]
    models: tuple[ModelState, ...] = ()
    endpoints: tuple[ServerState, ...] = ()
    downloads: tuple[DownloadState, ...] = ()
    plan: PlanState | None = None


async def run(service: VisionService, parameters: ManageModelParameters, call: Call) -> ManageModelResult:
    engine, variant = service.engine, _named(parameters.variant)
    plan: Plan | ServingPlan | None = None
    notices: list[str] = []
    if parameters.action == "plan":
        plan = await engine.plan(variant)
    elif parameters.action == "preload":
        spec = await engine.preload(variant)
        notices.append(f"{spec.plan.variant} is being loaded, and answers from now on.")
    elif parameters.action == "unload":
        ended = await engine.unload(variant)
        names = ", ".join(spec.plan.variant for spec in ended)
        notices.append(f"Ended: {names}." if ended else "No model was up.")
    elif parameters.action == "download":
        _require_fetchable(service)
        plan = await engine.plan(None) if variant is None else None
        wanted = variant_named(variant or (plan.variant if plan else ""))
        engine.downloads.start(wanted.repository, wanted.revision or "main")
        notices.append(_GOES_ON.format(variant=wanted.name))
    return await _state(service, plan, notices, call)


def _require_fetchable(service: VisionService) -> None:
    if service.settings.engine == "llama.cpp":
        raise EngineUnavailable(
            "llama.cpp reads GGUF files, which are not fetched from here",
            "internvl-mcp plan --serve llama.cpp tells where they come from; gguf_folder names their folder.",
        )


def _named(variant: str | None) -> str | None:
    """The catalogue's name for a variant. Raises UnknownVariant."""
    return None if variant is None else variant_named(variant).name


async def _state(
    service: VisionService, plan: Plan | ServingPlan | None, notices: list[str], call: Call
) -> ManageModelResult:
    settings = service.settings
    used, engines = await _engines(service)
    return ManageModelResult(
        engine=used,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        engines=engines,
        hardware=await _hardware(service),
        workers=service.workers(),
        limits={
            "max_bytes": settings.max_bytes,
            "max_pixels": settings.max_pixels,
            "max_pages": settings.max_pages,
            "max_frames": settings.max_frames,
            "max_tiles": settings.max_tiles,
            "max_answer_tokens": settings.max_answer_tokens,
            "reply_within_s": settings.reply_within_s,
        },
        models=await _models(service),
        endpoints=await _endpoints(service),
        downloads=_downloads(service),
        plan=None if plan is None else _plan(plan),
    )


async def _engines(service: VisionService) -> tuple[EngineUsed, tuple[EngineState, ...]]:
    """What answers now, and the state of each engine."""
    try:
        choice = await service.engine.choice()
    except VisionError as e:  # the settings demand what cannot be had: that is what this tool is asked about
        reason = f"{e.message} (setting engine: {service.settings.engine})"
        choice = Choice(name="ocr", reason=reason, advice=e.hint)
    ready = choice.model is not None
    ocr = EngineState(
        name="ocr",
        ready=True,
        can="reads text (English, Chinese, Latin scripts), documents and tables; measures pictures and video",
        note="cannot describe, judge or answer questions about what a picture shows",
    )
    model = EngineState(
        name=choice.name if ready else "remote" if service.settings.engine == "remote" else "internvl",
        ready=ready,
        can="describes, answers, compares, reads charts, finds things",
        note=f"{choice.model.variant}: {choice.says}" if choice.model is not None else choice.says,
    )
    return engine_used(choice) if ready else embedded(choice), (ocr, model)


async def _hardware(service: VisionService) -> HardwareState:
    total, free = memory_bytes()
    found = await service.engine.hardware()
    return HardwareState(
        system=f"{platform.system()} {os.uname().machine if hasattr(os, 'uname') else platform.machine()}",
        cores=available_cores(),
        memory_gib=_gib(total),
        free_memory_gib=_gib(free),
        gpus=tuple(
            GpuState(
                name=gpu.name,
                memory_gib=round(gpu.total_bytes / _GIB, 1),
                free_memory_gib=round(gpu.free_bytes / _GIB, 1),
            )
            for gpu in found.gpus
        ),
        notes=found.notes,
    )


async def _models(service: VisionService) -> tuple[ModelState, ...]:
    return tuple(
        ModelState(
            variant=host.spec.plan.variant,
            device=host.spec.plan.device,
            quantisation=host.spec.plan.quantisation,
            state=host.state,
            loaded=round(host.loaded, 2),
            working=host.working,
            memory_gib=_gib(host.device_bytes),
            server=plan.server if isinstance(plan := host.spec.plan, ServingPlan) else None,
        )
        for host in await service.engine.hosts()
    )


async def _endpoints(service: VisionService) -> tuple[ServerState, ...]:
    return tuple(_server(state) for state in await service.engine.endpoints())


def _server(state: EndpointState) -> ServerState:
    seen = ServerState(
        url=state.url,
        reachable=state.reachable,
        breaker=state.breaker,
        latency_ms=state.latency_ms,
        problem=f"{state.problem}. {state.advice}" if state.problem else None,
    )
    known = state.capabilities
    if known is None:
        return seen
    told = {
        "kind": known.kind,
        "model": known.model,
        "context": known.context,
        "max_pictures": known.max_pictures,
        "takes_tiles": known.tiles is not None,
    }
    return seen.model_copy(update=told)


def _downloads(service: VisionService) -> tuple[DownloadState, ...]:
    return tuple(
        DownloadState(
            repository=download.repository,
            state=download.state,
            done_bytes=download.done,
            total_bytes=download.total,
            bytes_per_s=None if download.rate is None else round(download.rate),
            left_s=None if download.left_s is None else round(download.left_s),
            problem=None if download.error is None else f"{download.error[1]} {download.error[2]}",
        )
        for download in service.engine.downloads.status()
    )


def _plan(plan: Plan | ServingPlan) -> PlanState:
    parts = plan.bytes if isinstance(plan, Plan) else (plan.bytes,)  # a server's GPUs are all alike
    return PlanState(
        variant=plan.variant,
        repository=plan.repository,
        device=plan.device,
        devices=plan.devices,
        dtype=plan.dtype,
        quantisation=plan.quantisation,
        max_tiles=plan.max_tiles,
        max_frames=plan.max_frames,
        context=plan.context,
        memory_gib={part.device: round(part.total / _GIB, 1) for part in parts},
        available_gib={part.device: round(part.available / _GIB, 1) for part in parts},
        reasons=plan.reasons,
        rejected=tuple(f"{each.variant} ({each.quantisation}): {each.reason}" for each in plan.rejected),
    )


def _gib(count: int | None) -> float | None:
    return None if count is None else round(count / _GIB, 1)


TOOL = Tool(
    name="manage_model",
    title="What this machine can do",
    description=(
        "Tells which engines are ready (embedded OCR, InternVL, a model's server) and why, the hardware, the limits in "
        "force, models that are loaded and downloads. Plans which InternVL variant fits this machine, loads and "
        "unloads it, and fetches weights when the user asks for it. Ask it when a result says that something needs a "
        "model."
    ),
    parameters=ManageModelParameters,
    result=ManageModelResult,
    run=run,
    reads_network=False,
    read_only=False,
)
