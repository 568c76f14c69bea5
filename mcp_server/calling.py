"""tools/call: a result when it is there in time, else the job, or the task, that goes on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_server import tasks
from mcp_server.client import client_roots, follow
from mcp_server.jobs import Found, Job, Jobs
from mcp_server.owner import owner_of
from mcp_server.running import checked, error_value, log_error
from tools.catalogue import TOOLS
from tools.tool import Tool
from vision.errors import VisionError

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult, ServerRequestContext


async def call(
    jobs: Jobs, context: ServerRequestContext[Any], params: types.CallToolRequestParams, until: float
) -> HandlerResult:
    """Replies by `until` (of time.monotonic), however slowly the client reads its progress."""
    tool = _tool_named(params.name)
    arguments = dict(params.arguments or {})
    _refuse_unknown_arguments(tool, arguments)
    try:
        if tool.run is None:
            return reply(await _get_result(jobs, context, tool, arguments, until))
        job = jobs.begin(tool, arguments, owner_of(context), lambda: client_roots(context, params))
    except VisionError as error:
        return _error_result(tool.name, error)
    try:
        await follow(context.session, job, until - time.monotonic())
        await jobs.accept(job)
    except anyio.get_cancelled_exc_class():
        jobs.drop(job)  # the client left before it got the job's id
        raise
    if job.needs_roots:
        jobs.drop(job)
        return types.InputRequiredResult(input_requests={"roots": types.ListRootsRequest()})
    if job.outcome is None and tasks.declared_by(context):
        job.as_task = True
        return tasks.created(job.found, jobs.keep_s)
    return reply(job.found)


async def _get_result(
    jobs: Jobs, context: ServerRequestContext[Any], tool: Tool, arguments: dict[str, Any], until: float
) -> Found:
    async def waited(job: Job, within_s: float) -> None:
        await follow(context.session, job, within_s)

    asked: Any = checked(tool.parameters, arguments)
    within_s = min(asked.wait_s, until - time.monotonic())
    return await jobs.result(owner_of(context), asked.job_id, within_s, asked.cancel, waited)


def reply(found: Found) -> types.CallToolResult:
    """The same JSON as text and as structured content: clients show one or the other."""
    outcome = found.outcome
    value = found.underway().model_dump(mode="json") if outcome is None else outcome.value
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    if outcome is not None and outcome.is_error:
        # No structured content: it would have to follow the tool's result schema, which an error cannot.
        return types.CallToolResult(content=content, is_error=True)
    return types.CallToolResult(content=content, structured_content=value)


def _error_result(name: str, error: VisionError) -> types.CallToolResult:
    log_error(name, error)
    text = json.dumps(error_value(error), ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _tool_named(name: str) -> Tool:
    for tool in TOOLS:
        if tool.name == name:
            return tool
    known = ", ".join(tool.name for tool in TOOLS)
    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name[:100]}. The tools are: {known}.")


def _refuse_unknown_arguments(tool: Tool, arguments: dict[str, Any]) -> None:
    unknown = [name for name in arguments if name not in tool.parameters.model_fields]
    if unknown:
        known = ", ".join(tool.parameters.model_fields)
        raise MCPError(types.INVALID_PARAMS, f"{tool.name} has no argument {unknown[0][:100]!r}. It takes: {known}.")
