"""The tools of the suite's tasks scenarios, as tools of the product: they run as jobs, and become tasks as those do."""

from __future__ import annotations

import anyio

from tools.result import EngineUsed, ToolResult
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.errors import LimitExceeded
from vision.service import VisionService

# The fixture replies after this time: longer work is a task.
REPLY_WITHIN_S = 0.5
_ENGINE = EngineUsed(name="ocr", reason="for the suite")


class SlowCompute(Parameters):
    seconds: float
    label: str = ""


class ConfirmDelete(Parameters):
    filename: str


class FailingJob(Parameters):
    pass


async def _slow_compute(_: VisionService, parameters: SlowCompute, __: Call) -> ToolResult:
    await anyio.sleep(parameters.seconds)
    return ToolResult(answer=parameters.label, engine=_ENGINE)


async def _confirm_delete(_: VisionService, parameters: ConfirmDelete, __: Call) -> ToolResult:
    """A task that asks for nothing, as none of the product's does."""
    await anyio.sleep(2 * REPLY_WITHIN_S)
    return ToolResult(answer=parameters.filename, engine=_ENGINE)


async def _failing_job(_: VisionService, __: FailingJob, ___: Call) -> ToolResult:
    await anyio.sleep(2 * REPLY_WITHIN_S)
    raise LimitExceeded("the job failed, as it has to", "Call another one.")


def _tool(name: str, parameters: type[Parameters], run: object) -> Tool:
    return Tool(name, name, "For the suite.", parameters, ToolResult, run)  # type: ignore[arg-type]


SLOW_TOOLS = (
    _tool("slow_compute", SlowCompute, _slow_compute),
    _tool("confirm_delete", ConfirmDelete, _confirm_delete),
    _tool("failing_job", FailingJob, _failing_job),
)
