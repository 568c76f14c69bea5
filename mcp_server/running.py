"""One call of a tool, from unchecked arguments to its outcome: what the server and the shell have in common."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import ValidationError

from vision.call import Asked, Call
from vision.errors import EngineUnavailable, InvalidArgument, LimitExceeded, VisionError, WorkerFailed

if TYPE_CHECKING:
    from tools.result import ToolResult
    from tools.tool import Parameters, Tool
    from vision.service import VisionService

logger = logging.getLogger("internvl_mcp")


async def run_tool(service: VisionService, tool: Tool, arguments: dict[str, Any], call: Call) -> ToolResult:
    """Runs one tool on unchecked arguments. Raises VisionError, InvalidArgument for bad values."""
    parameters = checked(tool.parameters, arguments)
    if tool.run is None:
        raise EngineUnavailable(f"{tool.name} works in a server", "A command here runs to its end and has no jobs.")
    call = replace(call, asked=Asked(tool.name, parameters.model_dump(mode="json", exclude_unset=True)))
    try:
        # A wider bound than the work's own: tools stop by themselves in time; this catches one that does not.
        with anyio.fail_after(call.within_s + service.settings.decode_timeout_s):
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


def error_value(error: VisionError) -> dict[str, Any]:
    """What a client reads of an error."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}


def log_error(name: str, error: VisionError) -> None:
    """One line for what a client did wrong, the whole story for what broke here."""
    logger.info("%s: %s: %s", name, error.code, error.message)
    if isinstance(error, WorkerFailed):
        for note in getattr(error, "__notes__", ()):
            logger.warning("%s", note)
