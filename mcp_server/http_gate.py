"""What every request over HTTP passes first: names and origins, room for its body, when its client leaves."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS as _OLDER
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_server.http_bodies import Bodies, Body, BodyRefused, answer

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
REQUEST_ID = "x-request-id"
# Probes ask by whatever address they know; the answer tells nothing.
OPEN_PATH = "/health"
_EXCHANGE = "internvl_mcp.exchange"
logger = logging.getLogger("internvl_mcp.http")


@dataclass(eq=False)
class Exchange:
    """One request over HTTP and what ends with it: the scopes are cancelled when its client leaves.

    `ended`: the response has been sent as a whole. Nobody leaves then, also where the work goes on: a stream may be
    closed before its answer, which the client fetches by another request.
    """

    id: str
    scopes: set[anyio.CancelScope] = field(default_factory=set)
    left: bool = False
    ended: bool = False

    def leave(self) -> None:
        if self.ended:
            return
        self.left = True
        for scope in tuple(self.scopes):
            scope.cancel()


def exchange_of(request: Any) -> Exchange | None:
    """The exchange that a Starlette request belongs to; None where it did not come through the gate."""
    return None if request is None else request.scope.get(_EXCHANGE)


class Gate:
    """ASGI middleware, outside of authorisation.

    Gives every request its id, refuses names and origins that are not this server's (DNS rebinding), says what to do
    about a body that is too large, stalls, or finds no room. Without sessions it hands out session ids that nothing is
    kept for: clients repeat them, which tells whose call a `notifications/cancelled` means.
    """

    def __init__(
        self, app: ASGIApp, security: TransportSecuritySettings, bodies: Bodies, max_body_bytes: int, *, stateless: bool
    ) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(security)
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._stateless = stateless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(uuid4().hex)
        answering = _Answering(self, scope, exchange, send)
        scope = {**scope, _EXCHANGE: exchange}
        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, answering.send)
            return
        body = Body(self._bodies, scope)
        try:
            with body.received():
                await self._app(scope, body.receiving(_telling(receive, exchange)), answering.send)
        except BodyRefused as refused:
            await answer(refused, self._bodies, receive, answering.send)

    async def _refusal(self, scope: Scope) -> Response | None:
        if scope["path"] == OPEN_PATH:
            return None
        refused = await self._security.validate_request(Request(scope))
        if refused is None:
            return None
        if refused.status_code == 421:
            hint = "Use its own address, or have that name added to http_allowed_hosts."
            return _error(421, "access_denied", "this server does not answer to the name that was used", hint)
        hint = "Have its origin added to http_allowed_origins."
        return _error(403, "access_denied", "this web page may not use this server", hint)

    def answer(self, scope: Scope, message: Message, exchange: Exchange) -> int:
        """Adds the headers of a response that begins; gives its status."""
        headers = MutableHeaders(raw=message["headers"])
        headers[REQUEST_ID] = exchange.id
        asked = Headers(scope=scope)
        opens = scope["method"] == "POST" and SESSION not in asked
        if self._stateless and opens and asked.get(VERSION, _OLDER[0]) in _OLDER:
            headers[SESSION] = uuid4().hex
        return message["status"]

    def too_large(self) -> Response:
        mib = self._max_body_bytes / (1 << 20)
        hint = "Send a smaller picture, give an https URL instead, or have http_max_body_bytes raised."
        return _error(413, "limit_exceeded", f"the request is larger than {mib:g} MiB", hint)


class _Answering:
    """Passes a response on, with its headers; in the place of a bare 413 one that says what to do."""

    def __init__(self, gate: Gate, scope: Scope, exchange: Exchange, send: Send) -> None:
        self._gate, self._scope, self._exchange, self._send = gate, scope, exchange, send
        self._replaced = False

    async def send(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            message = {**message, "headers": list(message.get("headers", ()))}
            status = self._gate.answer(self._scope, message, self._exchange)
            if status >= 400:
                path = self._scope["path"][:100]
                fields = {"request_id": self._exchange.id, "method": self._scope["method"], "path": path}
                logger.info("refused", extra={"fields": {**fields, "status": status}})
            if status == 413 and not _says_why(message):
                self._replaced = True
                await self._gate.too_large()(self._scope, _nothing, self._send)
                return
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._exchange.ended = True
        await self._send(message)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _says_why(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type") == "application/json"


def _telling(receive: Receive, exchange: Exchange) -> Receive:
    """`receive`, which then tells the exchange when its client leaves."""

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            exchange.leave()
        return message

    return received


def _error(status: int, code: str, message: str, hint: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "hint": hint}}, status_code=status)
