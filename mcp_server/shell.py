"""`internvl-mcp call`: the same tools from a shell, readable or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from mcp_server.running import run_tool
from vision.call import Call
from vision.config import Settings
from vision.errors import InvalidArgument, VisionError
from vision.service import VisionService

if TYPE_CHECKING:
    from tools.result import ToolResult
    from tools.tool import Tool


def call_tool(options: argparse.Namespace, settings: Settings) -> int:
    """Runs one tool and prints its result; 1 when the tool refuses, 2 when the command cannot be meant."""
    from tools.catalogue import TOOLS

    tool = next((tool for tool in TOOLS if tool.name == options.tool), None)
    if tool is None:
        _complain("unknown_tool", f"there is no tool {options.tool}", f"Tools: {', '.join(t.name for t in TOOLS)}.")
        return 2
    needed = any(field.is_required() for field in tool.parameters.model_fields.values())
    if needed and not options.arguments and options.json_arguments is None:
        _say(_usage(tool))
        return 2
    try:
        arguments = _arguments(options)
        unknown = [name for name in arguments if name not in tool.parameters.model_fields]
        if unknown:
            raise InvalidArgument(f"{tool.name} has no argument {unknown[0]!r}", _usage(tool))
        if tool.name == "manage_model" and arguments.get("action") == "download":
            raise InvalidArgument("a download would end with this command", "Fetch weights with: internvl-mcp pull")
        result = anyio.run(_run, settings, tool, arguments)
    except VisionError as error:
        if options.json:
            _say(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint}}, indent=2))
        else:
            _complain(error.code, error.message, error.hint)
        return 1
    except KeyboardInterrupt:
        return 130
    _say(json.dumps(result.model_dump(mode="json"), ensure_ascii=False, indent=2) if options.json else readable(result))
    return 0


async def _run(settings: Settings, tool: Tool, arguments: dict[str, Any]) -> ToolResult:
    async def progress(done: float, total: float | None, message: str) -> None:
        if sys.stderr.isatty():
            share = f"{100 * done / total:3.0f} %" if total else f"{done:g}"
            sys.stderr.write(f"\r\x1b[K{share} {message[:100]}")
            sys.stderr.flush()

    with VisionService(settings, Path.cwd()) as service:
        call = Call(within_s=settings.job_within_s, progress=progress)
        try:
            return await run_tool(service, tool, arguments, call)
        finally:
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if options.json_arguments is not None:
        try:
            found = json.loads(options.json_arguments)
        except ValueError as e:
            raise InvalidArgument(
                f"--arguments is not JSON: {e}", """Write --arguments '{"source": "a.png"}'."""
            ) from e
        if not isinstance(found, dict):
            raise InvalidArgument("--arguments is not a JSON object", """Write --arguments '{"source": "a.png"}'.""")
    for given in options.arguments:
        name, equals, text = given.partition("=")
        if equals and name.isidentifier():
            found[name] = _value(text)
        elif "source" in found:
            raise InvalidArgument(f"{given!r} is a second source", "Write other arguments as name=value.")
        else:
            found["source"] = given
    if "source" in found and options.tool == "describe_image" and "sources" not in found:
        found["sources"] = [found.pop("source")]
    return found


def _value(text: str) -> Any:
    """Lists and objects are written as JSON; numbers and the like are text that the parameter's type reads."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as e:
        raise InvalidArgument(f"{text!r} is not JSON: {e}", "Quote it for the shell: region='[0, 0, 100, 50]'.") from e


def _usage(tool: Tool) -> str:
    lines = [f"{tool.name}: {tool.description}", "", f"internvl-mcp call {tool.name} name=value …"]
    for name, field in tool.parameters.model_fields.items():
        required = " (required)" if field.is_required() else ""
        lines.append(f"  {name}{required}: {field.description or ''}")
    return "\n".join(lines)


def readable(result: ToolResult) -> str:
    """The result for a person: what was asked for first, then what should be known about it."""
    value = result.model_dump(mode="json")
    shared = set(type(result).__mro__[1].model_fields)
    parts = [value["answer"]] if value["answer"] else []
    for name, part in value.items():
        if name not in shared and part not in (None, [], {}, ""):
            parts.append(f"{name}:\n{_shown(part)}")
    parts += [f"note: {notice}" for notice in value["notices"]]
    if value["next_cursor"]:
        parts.append(f"more: cursor={value['next_cursor']}")
    parts.append(f"[{value['engine']['name']}: {value['engine']['reason']}; {value['timings_ms'].get('total', 0)} ms]")
    return "\n\n".join(parts)


def _shown(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "\n".join(f"- {_shown_inline(entry)}" for entry in part)
    return _shown_inline(part)


def _shown_inline(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(code: str, message: str, hint: str) -> None:
    sys.stderr.write(f"{code}: {message}\n{hint}\n")
