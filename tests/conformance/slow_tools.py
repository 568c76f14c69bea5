"""The tools of the suite's tasks scenarios, as tools of the product: they run as jobs, and become tasks as those do."""

from __future__ import annotations

import anyio
import mcp_types as types

from mcp_server.jobs import Job
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


async def _confirm_delete(_: VisionService, parameters: ConfirmDelete, call: Call) -> ToolResult:
    answers = await _job(call).questions.ask({"confirm": _question(f"Delete {parameters.filename}?")})
    return ToolResult(answer=f"{parameters.filename}: {len(answers)} answers", engine=_ENGINE)


async def _multi_input(_: VisionService, __: NoParameters, call: Call) -> ToolResult:
    answers = await _job(call).questions.ask({"first": _question("Go on?"), "second": _question("Really?")})
    return ToolResult(answer=f"{len(answers)} answers", engine=_ENGINE)


def _job(call: Call) -> Job:
    """The job asks for roots by itself; no tool of the product has anything to ask, and none knows its job."""
    job = getattr(call.progress, "__self__", None)
    assert isinstance(job, Job)
    return job


def _question(words: str) -> types.ElicitRequest:
    schema = {"type": "object", "properties": {"confirm": {"type": "boolean"}}}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=words, requested_schema=schema))


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
    _tool("multi_input", NoParameters, _multi_input),
    _tool("failing_job", NoParameters, _failing_job),
    _tool("protocol_error_job", NoParameters, _protocol_error_job),
)
# Those that the suite wants to be refused to clients that take no tasks. The product has none: it gives a job_id.
ONLY_AS_TASKS = ("failing_job", "test_tool_with_task")
