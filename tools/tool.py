"""What a tool is to the protocol: a name, words that sell it, a parameter model, a result model and a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from tools.result import ToolResult
from vision.call import Call
from vision.service import VisionService


class Parameters(BaseModel):
    """Base of every tool's parameters: unknown names are refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Tool:
    """`run`: None for what a server does itself. `reads_network`: whether a source may be an address. `read_only`:
    whether it changes nothing on the machine.
    """

    name: str
    title: str
    description: str
    parameters: type[Parameters]
    result: type[ToolResult]
    run: Callable[[VisionService, Any, Call], Awaitable[ToolResult]] | None
    reads_network: bool = True
    read_only: bool = True
