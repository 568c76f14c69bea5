"""The MCP server: lists the tools and runs them. Protocol in, protocol out; the work is in `tools` and `vision`.

Start-up imports nothing but the SDK and pydantic: the tool list is a file rendered ahead (`scripts/render`),
and the tools themselves load with the first call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_server import __version__, prompts
from mcp_server.client import NeedsClientRoots, ProgressReporter, client_roots
from mcp_server.owner import owner_of
from vision.call import Call
from vision.config import Settings
from vision.errors import InvalidArgument, LimitExceeded, VisionError, WorkerFailed

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from mcp_server.http_turns import Turns
    from tools.result import ToolResult
    from tools.tool import Parameters, Tool
    from vision.service import VisionService

logger = logging.getLogger("internvl_mcp")

INSTRUCTIONS = """\
Sees for you: pictures, screenshots, scans, PDFs, charts and video, from a file path, an https URL, a data: URI or \
the clipboard.
- Text in a picture or screenshot: extract_text (lines with boxes). A PDF or a scanned page: read_document (Markdown, \
tables kept, page by page; use `pages` and `cursor` for long ones).
- A chart: answer_chart. A video or screen recording: analyze_video (give start and end to look closer).
- Where something stands: locate_objects. What a picture is: describe_image. What this machine can do: manage_model.
- A result with a conversation_id can be asked about further: ask_followup.
Every result says which engine worked, what it looked at and what it could not do; `answer` is null when nothing here \
can honestly answer, and the text, boxes and measures in the result are then yours to reason from."""


class LazyService:
    """The service, made when the first call needs it: its imports would delay the server's first reply."""

    def __init__(self, settings: Settings, working_directory: Path) -> None:
        self._settings = settings
        self._working_directory = working_directory
        self._service: VisionService | None = None

    def started_in(self, group: TaskGroup) -> VisionService:
        if self._service is None:
            from vision.service import VisionService

            self._service = VisionService(self._settings, self._working_directory)
            group.start_soon(self._service.end_idle_workers)
        return self._service

    def close(self) -> None:
        if self._service is not None:
            self._service.close()


def build_app(service: LazyService, turns: Turns | None = None) -> Server[TaskGroup]:
    """The server over any transport; leaving its lifespan ends every worker process. `turns`: None where one client has
    it to itself.
    """

    @asynccontextmanager
    async def lifespan(_: Server[TaskGroup]) -> AsyncIterator[TaskGroup]:
        async with anyio.create_task_group() as background:
            try:
                yield background
            finally:
                service.close()
                background.cancel_scope.cancel()

    async def list_tools(
        _: ServerRequestContext[TaskGroup], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(rendered_tools()))

    async def call_tool(
        context: ServerRequestContext[TaskGroup], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        return await _call_tool(service.started_in(context.lifespan_context), context, params, turns)

    async def list_prompts(
        _: ServerRequestContext[TaskGroup], __: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=prompts.listed())

    async def get_prompt(
        _: ServerRequestContext[TaskGroup], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        return prompts.filled_in(params.name, params.arguments or {})

    return Server(
        "internvl-mcp",
        version=__version__,
        title="InternVL vision",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


def rendered_tools() -> tuple[types.Tool, ...]:
    """The tool list as `scripts/render` wrote it from the parameter and result models."""
    text = resources.files("mcp_server").joinpath("tool_list.json").read_text(encoding="utf-8")
    return tuple(types.Tool.model_validate(tool) for tool in json.loads(text))


async def _call_tool(
    service: VisionService,
    context: ServerRequestContext[Any],
    params: types.CallToolRequestParams,
    turns: Turns | None,
) -> types.CallToolResult | types.InputRequiredResult:
    tool = _tool_named(params.name)
    arguments = dict(params.arguments or {})
    _refuse_unknown_arguments(tool, arguments)
    async with ProgressReporter(context.session) as progress:
        call = Call(
            reply_within_s=service.settings.reply_within_s,
            progress=progress.report,
            client_roots=lambda: client_roots(context, params),
        )
        try:
            async with _turn(turns, owner_of(context), tool, call):
                result = await run_tool(service, tool, arguments, call)
        except NeedsClientRoots:
            return types.InputRequiredResult(input_requests={"roots": types.ListRootsRequest()})
        except VisionError as error:
            log_error(tool.name, error)
            return _error_result(error)
        except Exception:  # the outermost handler: one broken call must not end the server
            logger.exception("%s failed", tool.name)
            return _error_result(WorkerFailed("the server failed on this call", "This is a bug; see its log (stderr)."))
    value = result.model_dump(mode="json")
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=value)


def _turn(turns: Turns | None, owner: str, tool: Tool, call: Call) -> AbstractAsyncContextManager[None]:
    return nullcontext() if turns is None else turns.turn(owner, tool.name, call)


async def run_tool(service: VisionService, tool: Tool, arguments: dict[str, Any], call: Call) -> ToolResult:
    """Runs one tool on unchecked arguments. Raises VisionError, InvalidArgument for bad values."""
    parameters = checked(tool.parameters, arguments)
    try:
        # A wider bound than the reply's own: tools stop by themselves in time; this catches one that does not.
        with anyio.fail_after(service.settings.reply_within_s + service.settings.decode_timeout_s):
            return await tool.run(service, parameters, call)
    except TimeoutError as e:
        raise LimitExceeded("the call took too long and was stopped", "Ask for less: fewer pages or a region.") from e


def checked(model: type[Parameters], arguments: dict[str, Any]) -> Parameters:
    """The arguments as the tool's parameters. Raises InvalidArgument that names the argument."""
    try:
        return model.model_validate(arguments)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "arguments"
        field = model.model_fields.get(str(first["loc"][0])) if first["loc"] else None
        about = (field.description if field else None) or f"Arguments: {', '.join(model.model_fields)}."
        raise InvalidArgument(f"{name}: {first['msg']}", about) from e


def _tool_named(name: str) -> Tool:
    from tools.catalogue import TOOLS

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


def _error_result(error: VisionError) -> types.CallToolResult:
    value = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    text = json.dumps(value, ensure_ascii=False)
    # No structured content: it would have to follow the tool's result schema, which an error cannot.
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def log_error(name: str, error: VisionError) -> None:
    """One line for what a client did wrong, the whole story for what broke here."""
    logger.info("%s: %s: %s", name, error.code, error.message)
    if isinstance(error, WorkerFailed):
        for note in getattr(error, "__notes__", ()):
            logger.warning("%s", note)
