"""The MCP server: lists the tools and runs them. Protocol in, protocol out; the work is in `tools` and `vision`.

Start-up imports nothing but the SDK and pydantic: the tool list is a file rendered ahead (`scripts/render`),
and the tools themselves load with the first call.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp.server.lowlevel import Server

from mcp_server import __version__, completions, prompts, tasks, vision_resources
from vision.config import Settings

if TYPE_CHECKING:
    from mcp.server.context import HandlerResult, ServerRequestContext

    from mcp_server.http_turns import Turns
    from mcp_server.jobs import Jobs
    from vision.service import VisionService

INSTRUCTIONS = """\
Sees for you: pictures, screenshots, scans, PDFs, charts and video, from a file path, an https URL, a data: URI or \
the clipboard.
- Text in a picture or screenshot: extract_text (lines with boxes). A PDF or a scanned page: read_document (Markdown, \
tables kept, page by page; use `pages` and `cursor` for long ones).
- A chart: answer_chart. A video or screen recording: analyze_video (give start and end to look closer).
- Where something stands: locate_objects. What a picture is: describe_image. What this machine can do: manage_model.
- A result with a conversation_id can be asked about further: ask_followup.
- A reply with a job_id has no result yet: the work goes on, and get_result fetches it.
Every result says which engine worked, what it looked at and what it could not do; `answer` is null when nothing here \
can honestly answer, and the text, boxes and measures in the result are then yours to reason from."""


class LazyService:
    """The service, made when the first call needs it: its imports would delay the server's first reply."""

    def __init__(self, settings: Settings, working_directory: Path) -> None:
        self.settings = settings
        self._working_directory = working_directory
        self._service: VisionService | None = None
        self._jobs: Jobs | None = None

    def started_in(self, group: TaskGroup) -> VisionService:
        if self._service is None:
            from vision.service import VisionService

            self._service = VisionService(self.settings, self._working_directory)
            group.start_soon(self._service.end_idle_workers)
        return self._service

    def jobs_in(self, group: TaskGroup, turns: Turns | None) -> Jobs:
        """The calls at work, which end with `group`."""
        if self._jobs is None:
            from mcp_server.jobs import Jobs

            self._jobs = Jobs(self.started_in(group), group, self._working_directory, turns)
        return self._jobs

    def close(self) -> None:
        if self._jobs is not None:
            self._jobs.close()
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

    @cache
    def tools() -> dict[str, types.Tool]:
        """Read with the first request that needs them, and once: they are the same for everybody."""
        return {tool.name: tool for tool in rendered_tools()}

    async def list_tools(
        _: ServerRequestContext[TaskGroup], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(tools().values()))

    def input_schema(name: str) -> dict[str, Any] | None:
        """For arguments that are wanted as HTTP headers; otherwise the SDK has the tools listed for every call."""
        tool = tools().get(name)
        return None if tool is None else tool.input_schema

    async def call_tool(context: ServerRequestContext[TaskGroup], params: types.CallToolRequestParams) -> HandlerResult:
        until = time.monotonic() + service.settings.reply_within_s
        jobs = service.jobs_in(context.lifespan_context, turns)
        from mcp_server.calling import call

        return await call(jobs, context, params, until)

    async def list_prompts(
        _: ServerRequestContext[TaskGroup], __: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=prompts.listed())

    async def get_prompt(
        _: ServerRequestContext[TaskGroup], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        return prompts.filled_in(params.name, params.arguments or {})

    app = Server(
        "internvl-mcp",
        version=__version__,
        title="InternVL vision",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )
    # Not as on_call_tool, whose type does not admit the results of extensions.
    app.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    tasks.serve(app, service, turns)
    vision_resources.serve(app, service, turns)
    completions.serve(app, service, turns)
    return app


def rendered_tools() -> tuple[types.Tool, ...]:
    """The tool list as `scripts/render` wrote it from the parameter and result models."""
    text = resources.files("mcp_server").joinpath("tool_list.json").read_text(encoding="utf-8")
    return tuple(types.Tool.model_validate(tool) for tool in json.loads(text))
