"""Completions: what a client offers while a person fills in a prompt's argument or a resource's address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_server import prompts, vision_resources
from mcp_server.owner import owner_of
from mcp_server.vision_resources import TEMPLATE, TEMPLATE_ARGUMENT

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

    from mcp_server.app import LazyService
    from mcp_server.http_turns import Turns

_MOST = 100  # the protocol's own bound


def serve(app: Server[TaskGroup], service: LazyService, turns: Turns | None) -> None:
    """Answers completion/complete."""

    async def complete(
        context: ServerRequestContext[TaskGroup], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        async def result_ids() -> list[str]:
            return await vision_resources.ids(service.jobs_in(context.lifespan_context, turns), owner_of(context))

        return await completed(params, result_ids)

    app.add_request_handler("completion/complete", types.CompleteRequestParams, complete)


async def completed(
    params: types.CompleteRequestParams, result_ids: Callable[[], Awaitable[Sequence[str]]]
) -> types.CompleteResult:
    """Values that fit what was typed so far; none where anything may be typed.

    `result_ids`: the asking owner's results, newest first. Raises MCPError (-32602) for a prompt, template or argument
    that there is not.
    """
    argument = params.argument
    if isinstance(params.ref, types.PromptReference):
        values = _values(prompts.named(params.ref.name).argument(argument.name))
    elif params.ref.uri != TEMPLATE:
        raise MCPError(types.INVALID_PARAMS, f"No such template: {params.ref.uri[:100]}. There is {TEMPLATE}.")
    elif argument.name != TEMPLATE_ARGUMENT:
        raise MCPError(types.INVALID_PARAMS, f"{TEMPLATE} has no {argument.name[:100]!r} to fill in.")
    else:
        values = await result_ids()
    found = _fitting(values, argument.value)
    completion = types.Completion(values=found[:_MOST], total=len(found), has_more=len(found) > _MOST)
    return types.CompleteResult(completion=completion)


def _values(argument: prompts.Argument) -> Sequence[str]:
    if argument.variant:
        from vision.variants.catalogue import variants  # read when it is asked for, not at start-up

        return [variant.name for variant in variants()]
    return argument.choices


def _fitting(values: Iterable[str], typed: str) -> list[str]:
    """Those that begin with what was typed, in any case, then those that hold it: "8b" finds InternVL3.5-8B."""
    wanted = typed.strip().casefold()
    holding = [value for value in values if wanted in value.casefold()]
    return sorted(holding, key=lambda value: not value.casefold().startswith(wanted))
