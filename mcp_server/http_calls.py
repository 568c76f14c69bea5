"""Around every request over HTTP: it ends when its client leaves or cancels, and is counted and logged."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import HEADER_MISMATCH

from mcp_server.http_gate import SESSION, exchange_of
from mcp_server.owner import owner_of

# As the SDK answers a request of the older protocol that was cancelled.
_REQUEST_CANCELLED = -32800
logger = logging.getLogger("internvl_mcp.http")

Observe = Callable[[str, str, float], None]
"""`observe(tool, outcome, seconds)`: outcome is "ok" or an error's code."""


class Calls:
    """A middleware of the SDK's server."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._in_flight: dict[tuple[str, str, str], anyio.CancelScope] = {}

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == "notifications/cancelled":
            self._cancel(ctx)
        if ctx.request_id is None:
            return await call_next(ctx)
        began = time.monotonic()
        outcome = "cancelled"
        try:
            _refuse_another_name(ctx)
            with anyio.CancelScope() as scope, self._bound_to_client(ctx, scope):
                result = await call_next(ctx)
                outcome = outcome_of(result)
                return result
            raise MCPError(_REQUEST_CANCELLED, "Request cancelled")
        except MCPError as error:
            outcome = "cancelled" if error.code == _REQUEST_CANCELLED else f"error {error.code}"
            raise
        finally:
            self._tell(ctx, outcome, time.monotonic() - began)

    @contextmanager
    def _bound_to_client(self, context: ServerRequestContext[Any, Any], scope: anyio.CancelScope) -> Iterator[None]:
        """Cancels the scope when the client closes the request's connection or, without sessions, cancels it."""
        exchange = exchange_of(context.request)
        key = _key(context, context.request_id)
        if exchange is not None:
            exchange.scopes.add(scope)
            if exchange.left:
                scope.cancel()
        if key is not None:
            self._in_flight[key] = scope
        try:
            yield
        finally:
            if exchange is not None:
                exchange.scopes.discard(scope)
            if key is not None and self._in_flight.get(key) is scope:
                del self._in_flight[key]

    def _cancel(self, context: ServerRequestContext[Any, Any]) -> None:
        """With sessions the SDK has done so by now. Without, this request has nothing but its ids in common with it."""
        key = _key(context, cancelled_request_id_from_params(context.params))
        scope = self._in_flight.get(key) if key is not None else None
        if scope is not None:
            scope.cancel()

    def _tell(self, context: ServerRequestContext[Any, Any], outcome: str, seconds: float) -> None:
        fields: dict[str, Any] = {"method": context.method}
        if context.method == "tools/call":
            fields["tool"] = str((context.params or {}).get("name"))[:100]
            self._observe(fields["tool"], outcome, seconds)
        exchange = exchange_of(context.request)
        fields |= {
            "request_id": exchange.id if exchange is not None else None,
            "owner": hashlib.sha256(owner_of(context).encode()).hexdigest()[:12],
            "ms": round(seconds * 1000),
            "outcome": outcome,
        }
        logger.info("request", extra={"fields": fields})


def _refuse_another_name(context: ServerRequestContext[Any, Any]) -> None:
    """Raises MCPError where the header Mcp-Name, by which balancers route, names another task than the request does.

    SEP-2663 wants it with tasks/get, tasks/cancel and tasks/update; the SDK compares it for methods of the core
    protocol. Clients made with the SDK send none, which can mislead nobody.
    """
    if not context.method.startswith("tasks/") or context.request is None:
        return
    named = context.request.headers.get(MCP_NAME_HEADER)
    if named is not None and decode_header_value(named) != (context.params or {}).get("taskId"):
        raise MCPError(
            HEADER_MISMATCH, f"{MCP_NAME_HEADER} header does not match the request body's 'taskId' parameter"
        )


def _key(context: ServerRequestContext[Any, Any], request_id: Any) -> tuple[str, str, str] | None:
    """What names a request among those of all clients: owner, session and the id that the client gave it."""
    session = context.request.headers.get(SESSION) if context.request is not None else None
    if session is None or request_id is None:
        return None
    return owner_of(context), session, f"{type(request_id).__name__} {request_id}"


def outcome_of(result: HandlerResult) -> str:
    """ "ok", or the code of the error that a tool's result tells."""
    if not isinstance(result, dict) or not result.get("isError"):
        return "ok"
    try:
        return str(json.loads(result["content"][0]["text"])["error"]["code"])[:50]
    except (LookupError, TypeError, ValueError):
        return "tool_error"
