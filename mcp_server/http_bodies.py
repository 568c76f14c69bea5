"""The bodies of requests over HTTP: how long one may stall, and how much all of them may hold at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

# A client on a slow line sends something all the time; one that sends nothing holds memory for nobody.
_SILENCE_S = 30.0
# So many of the largest requests may be held at once.
_LARGEST_AT_ONCE = 4


class BodyRefused(Exception):
    """The request cannot be taken: its answer, as HTTP has it."""

    def __init__(self, status: int, code: str, message: str, hint: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        headers = {"connection": "close"} | ({} if retry_after_s is None else {"retry-after": str(retry_after_s)})
        self.response = JSONResponse(
            {"error": {"code": code, "message": message, "hint": hint}}, status_code=status, headers=headers
        )


class Bodies:
    """The bound on all bodies together. `largest`: bytes that one may have."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._bound = _LARGEST_AT_ONCE * largest
        self.held_bytes = 0

    def check(self, scope: Scope) -> None:
        """Raises BodyRefused for a request that says itself that it will not find room. One that is too large on its
        own is not judged here.
        """
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) <= self._largest:
            self._require_room(int(declared))

    def take(self, size: int) -> None:
        """Counts bytes that came. Raises BodyRefused where there is no room for them."""
        self._require_room(size)
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        self.held_bytes -= size

    async def drain(self, receive: Receive) -> None:
        """Reads what still comes of a body that was refused, and keeps none of it: many clients read no answer before
        all is sent, and lose it when the connection closes before.
        """
        size = 0
        with anyio.move_on_after(_SILENCE_S):
            while size <= self._largest:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return

    def _require_room(self, size: int) -> None:
        if self.held_bytes + size > self._bound:
            mib = self._bound / (1 << 20)
            raise BodyRefused(
                503,
                "busy",
                f"the requests that the server holds now would have more than {mib:g} MiB together",
                "Send it again in some seconds, or give an https URL instead of a data: URI.",
                retry_after_s=5,
            )


class Body:
    """One request's. It counts until its request is answered and the work that was begun with it has ended."""

    _current: ClassVar[ContextVar[Body | None]] = ContextVar("body", default=None)

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0
        self._holders = 0

    @contextmanager
    def received(self) -> Iterator[None]:
        """Holds it, for a request; work that is begun in there can hold it longer."""
        token = self._current.set(self)
        try:
            with self._held():
                yield
        finally:
            self._current.reset(token)

    @classmethod
    @contextmanager
    def held(cls) -> Iterator[None]:
        """Holds the body of the request that began this work, if any did."""
        body = cls._current.get()
        if body is None:
            yield
            return
        with body._held():
            yield

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, which then raises BodyRefused where the body stalls, or there is no room for it."""
        complete = False

        async def received() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                with anyio.fail_after(_SILENCE_S):
                    message = await receive()
            except TimeoutError:
                raise BodyRefused(408, "stalled", "the request's body stopped coming", "Send it again.") from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            self._bodies.take(size)
            self._size += size
            return message

        return received

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._bodies.give_back(self._size)
                self._size = 0


async def answer(refused: BodyRefused, bodies: Bodies, receive: Receive, send: Send) -> None:
    """Says why, then lets the client finish sending."""
    response = refused.response
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
    if response.status_code != 408:
        await bodies.drain(receive)
    await send({"type": "http.response.body", "body": b""})
