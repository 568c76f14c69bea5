"""manage_model: what this machine can do now."""

from __future__ import annotations

import os
import platform
from typing import Annotated, Literal

from pydantic import Field

from tools.common import OCR_ENGINE
from tools.result import ToolResult
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.machine import available_cores, memory_bytes
from vision.service import VisionService
from vision.types import Frozen


class ManageModelParameters(Parameters):
    action: Annotated[Literal["status"], Field(description="status: engines, hardware, limits in force")] = "status"


class EngineState(Frozen):
    name: str
    ready: bool
    can: str
    note: str | None = None


class Hardware(Frozen):
    system: str
    cores: int
    memory_gib: float | None
    free_memory_gib: float | None


class ManageModelResult(ToolResult):
    """`workers`: processes up now, by role; they start when needed and end when idle."""

    engines: tuple[EngineState, ...]
    hardware: Hardware
    workers: dict[str, int]
    limits: dict[str, float]


_ENGINES = (
    EngineState(
        name="ocr",
        ready=True,
        can="reads text (English, Chinese, Latin scripts), documents and tables; measures pictures and video",
        note="cannot describe, judge or answer questions about what a picture shows",
    ),
    EngineState(
        name="internvl",
        ready=False,
        can="describes, answers, compares, reads charts, finds things",
        note="not part of this version",
    ),
)


async def run(service: VisionService, parameters: ManageModelParameters, call: Call) -> ManageModelResult:
    total, free = memory_bytes()
    settings = service.settings
    return ManageModelResult(
        engine=OCR_ENGINE,
        timings_ms={"total": round(call.elapsed_s * 1000)},
        engines=_ENGINES,
        hardware=Hardware(
            system=f"{platform.system()} {os.uname().machine if hasattr(os, 'uname') else platform.machine()}",
            cores=available_cores(),
            memory_gib=_gib(total),
            free_memory_gib=_gib(free),
        ),
        workers=service.workers(),
        limits={
            "max_bytes": settings.max_bytes,
            "max_pixels": settings.max_pixels,
            "max_pages": settings.max_pages,
            "max_frames": settings.max_frames,
            "reply_within_s": settings.reply_within_s,
        },
    )


def _gib(count: int | None) -> float | None:
    return None if count is None else round(count / (1 << 30), 1)


TOOL = Tool(
    name="manage_model",
    title="What this machine can do",
    description=(
        "Tells which engines are ready (embedded OCR, InternVL), the hardware, the limits in force and which worker "
        "processes are up. Ask it when a result says that something needs a model."
    ),
    parameters=ManageModelParameters,
    result=ManageModelResult,
    run=run,
    reads_network=False,
)
