"""What the conformance suite asks of a server: its `test_*` tools, its prompts and its `test://` resources.

Each does what the suite's description of the scenario says (its dist/index.js), by the product's own means where it has
them: progress is followed as a job's is, and the error is that of a real tool.
"""

from __future__ import annotations

import base64
import json
import struct
import warnings
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.shared.message import ServerMessageMetadata

from mcp_server.client import follow
from tests.conformance.slow_tools import REPLY_WITHIN_S
from tools.result import JobProgress

Context = ServerRequestContext[Any, Any]
Begins = tuple[str, dict[str, Any]] | types.InputRequiredResult
"""A tool's name and its arguments, or what must be answered first."""
ToolReply = types.CallToolResult | types.InputRequiredResult
_PAUSE_S = 0.05


def _png() -> str:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


def _wav() -> str:
    """Four silent samples."""
    samples = bytes(8)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", len(samples)) + samples
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


PNG = types.ImageContent(data=_png(), mime_type="image/png")


def _text(words: str) -> types.TextContent:
    return types.TextContent(text=words)


def _said(*content: types.ContentBlock) -> types.CallToolResult:
    return types.CallToolResult(content=list(content))


def _resource(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text))


# Tools that only answer.


class _Work:
    """Work that is followed as a job is."""

    def __init__(self) -> None:
        self.progress = JobProgress()
        self.ended = anyio.Event()
        self._changed = anyio.Event()

    async def change(self) -> None:
        await self._changed.wait()

    async def run(self) -> None:
        for done in (0, 50, 100):
            await anyio.sleep(_PAUSE_S)
            self.progress = JobProgress(done=done, total=100, message="working")
            self._changed.set()
            self._changed = anyio.Event()
        await anyio.sleep(_PAUSE_S)
        self.ended.set()
        self._changed.set()


