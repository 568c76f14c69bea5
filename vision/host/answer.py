"""The response to one question: a stream of events, or the whole answer. It ends the work when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from vision.chat import answers
from vision.chat.answers import AnswerWriter
from vision.chat.faults import payload_of, status_of
from vision.chat.types import ChatEvent, Delta, Finished, Stage
from vision.errors import VisionError
from vision.host.lifecycle import Question

KEEP_ALIVE_S = 5.0
Respond = Callable[[Scope, Receive, Send], Awaitable[None]]


def error_response(error: VisionError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status_of(error) == 401 else None
    return JSONResponse(payload_of(error), status_code=status_of(error), headers=headers)


class AnswerResponse:
    """An ASGI response. `done` is called once: when the answer is out, failed, or the client has left."""

    def __init__(
        self, question: Question, writer: AnswerWriter, *, stream: bool, done: Callable[[Question], None]
    ) -> None:
        self._question = question
        self._writer = writer
        self._respond: Respond = self._stream if stream else self._whole
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = asyncio.ensure_future(self._respond(scope, receive, send))
        leaving = asyncio.ensure_future(_disconnect(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._done(self._question)
            leaving.cancel()
            if not answering.done():
                answering.cancel()
            outcome, _ = await asyncio.gather(answering, leaving, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        text: list[str] = []
        stages: dict[str, Stage] = {}
        while True:
            event = await self._question.next()
            if isinstance(event, Delta):
                text.append(event.text)
            elif isinstance(event, Stage):
                stages[event.name] = event
            elif isinstance(event, VisionError):
                return await error_response(event)(scope, receive, send)
            elif isinstance(event, Finished):
                answer = self._writer.completion("".join(text), event, list(stages.values()))
                return await JSONResponse(answer)(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The status waits for the first event, so that what fails early has a status of its own."""
        event = await self._question.next(KEEP_ALIVE_S)
        if isinstance(event, VisionError):
            return await error_response(event)(scope, receive, send)
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send(send, self._writer.start())
        while True:
            await _send(send, self._bytes(event))
            if self._question.answered:
                await _send(send, b"", last=True)
                return None
            event = await self._question.next(KEEP_ALIVE_S)

    def _bytes(self, event: ChatEvent | VisionError | None) -> bytes:
        if event is None:
            return answers.KEEP_ALIVE
        if isinstance(event, Stage):
            return self._writer.stage(event)
        if isinstance(event, Delta):
            return self._writer.delta(event)
        if isinstance(event, Finished):
            return self._writer.finished(event)
        return self._writer.error(payload_of(event))


async def _send(send: Send, body: bytes, *, last: bool = False) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": body, "more_body": not last}
    await send(message)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
