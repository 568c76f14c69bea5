"""A server of somebody else's, real on a real port, that answers or fails as a test tells it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn
from starlette.types import Message, Receive, Scope, Send

Then = Literal["end", "stall", "cut"]


@dataclass(frozen=True)
class Reply:
    """`then`: end it properly, send nothing more until the client leaves, or hang up in the middle. `silent`: nothing
    is sent at all, not even a status, until the client leaves.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    then: Then = "end"
    silent: bool = False


def chunk(**choice: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n"


def says(text: str, **more: Any) -> Reply:
    pieces = [chunk(delta={"content": text[i : i + 5]}) for i in range(0, len(text), 5)]
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}\n\n'
    end = chunk(delta={}, finish_reason="stop") + usage + b"data: [DONE]\n\n"
    return Reply(body=b"".join(pieces) + end, headers=((b"content-type", b"text/event-stream"),), **more)


def refuses(status: int, message: str = "no", **headers: str) -> Reply:
    named = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return Reply(status, json.dumps({"error": {"message": message}}).encode(), named)


def model(name: str = "OpenGVLab/InternVL3_5-8B-HF", **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "owned_by": "vllm", "max_model_len": 16384, **more}


@dataclass
class FakeServer:
    """`replies` are given one after the other to questions, then a plain answer; `listing` to GET /v1/models, `props`
    to GET /props. `asked`: the bodies of the questions; `heads`: what came before each request's body.
    """

    models: list[dict[str, Any]] = field(default_factory=lambda: [model()])
    replies: list[Reply] = field(default_factory=list)
    listing: Reply | None = None
    props: dict[str, Any] | None = None
    key: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    heads: list[tuple[str, dict[bytes, bytes]]] = field(default_factory=list)
    url: str = ""
    waiting: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def listed(self) -> int:
        return sum(path == "/v1/models" for path, _ in self.heads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await self._give(self._reply(scope, bytes(body)), receive, send)

    def _reply(self, scope: Scope, body: bytes) -> Reply:
        self.heads.append((scope["path"], dict(scope["headers"])))
        if self.key is not None and dict(scope["headers"]).get(b"authorization") != f"Bearer {self.key}".encode():
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            return refuses(401, f"Incorrect API key provided: {given}")
        if scope["path"] == "/v1/models":
            return self.listing or Reply(body=json.dumps({"object": "list", "data": self.models}).encode())
        if scope["path"] == "/props" and self.props is not None:
            return Reply(body=json.dumps(self.props).encode())
        if scope["path"] != "/v1/chat/completions":
            return Reply(404, b'{"detail":"Not Found"}')
        self.asked.append(json.loads(body))
        return self.replies.pop(0) if self.replies else says("A served answer.")

    async def _give(self, reply: Reply, receive: Receive, send: Send) -> None:
        if not reply.silent:
            await send({"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)})
            part: Message = {"type": "http.response.body", "body": reply.body, "more_body": reply.then != "end"}
            await send(part)
        if reply.silent or reply.then == "stall":
            self.waiting.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def serving(fake: FakeServer, certificate: tuple[Path, Path] | None = None) -> Iterator[FakeServer]:
    """Serves until the context ends; `certificate`: the files of a certificate and its key, for https."""
    listener = socket.create_server(("127.0.0.1", 0))
    fake.url = f"http{'s' if certificate else ''}://127.0.0.1:{listener.getsockname()[1]}/v1"
    files: dict[str, Any] = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]} if certificate else {}
    config = uvicorn.Config(
        fake,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **files,
    )
    server = _Server(config)
    started = threading.Event()

    async def serve() -> None:
        started.set()
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