async def _progress(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    work = _Work()
    async with anyio.create_task_group() as group:
        group.start_soon(work.run)
        await follow(context.session, work, within_s=30)
    return _said(_text("done"))


async def _closes_its_stream(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    """Leaves its client to fetch the answer by another request."""
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await anyio.sleep(_PAUSE_S)
    return _said(_text("done"))


async def _greet(_: Context, params: types.CallToolRequestParams) -> ToolReply:
    return _said(_text(f"Hello, {(params.arguments or {})['name']}!"))


async def _logging(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    """Told only to clients that asked for it, from 2026-07-28 on: the SDK sees to that."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)  # log messages are, and 2025-11-25 has them
            await context.session.send_log_message("info", words, related_request_id=context.request_id)
    return _said(_text("done"))


# Requests of the server to its client: on the call's own stream until 2025-11-25, as a result from 2026-07-28 on.


def _sampling(words: str, tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=_text(words))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def _form(words: str, *required: str, **properties: dict[str, Any]) -> types.ElicitRequest:
    schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=words, requested_schema=schema))


async def _asked(context: Context, request: types.ServerRequest, answer: type[types.Result]) -> ToolReply:
    """Asks on the stream of the call, as a client without a stream of its own hears no other."""
    metadata = ServerMessageMetadata(related_request_id=context.request_id)
    said = await context.session.send_request(request, answer, metadata=metadata)
    return _said(_text(said.model_dump_json(by_alias=True)))


async def _asks_sampling(context: Context, params: types.CallToolRequestParams) -> ToolReply:
    words = (params.arguments or {})["prompt"]
    return await _asked(context, _sampling(words), types.CreateMessageResult)


async def _asks_person(context: Context, params: types.CallToolRequestParams) -> ToolReply:
    words = (params.arguments or {})["message"]
    string = {"type": "string", "description": "Your answer"}
    return await _asked(context, _form(words, "username", "email", username=string, email=string), types.ElicitResult)


async def _asks_with_defaults(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    form = _form(
        "Check these",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )
    return await _asked(context, form, types.ElicitResult)


async def _asks_with_choices(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    plain = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    form = _form(
        "Choose",
        untitledSingle={"type": "string", "enum": plain},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": plain}},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    return await _asked(context, form, types.ElicitResult)


async def _needs_sampling(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    needed = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not context.session.check_client_capability(needed):
        data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        plain = data.model_dump(by_alias=True, mode="json", exclude_none=True)
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling.", plain)
    return _said(_text("done"))


NAME = _form("What is your name?", "name", name={"type": "string"})
CONFIRM = _form("Please confirm", "ok", ok={"type": "boolean"})
ROOTS = types.ListRootsRequest()


def _rounds(
    *rounds: Mapping[str, types.InputRequest], state: bool = False
) -> Callable[[Context, types.CallToolRequestParams], Awaitable[ToolReply]]:
    """A tool that asks the client once a round, and says at last what it was told. `state`: it keeps the round's number
    with the client, which has to be sealed on its way.
    """

    async def run(_: Context, params: types.CallToolRequestParams) -> ToolReply:
        at = int(params.request_state or 0)
        answers = params.input_responses or {}
        if params.request_state is not None or not state:
            at += set(rounds[at]) <= set(answers)
        if at == len(rounds):
            return _said(_text(json.dumps({name: answer.model_dump(mode="json") for name, answer in answers.items()})))
        return types.InputRequiredResult(input_requests=dict(rounds[at]), request_state=str(at) if state else None)

    return run


async def _asks_what_it_may(context: Context, _: types.CallToolRequestParams) -> ToolReply:
    declared = context.session.client_capabilities or types.ClientCapabilities()
    requests: dict[str, types.InputRequest] = {}
    if declared.sampling is not None:
        requests["greeting"] = _sampling("Generate a greeting")
    if declared.elicitation is not None:
        requests["user_name"] = NAME
    return types.InputRequiredResult(input_requests=requests) if requests else _said(_text("done"))


def _says(*content: types.ContentBlock) -> Callable[[Context, types.CallToolRequestParams], Awaitable[ToolReply]]:
    async def run(_: Context, __: types.CallToolRequestParams) -> ToolReply:
        return _said(*content)

    return run


_STRING = {"type": "string"}
_SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": _STRING}}},
    "properties": {"name": _STRING, "address": {"$ref": "#/$defs/address"}, "phone": _STRING, "email": _STRING},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"name": {"const": "phone"}}, "required": ["name"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

# By name: what it takes beside nothing, and what it does.
TOOLS: dict[str, tuple[dict[str, Any], Callable[[Context, types.CallToolRequestParams], Awaitable[ToolReply]]]] = {
    "test_simple_text": ({}, _says(_text("This is a simple text response for testing."))),
    "test_image_content": ({}, _says(PNG)),
    "test_audio_content": ({}, _says(types.AudioContent(data=_wav(), mime_type="audio/wav"))),
    "test_embedded_resource": ({}, _says(_resource("test://embedded-resource", "text/plain", "An embedded resource."))),
    "test_multiple_content_types": (
        {},
        _says(_text("Several:"), PNG, _resource("test://mixed-content-resource", "application/json", '{"test": 1}')),
    ),
    "test_tool_with_progress": ({}, _progress),
    "test_tool_with_logging": ({}, _logging),
    "test_reconnection": ({}, _closes_its_stream),
    "test_logging_tool": ({}, _logging),
    "test_sampling": ({"prompt": _STRING}, _asks_sampling),
    "test_elicitation": ({"message": _STRING}, _asks_person),
    "test_elicitation_sep1034_defaults": ({}, _asks_with_defaults),
    "test_elicitation_sep1330_enums": ({}, _asks_with_choices),
    "test_missing_capability": ({}, _needs_sampling),
    "test_streaming_elicitation": ({}, _rounds({"user_name": NAME})),
    "test_input_required_result_elicitation": ({}, _rounds({"user_name": NAME})),
    "test_input_required_result_sampling": ({}, _rounds({"capital_question": _sampling("The capital of France?")})),
    "test_input_required_result_list_roots": ({}, _rounds({"client_roots": ROOTS})),
    "test_input_required_result_request_state": ({}, _rounds({"confirm": CONFIRM}, state=True)),
    "test_input_required_result_tampered_state": ({}, _rounds({"confirm": CONFIRM}, state=True)),
    "test_input_required_result_multiple_inputs": (
        {},
        _rounds({"user_name": NAME, "greeting": _sampling("A greeting", 50), "client_roots": ROOTS}, state=True),
    ),
    "test_input_required_result_multi_round": ({}, _rounds({"step1": NAME}, {"step2": NAME}, state=True)),
    "test_input_required_result_capabilities": ({}, _asks_what_it_may),
    "greet": ({"name": _STRING}, _greet),
    "test_custom_header": ({"region": {**_STRING, "x-mcp-header": "Region"}}, _says(_text("done"))),
    "json_schema_2020_12_tool": (_SCHEMA_2020_12, _says(_text("done"))),
}


def _reads_nothing(_: types.CallToolRequestParams) -> Begins:
    return "extract_text", {"source": "absent.png"}


def _asks_before_its_task(params: types.CallToolRequestParams) -> Begins:
    answer = (params.input_responses or {}).get("user_name")
    if not isinstance(answer, types.ElicitResult):
        return types.InputRequiredResult(input_requests={"user_name": NAME})
    return "slow_compute", {"seconds": 2 * REPLY_WITHIN_S, "label": str((answer.content or {}).get("name"))}


# By name: the call of a tool of the product, or of its slow ones, that the suite's stands for.
CALLS: dict[str, Callable[[types.CallToolRequestParams], Begins]] = {
    "test_error_handling": _reads_nothing,
    "test_tool_with_task": _asks_before_its_task,
}


def tools() -> list[types.Tool]:
    takes = {**{name: takes for name, (takes, _) in TOOLS.items()}, **{key: {} for key in CALLS}}
    return [types.Tool(name=name, description="For the suite.", input_schema=_schema(takes[name])) for name in takes]


def _schema(takes: dict[str, Any]) -> dict[str, Any]:
    if "$schema" in takes:
        return takes
    return {"type": "object", "properties": takes, "required": list(takes)}


_ARGUMENTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


def prompts() -> list[types.Prompt]:
    def arguments(name: str) -> list[types.PromptArgument]:
        return [types.PromptArgument(name=each, required=True) for each in _ARGUMENTS[name]]

    return [types.Prompt(name=name, description="For the suite.", arguments=arguments(name)) for name in _ARGUMENTS]


def prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    content: list[types.ContentBlock] = [_text("Please process this.")]
    if params.name == "test_prompt_with_arguments":
        content = [_text(f"Prompt with arguments: {given}")]
    elif params.name == "test_prompt_with_embedded_resource":
        content.insert(0, _resource(given["resourceUri"], "text/plain", "Embedded resource content for testing."))
    elif params.name == "test_prompt_with_image":
        content.insert(0, PNG)
    elif params.name == "test_input_required_result_prompt" and "user_context" not in (params.input_responses or {}):
        return types.InputRequiredResult(input_requests={"user_context": NAME})
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in content])


def resources() -> list[types.Resource]:
    return [types.Resource(uri=uri, name=uri.removeprefix("test://"), description="For the suite.") for uri in _FIXED]


def resource(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    """None for an address that is not the suite's."""
    if uri.startswith("test://template/") and uri.endswith("/data"):
        text = json.dumps({"id": uri.split("/")[3]})
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
    return _FIXED.get(uri)


_FIXED: dict[str, types.TextResourceContents | types.BlobResourceContents] = {
    "test://static-text": types.TextResourceContents(uri="test://static-text", mime_type="text/plain", text="Static."),
    "test://static-binary": types.BlobResourceContents(
        uri="test://static-binary", mime_type="image/png", blob=PNG.data
    ),
}
TEMPLATE = types.ResourceTemplate(uri_template="test://template/{id}/data", name="test-template")
