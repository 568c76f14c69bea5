"""The MCP server as an ASGI application: streamable HTTP in both eras of the protocol, with and without sessions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_server.app import rendered_tools
from mcp_server.auth import Authorisation, authorisation_of
from mcp_server.http_bodies import Bodies
from mcp_server.http_calls import Calls
from mcp_server.http_events import Events, Sessions
from mcp_server.http_gate import OPEN_PATH, REQUEST_ID, SESSION, VERSION, Gate
from mcp_server.http_turns import Turns
from mcp_server.metrics import CONTENT_TYPE, Metrics, Now
from vision.config import Settings
from vision.errors import ConfigError

PATH = "/mcp"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_EXPOSED = (SESSION, VERSION, REQUEST_ID, "www-authenticate", "retry-after")


def turns_of(settings: Settings) -> Turns:
    return Turns(
        settings.http_max_calls,
        settings.http_max_calls_per_client,
        settings.http_max_waiting_calls,
        settings.reply_within_s,
    )


def http_app(server: Server[Any], settings: Settings, turns: Turns | None = None) -> Starlette:
    """The application for `server`, which gets a middleware and must not be served elsewhere.

    /mcp for clients, /health for probes, /metrics for Prometheus (with a token, where one is asked for), and what OAuth
    clients look for. `turns`: those that the server's calls wait for. Raises ConfigError.
    """
    turns = turns or turns_of(settings)
    authorisation = authorisation_of(settings)
    _refuse_to_be_open(settings, authorisation)
    bodies = Bodies(settings.http_max_body_bytes)
    now = Now(lambda: turns.running, lambda: turns.waiting, lambda: bodies.held_bytes)
    metrics = Metrics([tool.name for tool in rendered_tools()], now)
    server.middleware.append(Calls(metrics.observe))
    events = Events()
    manager = Sessions(server, settings, events)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run(), anyio.create_task_group() as group:
            group.start_soon(events.expire)
            yield
            group.cancel_scope.cancel()

    async def health(_: Request) -> Response:
        status = "draining" if turns.closed else "ok"
        return JSONResponse({"status": status}, status_code=503 if turns.closed else 200)

    return Starlette(
        routes=[
            Route(PATH, _guarded(StreamableHTTPASGIApp(manager), authorisation)),
            Route("/metrics", _guarded(_Page(metrics), authorisation), methods=["GET"]),
            Route(OPEN_PATH, health),
            *(authorisation.routes if authorisation else ()),
        ],
        middleware=_middleware(settings, authorisation, bodies),
        lifespan=lifespan,
    )


class _Page:
    """The figures, as an ASGI application."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Response(self._metrics.shown(), headers={"content-type": CONTENT_TYPE})(scope, receive, send)


def _guarded(app: ASGIApp, authorisation: Authorisation | None) -> ASGIApp:
    if authorisation is None:
        return app
    return RequireAuthMiddleware(app, list(authorisation.scopes), authorisation.metadata_url)


def _middleware(settings: Settings, authorisation: Authorisation | None, bodies: Bodies) -> list[Middleware]:
    origins = allowed_origins(settings)
    security = TransportSecuritySettings(allowed_hosts=allowed_hosts(settings), allowed_origins=origins)
    found = [
        Middleware(
            CORSMiddleware,
            allow_origin_regex="|".join(_pattern(origin) for origin in origins),
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers="*",
            expose_headers=_EXPOSED,
        ),
        Middleware(Gate, security, bodies, settings.http_max_body_bytes, stateless=settings.http_stateless),
    ]
    if authorisation is not None:
        found.append(Middleware(AuthenticationMiddleware, authorisation.backend, on_error=_no_keys))
        found.append(Middleware(AuthContextMiddleware))
    return found


def _no_keys(_: HTTPConnection, __: Exception) -> Response:
    error = {"code": "busy", "message": "tokens cannot be checked now", "hint": "Ask again in half a minute."}
    return JSONResponse({"error": error}, status_code=503, headers={"retry-after": "30"})


def _pattern(origin: str) -> str:
    return re.escape(origin[:-2]) + r":\d+" if origin.endswith(":*") else re.escape(origin)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(settings: Settings) -> list[str]:
    """What the Host header may say, a port of `*` for any: a page whose name was bent to this address is not let in."""
    found: list[str] = []
    named = [*_LOOPBACK, _bracketed(settings.http_host), *settings.http_allowed_hosts]
    if settings.http_url is not None:
        named.append(urlsplit(settings.http_url).netloc)
    for name in named:
        found += [name, f"{name}:*"]
    return list(dict.fromkeys(found))


def allowed_origins(settings: Settings) -> list[str]:
    """Pages that may use the server: those that the settings name and, of a server on loopback, this machine's own."""
    found = [origin.rstrip("/") for origin in settings.http_allowed_origins]
    if is_loopback(settings.http_host):
        found += [f"http://{host}:*" for host in _LOOPBACK]
    return found


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse_to_be_open(settings: Settings, authorisation: Authorisation | None) -> None:
    if authorisation is None and not settings.http_without_token and not is_loopback(settings.http_host):
        raise ConfigError(
            f"{settings.http_host} can be reached from other machines, and no token is asked for",
            "Set http_tokens_file (or oauth_issuer), listen on 127.0.0.1, or say http_without_token = yes.",
        )
