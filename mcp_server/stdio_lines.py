"""Lines on standard input that are no messages: whoever sent one hears so.

The SDK notes them in its log and drops them, and the sender waits for ever: it does so with JSON that is nested deeper
than 200 levels, as a hostile or generated argument may be.
"""

from __future__ import annotations

import contextvars
import re
from types import TracebackType
from typing import Any

import anyio
import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

# An id stands before the parameters or after them; SDKs write one of both.
_ENDS_CHARACTERS = 300
_ID = r'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,100}")'
_FIRST = re.compile(rf"\s*\{{(?:(?!\"params\"|\"result\").)*?{_ID}")
_LAST = re.compile(rf'{_ID}\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}}\s*$')


class AnsweredLines:
    """The SDK's stream of incoming messages. `outgoing`: where the answers go."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    @property
    def last_context(self) -> contextvars.Context | None:
        return self._incoming.last_context

    async def receive(self) -> SessionMessage | Exception:
        item = await self._incoming.receive()
        if isinstance(item, ValidationError):
            await self._answer(item)
        return item

    async def _answer(self, error: ValidationError) -> None:
        first = error.errors(include_url=False, include_context=False)[0]
        number = request_id(first["input"]) if isinstance(first["input"], str) else None
        if number is None:
            return
        data = types.ErrorData(
            code=types.PARSE_ERROR,
            message="This message cannot be read as JSON-RPC: it is no valid JSON, or nested deeper than 200 levels.",
        )
        try:
            await self._outgoing.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=number, error=data)))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # the client has left

    async def aclose(self) -> None:
        await self._incoming.aclose()

    def __aiter__(self) -> AnsweredLines:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> AnsweredLines:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def request_id(line: str) -> int | str | None:
    """The id of a request that cannot be parsed; None where it is not to be found."""
    found = _FIRST.match(line[:_ENDS_CHARACTERS]) or _LAST.search(line[-_ENDS_CHARACTERS:])
    if found is None or '"method"' not in line[:_ENDS_CHARACTERS] + line[-_ENDS_CHARACTERS:]:
        return None
    return int(found[1]) if found[1].isdecimal() else found[1][1:-1]
