"""The server that the conformance suite is run against: the product's own, with what the suite asks for laid over it.

It is `internvl-mcp serve --http`: the product's `build_app` makes the server and its HTTP wiring serves it. Only
handlers are wrapped: what the suite names is answered from `asked_for`, everything else goes to the product's own.

Usage: python -m tests.conformance.server --port N [other flags of `internvl-mcp serve --http`]
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from mcp_server import calling, cli, http_serve, tasks
from mcp_server.app import LazyService, build_app
from mcp_server.http_turns import Turns
from tests.conformance import asked_for
from tests.conformance.asked_for import Context
from tests.conformance.slow_tools import ONLY_AS_TASKS, REPLY_WITHIN_S, SLOW_TOOLS


def build_fixture(service: LazyService, turns: Turns | None = None) -> Server[Any]:
    app = build_app(service, turns)
    # The SDK's own guard of what a server keeps with its client; the product keeps nothing there.
    app.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=app.name))
    _lay_over_tools(app)
    _lay_over_prompts(app)
    _lay_over_resources(app)
    _add_legacy(app)
    return app


def _product(app: Server[Any], method: str) -> Callable[[Context, Any], Awaitable[Any]]:
    entry = app.get_request_handler(method)
    assert entry is not None, f"the product answers {method}"
    return entry.handler


def _lay_over_tools(app: Server[Any]) -> None:
    listed, called = _product(app, "tools/list"), _product(app, "tools/call")

    async def list_tools(context: Context, params: types.PaginatedRequestParams) -> types.ListToolsResult:
        result = await listed(context, params)
        slow = [
            types.Tool(name=tool.name, description=tool.description, input_schema=tool.parameters.model_json_schema())
            for tool in SLOW_TOOLS
        ]
        return result.model_copy(update={"tools": [*asked_for.tools(), *slow, *result.tools]})

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> Any:
        if params.name in ONLY_AS_TASKS:
            tasks.require_declared(context)
        if params.name in asked_for.TOOLS:
            return await asked_for.TOOLS[params.name][1](context, params)
        if params.name in asked_for.CALLS:
            begins = asked_for.CALLS[params.name](params)
            if isinstance(begins, types.InputRequiredResult):
                return begins
            name, arguments = begins
            params = params.model_copy(update={"name": name, "arguments": arguments})
        return await called(context, params)

    app.get_tool_input_schema = None  # the SDK then looks at the list, which has the suite's tools
    app.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)
    app.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)


def _lay_over_prompts(app: Server[Any]) -> None:
    listed, got = _product(app, "prompts/list"), _product(app, "prompts/get")
    completed = _product(app, "completion/complete")
    own = {prompt.name for prompt in asked_for.prompts()}

    async def list_prompts(context: Context, params: types.PaginatedRequestParams) -> types.ListPromptsResult:
        result = await listed(context, params)
        return result.model_copy(update={"prompts": [*asked_for.prompts(), *result.prompts]})

    async def get_prompt(context: Context, params: types.GetPromptRequestParams) -> Any:
        return asked_for.prompt(params) if params.name in own else await got(context, params)

    async def complete(context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        if isinstance(params.ref, types.PromptReference) and params.ref.name in own:
            return types.CompleteResult(completion=types.Completion(values=["tested", "testing"]))
        return await completed(context, params)

    app.add_request_handler("prompts/list", types.PaginatedRequestParams, list_prompts)
    app.add_request_handler("prompts/get", types.GetPromptRequestParams, get_prompt)
    app.add_request_handler("completion/complete", types.CompleteRequestParams, complete)


def _lay_over_resources(app: Server[Any]) -> None:
    listed, read = _product(app, "resources/list"), _product(app, "resources/read")
    templates = _product(app, "resources/templates/list")

    async def list_resources(context: Context, params: types.PaginatedRequestParams) -> types.ListResourcesResult:
        result = await listed(context, params)
        return result.model_copy(update={"resources": [*asked_for.resources(), *result.resources]})

    async def list_templates(context: Context, params: types.PaginatedRequestParams) -> Any:
        result = await templates(context, params)
        return result.model_copy(update={"resource_templates": [asked_for.TEMPLATE, *result.resource_templates]})

    async def read_resource(context: Context, params: types.ReadResourceRequestParams) -> Any:
        found = asked_for.resource(params.uri)
        return await read(context, params) if found is None else types.ReadResourceResult(contents=[found])

    app.add_request_handler("resources/list", types.PaginatedRequestParams, list_resources)
    app.add_request_handler("resources/templates/list", types.PaginatedRequestParams, list_templates)
    app.add_request_handler("resources/read", types.ReadResourceRequestParams, read_resource)


def _add_legacy(app: Server[Any]) -> None:
    """What the product leaves out, and 2025-11-25 still has: log levels and subscriptions."""

    async def done(_: Context, __: types.RequestParams) -> types.EmptyResult:
        return types.EmptyResult()

    app.add_request_handler("logging/setLevel", types.SetLevelRequestParams, done)
    app.add_request_handler("resources/subscribe", types.SubscribeRequestParams, done)
    app.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, done)


def main(arguments: list[str]) -> int:
    http_serve.build_app = build_fixture  # all else is the product's
    calling.TOOLS = (*calling.TOOLS, *SLOW_TOOLS)
    return cli.main(["serve", "--http", "--reply-within-s", str(REPLY_WITHIN_S), *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
