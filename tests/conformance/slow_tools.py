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


class NoParameters(Parameters):
    pass


async def _slow_compute(_: VisionService, parameters: SlowCompute, __: Call) -> ToolResult:
    await anyio.sleep(parameters.seconds)
    return ToolResult(answer=parameters.label, engine=_ENGINE)


async def _confirm_delete(_: VisionService, parameters: ConfirmDelete, __: Call) -> ToolResult:
    """A task that asks for nothing, as none of the product's does."""
    await anyio.sleep(2 * REPLY_WITHIN_S)
    return ToolResult(answer=parameters.filename, engine=_ENGINE)


async def _failing_job(_: VisionService, __: NoParameters, ___: Call) -> ToolResult:
    await anyio.sleep(2 * REPLY_WITHIN_S)
    raise LimitExceeded("the job failed, as it has to", "Call another one.")


async def _protocol_error_job(_: VisionService, __: NoParameters, ___: Call) -> ToolResult:
    """What no tool should do: it breaks with an error that is none of a tool's."""
    await anyio.sleep(2 * REPLY_WITHIN_S)
    raise RuntimeError("the server failed, as it has to")


def _tool(name: str, parameters: type[Parameters], run: object) -> Tool:
    return Tool(name, name, "For the suite.", parameters, ToolResult, run)  # type: ignore[arg-type]


SLOW_TOOLS = (
    _tool("slow_compute", SlowCompute, _slow_compute),
    _tool("confirm_delete", ConfirmDelete, _confirm_delete),
    _tool("failing_job", NoParameters, _failing_job),
    _tool("protocol_error_job", NoParameters, _protocol_error_job),
)
# Those that the suite wants to be refused to clients that take no tasks. The product has none: it gives a job_id.
ONLY_AS_TASKS = ("failing_job", "test_tool_with_task")
