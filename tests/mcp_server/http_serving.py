"""Serves over HTTP on a free loopback port within the test, as the product wires it, and speaks plain HTTP to it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx2
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

from mcp_server.http import http_app
from mcp_server.http_turns import Turns
from vision.config import Settings

MODERN = "2026-07-28"
LEGACY = "2025-06-18"
HELLO: Any = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
ACCEPTED = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Work:
    """What happened to the calls of the tool `wait`, which works until it is cancelled."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.stopped = anyio.Event()

    def server(self) -> Server[Any]:
        return self.taking_turns(self)

    @staticmethod
    def taking_turns(*works: Work) -> Server[Any]:
        """A server whose first call of `wait` is the first's, the next the second's; `say` answers at once."""
        left = iter(works)

        async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
            schema = {"type": "object"}
            return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name in ("wait", "say")])

        async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
            if params.name == "wait":
                await next(left).wait()
            return types.CallToolResult(content=[types.TextContent(type="text", text="said")])

        return Server("test", on_list_tools=list_tools, on_call_tool=call_tool)

    async def wait(self) -> None:
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped.set()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Any:
        yield


@asynccontextmanager
async def serving(
    server: Server[Any] | None = None, settings: Settings | None = None, turns: Turns | None = None
) -> AsyncIterator[str]:
    """The address, without a path."""
    app = http_app(server or Work().server(), settings or Settings(), turns)
    running = _Uvicorn(
        uvicorn.Config(app, lifespan="on", log_config=None, ws="none", http="h11", timeout_graceful_shutdown=1)
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with anyio.create_task_group() as group:
            group.start_soon(running.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            running.should_exit = True


@asynccontextmanager
async def client(**headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as made:
        yield made


def body_of(method: str, number: int | None = 1, modern: bool = False, **params: Any) -> bytes:
    if modern:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if number is None else {**message, "id": number}).encode()


def headers_of(
    method: str, modern: bool = False, session: str | None = None, name: str | None = None
) -> dict[str, str]:
    found = {**ACCEPTED, "mcp-protocol-version": MODERN if modern else LEGACY}
    if modern:
        found["mcp-method"] = method
        if name is not None:
            found["mcp-name"] = name
    if session is not None:
        found["mcp-session-id"] = session
    return found


async def session_of(http: httpx2.AsyncClient, url: str) -> str:
    """A session of the older protocol, opened."""
    reply = await http.post(f"{url}/mcp", content=body_of("initialize", **HELLO), headers=ACCEPTED)
    assert reply.status_code == 200, reply.text
    session = reply.headers["mcp-session-id"]
    ready = body_of("notifications/initialized", None)
    reply = await http.post(f"{url}/mcp", content=ready, headers=headers_of("", session=session))
    assert reply.status_code == 202
    return session
