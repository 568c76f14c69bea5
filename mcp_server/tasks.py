"""The extension io.modelcontextprotocol/tasks (2026-07-28): a call that goes on is a task, for clients that declare it.

https://modelcontextprotocol.io/seps/2663-tasks-extension. A task is a job, its id the job's: get_result knows it as
well. One that must know its client's roots waits for them (input_required). None is told of by notifications: clients
poll.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mcp_server.owner import owner_of
from vision.errors import StoreFailed, VisionError
from vision.types import Frozen

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

    from mcp_server.app import LazyService
    from mcp_server.http_turns import Turns
    from mcp_server.job_store import Outcome
    from mcp_server.jobs import Found, Job, Jobs

EXTENSION = "io.modelcontextprotocol/tasks"
_POLL_EVERY_MS = 2_000


class TaskParams(types.RequestParams):
    """Of tasks/get and tasks/cancel."""

    task_id: str


class UpdateParams(TaskParams):
    """Of tasks/update: some or all of what the task waits for; anything else is to be ignored."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


class Task(Frozen):
    """The wire form of a job. `result`: of the call, in the state completed, where a tool's error is one as well.
    `error`: what the server failed with, in the state failed, as JSON-RPC has it. `input_requests`: what the client
    has to answer with tasks/update, in the state input_required.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    result_type: Literal["task", "complete"] = "complete"
    task_id: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str
    created_at: str
    last_updated_at: str
    ttl_ms: int
    poll_interval_ms: int = Field(default=_POLL_EVERY_MS)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None


def serve(app: Server[TaskGroup], service: LazyService, turns: Turns | None) -> None:
    """Declares the extension, and answers its requests."""

    async def get(context: ServerRequestContext[TaskGroup], params: TaskParams) -> Task:
        jobs = service.jobs_in(context.lifespan_context, turns)
        return _task(await _found(jobs, context, params, cancel=False), jobs.keep_s)

    async def cancel(context: ServerRequestContext[TaskGroup], params: TaskParams) -> types.EmptyResult:
        await _found(service.jobs_in(context.lifespan_context, turns), context, params, cancel=True)
        return types.EmptyResult()

    async def update(context: ServerRequestContext[TaskGroup], params: UpdateParams) -> types.EmptyResult:
        jobs = service.jobs_in(context.lifespan_context, turns)
        await _found(jobs, context, params, cancel=False)
        try:
            jobs.answer(owner_of(context), params.task_id, params.input_responses)
        except ValidationError as error:
            raise MCPError(types.INVALID_PARAMS, "A response is not of the form that its request wants") from error
        return types.EmptyResult()

    app.extensions[EXTENSION] = {}
    app.add_request_handler("tasks/get", TaskParams, get)
    app.add_request_handler("tasks/cancel", TaskParams, cancel)
    app.add_request_handler("tasks/update", UpdateParams, update)


def declared_by(context: ServerRequestContext[Any]) -> bool:
    """Whether the client declares, with this request, that it takes tasks. Before 2026-07-28 there are none."""
    capabilities = context.session.client_capabilities
    extensions = capabilities.extensions if capabilities is not None else None
    return context.session.protocol_version in MODERN_PROTOCOL_VERSIONS and EXTENSION in (extensions or {})


def created(found: Found, keep_s: float) -> Task:
    """The reply of a call that goes on as a task."""
    return _task(found, keep_s).model_copy(update={"result_type": "task", "status": "working", "input_requests": None})


def require_declared(context: ServerRequestContext[Any]) -> None:
    """Raises MCPError, with what is missing, for a client that does not declare that it takes tasks."""
    if not declared_by(context):
        data = types.MissingRequiredClientCapabilityErrorData(
            required_capabilities=types.ClientCapabilities(extensions={EXTENSION: {}})
        )
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "Missing required client capability",
            data.model_dump(by_alias=True, mode="json", exclude_none=True),
        )


async def _found(jobs: Jobs, context: ServerRequestContext[Any], params: TaskParams, *, cancel: bool) -> Found:
    require_declared(context)

    async def at_once(_: Job, __: float) -> None:
        """Clients poll: nobody waits here."""

    try:
        return await jobs.result(owner_of(context), params.task_id, 0.0, cancel, at_once)
    except StoreFailed as error:
        raise MCPError(types.INTERNAL_ERROR, f"{error.message}. {error.hint}") from error
    except VisionError as error:
        raise MCPError(types.INVALID_PARAMS, f"{error.message}. {error.hint}") from error


def _task(found: Found, keep_s: float) -> Task:
    task = Task(
        task_id=found.job_id,
        status="cancelled" if found.state == "cancelled" else "working",
        status_message=found.progress.message,
        created_at=_iso(found.created),
        last_updated_at=_iso(found.updated),
        # It is kept since its last change; the extension counts from the beginning.
        ttl_ms=round(1000 * (found.updated - found.created + keep_s)),
    )
    if found.outcome is not None:
        return task.model_copy(update=_end(found, found.outcome))
    if found.asks and found.state == "working":
        asks = {name: ask.model_dump(by_alias=True, mode="json", exclude_none=True) for name, ask in found.asks.items()}
        return task.model_copy(update={"status": "input_required", "input_requests": asks})
    return task


def _end(found: Found, outcome: Outcome) -> dict[str, Any]:
    if outcome.server_failed:
        told = outcome.value["error"]
        error = types.ErrorData(code=types.INTERNAL_ERROR, message=f"{told['message']}. {told['hint']}")
        return {"status": "failed", "error": error.model_dump(mode="json", exclude_none=True)}
    from mcp_server.calling import reply

    return {"status": "completed", "result": reply(found).model_dump(by_alias=True, mode="json", exclude_none=True)}


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
