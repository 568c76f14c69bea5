"""The bodies of requests over HTTP: how long one may stall, and how much all of them may hold at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from mcp_server.owner import ANYBODY, owner_of_request

# A client on a slow line sends something all the time; one that sends nothing holds memory for nobody.
_SILENCE_S = 30.0
# So many of the largest requests may be held at once.
_LARGEST_AT_ONCE = 4
# So much of a body is taken however much is held: asking after a job, or cancelling it, is what frees the room.
_SMALL_BYTES = 64 << 10


class BodyRefused(Exception):
    """The request cannot be taken: its answer, as HTTP has it."""

    def __init__(self, status: int, code: str, message: str, hint: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        headers = {"connection": "close"} | ({} if retry_after_s is None else {"retry-after": str(retry_after_s)})
        self.response = JSONResponse(
            {"error": {"code": code, "message": message, "hint": hint}}, status_code=status, headers=headers
        )


class Bodies:
    """The bounds on all bodies together, and on those of one owner: half of it. `largest`: bytes that one may have."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._bound = _LARGEST_AT_ONCE * largest
        self._held: Counter[str] = Counter()

    @property
    def held_bytes(self) -> int:
        return self._held.total()

    def check(self, owner: str, declared: int) -> None:
        """Raises BodyRefused for a body that says itself that it will not find room. One that is too large on its own
        is not judged here.
        """
        if _SMALL_BYTES < declared <= self._largest:
            self._require_room(owner, declared)

    def take(self, owner: str, size: int, before: int) -> None:
        """Counts bytes that came after `before` of the same body. Raises BodyRefused where they find no room."""
        if before + size > _SMALL_BYTES:
            self._require_room(owner, size)
        self._held[owner] += size

    def give_back(self, owner: str, size: int) -> None:
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]

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

    def _require_room(self, owner: str, size: int) -> None:
        if self.held_bytes + size > self._bound:
            raise _no_room("the requests", self._bound)
        # Without tokens there is nobody else to keep room for.
        if owner != ANYBODY and self._held[owner] + size > self._bound // 2:
            raise _no_room("your requests", self._bound // 2)


def _no_room(whose: str, bound: int) -> BodyRefused:
    return BodyRefused(
        503,
        "busy",
        f"{whose} that the server holds now would have more than {bound / (1 << 20):g} MiB together",
        "Send it again in some seconds, or give an https URL instead of a data: URI.",
        retry_after_s=5,
    )


class Body:
    """One request's. It counts until its request is answered and the work that was begun with it has ended.

    Its owner is known, in `scope`, by the time that it is read: who has no right to be here is not asked for it.
    """

    _current: ClassVar[ContextVar[Body | None]] = ContextVar("body", default=None)

    def __init__(self, bodies: Bodies, scope: Scope) -> None:
        self._bodies = bodies
        self._request = Request(scope)
        self._owner: str | None = None
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
            owner = self._owner or self._begin()
            try:
                with anyio.fail_after(_SILENCE_S):
                    message = await receive()
            except TimeoutError:
                raise BodyRefused(408, "stalled", "the request's body stopped coming", "Send it again.") from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            self._bodies.take(owner, size, self._size)
            self._size += size
            return message

        return received

    def _begin(self) -> str:
        """The owner, from now on. Raises BodyRefused where the request says that it will not find room."""
        self._owner = owner_of_request(self._request)
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal():
            self._bodies.check(self._owner, int(declared))
        return self._owner

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders and self._owner is not None:
                self._bodies.give_back(self._owner, self._size)
                self._size = 0


async def answer(refused: BodyRefused, bodies: Bodies, receive: Receive, send: Send) -> None:
    """Says why, then lets the client finish sending."""
    response = refused.response
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
    if response.status_code != 408:
        await bodies.drain(receive)
    await send({"type": "http.response.body", "body": b""})
