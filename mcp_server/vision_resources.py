"""Results as resources: a client lists what its owner's long calls gave, and reads one again without the work."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_server.owner import owner_of
from vision.errors import VisionError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

    from mcp_server.app import LazyService
    from mcp_server.http_turns import Turns
    from mcp_server.job_store import KeptJob
    from mcp_server.jobs import Jobs

TEMPLATE_ARGUMENT = "id"
_BEGINNING = "vision://results/"
TEMPLATE = f"{_BEGINNING}{{{TEMPLATE_ARGUMENT}}}"
_JSON = "application/json"
_MOST_LISTED = 100


def serve(app: Server[TaskGroup], service: LazyService, turns: Turns | None) -> None:
    """Answers the requests about resources."""

    async def list_resources(
        context: ServerRequestContext[TaskGroup], _: types.PaginatedRequestParams
    ) -> types.ListResourcesResult:
        return await listed(service.jobs_in(context.lifespan_context, turns), owner_of(context))

    async def list_templates(
        _: ServerRequestContext[TaskGroup], __: types.PaginatedRequestParams
    ) -> types.ListResourceTemplatesResult:
        return templates()

    async def read_resource(
        context: ServerRequestContext[TaskGroup], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        return await read(service.jobs_in(context.lifespan_context, turns), owner_of(context), params.uri)

    app.add_request_handler("resources/list", types.PaginatedRequestParams, list_resources)
    app.add_request_handler("resources/templates/list", types.PaginatedRequestParams, list_templates)
    app.add_request_handler("resources/read", types.ReadResourceRequestParams, read_resource)


def templates() -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template=TEMPLATE,
        name="result",
        title="A result",
        description="What a call that had a job_id gave, by that id: the same JSON, as long as it is kept.",
        mime_type=_JSON,
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def listed(jobs: Jobs, owner: str) -> types.ListResourcesResult:
    """The owner's results, the last one first. Raises MCPError when the store fails."""
    kept = await _kept(jobs, owner)
    return types.ListResourcesResult(resources=[_resource(job) for job in kept[:_MOST_LISTED]])


async def ids(jobs: Jobs, owner: str) -> list[str]:
    """The ids of the owner's results, the last one first. Raises MCPError when the store fails."""
    return [job.id for job in await _kept(jobs, owner)]


async def read(jobs: Jobs, owner: str, uri: str) -> types.ReadResourceResult:
    """The result's JSON, or the error that the call came to. Raises MCPError: -32602 where the owner has none there."""
    job_id = uri.removeprefix(_BEGINNING)
    if job_id == uri:
        raise _unknown(uri)
    try:
        job = await jobs.find(owner, job_id)
    except VisionError as error:
        raise _failed(error) from error
    if job is None or job.state == "cancelled":
        raise _unknown(uri)
    if job.outcome is None:
        message = f"{uri} is still being worked at: get_result with its job_id waits for it."
        raise MCPError(types.INVALID_PARAMS, message, {"uri": uri})
    text = json.dumps(job.outcome.value, ensure_ascii=False, separators=(",", ":"))
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=_JSON, text=text)])


async def _kept(jobs: Jobs, owner: str) -> tuple[KeptJob, ...]:
    try:
        return await jobs.kept(owner)
    except VisionError as error:
        raise _failed(error) from error


def _resource(job: KeptJob) -> types.Resource:
    made = datetime.fromtimestamp(job.updated, UTC)
    return types.Resource(
        uri=f"{_BEGINNING}{job.id}",
        name=f"{job.tool}-{job.id}",
        title=f"{job.tool}, {made:%Y-%m-%d %H:%M} UTC",
        description=f"What a call of {job.tool} gave.",
        mime_type=_JSON,
        annotations=types.Annotations(last_modified=made.isoformat(timespec="seconds")),
    )


def _unknown(uri: str) -> MCPError:
    """The same words for what never was, is no more, or is somebody else's: none can be told from another."""
    return MCPError(
        types.INVALID_PARAMS,
        f"No such resource: {uri[:200]}. Results are at {TEMPLATE} and expire; resources/list has those there are.",
        {"uri": uri},
    )


def _failed(error: VisionError) -> MCPError:
    return MCPError(types.INTERNAL_ERROR, f"{error.message}. {error.hint}")
