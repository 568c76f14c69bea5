"""Answers that can be fetched again: what sessions of the older protocol sent, by Last-Event-ID, for a while.

In memory, and each session has its own: the SDK names a stream by the id of its request, and many sessions have a
request 1. https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import (
    GET_STREAM_KEY,
    EventCallback,
    EventMessage,
    EventStore,
    StreamableHTTPServerTransport,
)
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from vision.config import Settings

MOST_BYTES = 64 << 20
MOST_BYTES_EACH = 8 << 20
# Longer than any call takes to reply.
KEEP_S = 120.0
# How long a client is to wait before it asks again.
RETRY_MS = 1_000
_LOOK_EVERY_S = 15.0
# What an event takes beside its text, roughly.
_BESIDE_BYTES = 500
_ANSWERS = (types.JSONRPCResponse, types.JSONRPCError)
_NOT_KEPT = "The answer was too large to be kept for another connection: call the tool again"


@dataclass(frozen=True, eq=False)
class _Event:
    """`text`: the message's JSON, None for an event that only has an id. `ends`: its stream has nothing after it."""

    session: SessionEvents
    number: int
    stream: str
    text: bytes | None
    ends: bool
    kept_at: float

    @property
    def size(self) -> int:
        return len(self.text or b"") + _BESIDE_BYTES


class Events:
    """What all sessions together keep: within `most_bytes`, `most_bytes_each` of one, for `keep_s`; the oldest go."""

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        most_bytes_each: int = MOST_BYTES_EACH,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most_bytes, self.most_bytes_each, self.keep_s, self.clock = most_bytes, most_bytes_each, keep_s, clock
        self.held_bytes = 0
        # In the order in which they came.
        self._kept: dict[_Event, None] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, event: _Event) -> None:
        self._kept[event] = None
        self.held_bytes += event.size
        event.session.add(event)
        while event.session.held_bytes > self.most_bytes_each:
            self._drop(event.session.oldest)
        while self.held_bytes > self.most_bytes:
            self._drop(next(iter(self._kept)))
        self.drop_old()

    def drop_old(self) -> None:
        since = self.clock() - self.keep_s
        while self._kept and (oldest := next(iter(self._kept))).kept_at < since:
            self._drop(oldest)

    def drop_all_of(self, session: SessionEvents) -> None:
        while session.held_bytes:
            self._drop(session.oldest)

    async def expire(self) -> None:
        """Drops what is old, also while nothing comes; never returns."""
        while True:
            await anyio.sleep(_LOOK_EVERY_S)
            self.drop_old()

    def _drop(self, event: _Event) -> None:
        del self._kept[event]
        self.held_bytes -= event.size
        event.session.remove(event)


class SessionEvents(EventStore):
    """What one session was sent, or would have been. Ids count up, over all its streams."""

    def __init__(self, events: Events) -> None:
        self._all = events
        self._events: dict[str, _Event] = {}
        self._last = 0
        self._changed = anyio.Event()
        self._closed = False
        self.held_bytes = 0

    @property
    def oldest(self) -> _Event:
        return next(iter(self._events.values()))

    def add(self, event: _Event) -> None:
        self._events[str(event.number)] = event
        self.held_bytes += event.size

    def remove(self, event: _Event) -> None:
        del self._events[str(event.number)]
        self.held_bytes -= event.size

    def close(self) -> None:
        """The session has ended: nothing of it is kept, and nobody waits."""
        self._closed = True
        self._all.drop_all_of(self)
        self._stir()

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._last += 1
        if not self._closed:
            ends = isinstance(message, _ANSWERS)
            text = self._text(message)
            self._all.keep(_Event(self, self._last, stream_id, text, ends, self._all.clock()))
            self._stir()
        return str(self._last)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Sends what its stream has after that event. One of a request is followed to its answer.

        It is followed here and not by the SDK, which would miss what comes between this and its own listening, and
        keep the stream open after the answer. Nothing is sent for an id that is not, or no longer, this session's.
        """
        self._all.drop_old()
        last = self._events.get(last_event_id)
        if last is None:
            return None
        with anyio.move_on_after(self._all.keep_s):
            while not last.ends:
                changed = self._changed
                for event in [each for each in self._events.values() if _follows(each, last)]:
                    last = event
                    if event.text is not None:
                        message = types.jsonrpc_message_adapter.validate_json(event.text, by_name=False)
                        await send_callback(EventMessage(message, str(event.number)))
                    if event.ends:
                        return None
                if last.stream == GET_STREAM_KEY:
                    return last.stream
                if self._closed:
                    return None
                await changed.wait()
        return None

    def _text(self, message: types.JSONRPCMessage | None) -> bytes | None:
        if message is None:
            return None
        text = message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        if len(text) + _BESIDE_BYTES <= self._all.most_bytes_each or not isinstance(message, _ANSWERS):
            return text
        error = types.ErrorData(code=types.INTERNAL_ERROR, message=_NOT_KEPT)
        told = types.JSONRPCError(jsonrpc="2.0", id=message.id, error=error)
        return told.model_dump_json(by_alias=True, exclude_unset=True).encode()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _follows(event: _Event, last: _Event) -> bool:
    return event.number > last.number and event.stream == last.stream


class Sessions(StreamableHTTPSessionManager):
    """The SDK's sessions, each with events of its own, which end with it."""

    def __init__(self, server: Server[Any], settings: Settings, events: Events) -> None:
        super().__init__(
            server,
            stateless=settings.http_stateless,
            # Names and origins are checked by the gate, for every path; without this the SDK checks nothing more.
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            max_request_body_size=settings.http_max_body_bytes,
            retry_interval=RETRY_MS,
        )
        self._events = events
        self._of: dict[str, SessionEvents] = {}

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        own = SessionEvents(self._events)
        self.event_store = own
        transport = super()._admit_session(requestor)
        if transport is not None and transport.mcp_session_id is not None:
            self._of[transport.mcp_session_id] = own
        return transport

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        own = self._of.pop(session_id, None)
        if own is not None:
            own.close()
        await super()._discard_session(session_id, transport)
