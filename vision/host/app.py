"""The host's HTTP side: OpenAI's chat completions over one generator, for those who know the secret."""

from __future__ import annotations

import hmac
import os
import secrets
import time

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vision.chat.answers import AnswerWriter
from vision.chat.record import Health, Launch
from vision.chat.request import ChatRequest, read_request
from vision.chat.types import Ask
from vision.errors import (
    AccessDenied,
    InvalidArgument,
    LimitExceeded,
    UnknownVariant,
    VisionError,
    WeightsUnusable,
)
from vision.host.answer import AnswerResponse, error_response
from vision.host.lifecycle import Lifecycle
from vision.weights.snapshot import verify

_MAX_BODY = 512 << 20
# Parsing more than this takes longer than other clients should wait for the event loop.
_LARGE = 256 << 10


def build_app(launch: Launch, lifecycle: Lifecycle) -> Starlette:
    host = _Host(launch, lifecycle)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", host.chat, methods=["POST"]),
            Route("/v1/models", host.models, methods=["GET"]),
            Route("/health", host.health, methods=["GET"]),
            Route("/shutdown", host.shutdown, methods=["POST"]),
        ],
        middleware=[Middleware(RequireSecret, secret=launch.secret)],
        exception_handlers={VisionError: _vision_error, HTTPException: _http_error},
    )


class RequireSecret:
    """Lets nobody by who does not send `Authorization: Bearer <secret>`."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._expected = f"Bearer {secret}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
        else:
            refusal = AccessDenied("the secret is missing or wrong", "Ask through a server that this user started.")
            await error_response(refusal)(scope, receive, send)


class _Host:
    def __init__(self, launch: Launch, lifecycle: Lifecycle) -> None:
        self._launch = launch
        self._lifecycle = lifecycle
        self._started = int(time.time())

    async def chat(self, request: Request) -> AnswerResponse:
        wanted, ask = await _read(request)
        plan = self._launch.spec.plan
        if wanted.model not in (None, "", plan.variant, plan.repository):
            raise UnknownVariant(f"this host runs {plan.variant}, not {wanted.model}", f"Ask for {plan.variant}.")
        writer = AnswerWriter(f"chatcmpl-{secrets.token_hex(12)}", plan.variant, wanted.include_usage)
        question = self._lifecycle.begin(ask)
        return AnswerResponse(question, writer, stream=wanted.stream, done=self._lifecycle.done)

    async def models(self, request: Request) -> Response:
        plan = self._launch.spec.plan
        model = {
            "id": plan.variant,
            "object": "model",
            "created": self._started,
            "owned_by": "internvl-mcp",
            "max_model_len": plan.context,  # as vLLM tells it
            "internvl": {"json_schema": True, "tile_side": await anyio.to_thread.run_sync(self._tile_side)},
        }
        return JSONResponse({"object": "list", "data": [model]})

    def _tile_side(self) -> int | None:
        """Of the checkpoint; None where there is none that can be loaded, as the load itself will tell."""
        try:
            return verify(self._launch.spec.folder).tile
        except WeightsUnusable:
            return None

    async def health(self, request: Request) -> Response:
        """`?keep=1` starts the idle time anew: who asks so sends a question next."""
        if request.query_params.get("keep") == "1":
            self._lifecycle.keep()
        generator, plan = self._lifecycle.generator.state(), self._launch.spec.plan
        health = Health(
            state="ending" if self._lifecycle.ending else generator.state,
            loaded=generator.loaded,
            error=generator.error,
            version=self._launch.version,
            variant=plan.variant,
            key=self._launch.key,
            pid=os.getpid(),
            working=generator.working,
            waiting=generator.waiting,
            device_bytes=generator.device_bytes,
            feature_cache_bytes=generator.feature_cache_bytes,
            prefix_cache_bytes=generator.prefix_cache_bytes,
            idle_unload_s=self._launch.spec.idle_unload_s,
        )
        return JSONResponse(health.model_dump(mode="json"))

    async def shutdown(self, request: Request) -> Response:
        """Takes no more questions; the process ends when those in hand are answered."""
        in_hand = self._lifecycle.in_hand
        self._lifecycle.end_when_done()
        return JSONResponse({"ending": True, "in_hand": in_hand})


async def _read(request: Request) -> tuple[ChatRequest, Ask]:
    body = await _body(request)
    if len(body) <= _LARGE:
        return read_request(body)
    return await anyio.to_thread.run_sync(read_request, body)


async def _body(request: Request) -> bytearray:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit():
        _require_within(int(declared))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _require_within(len(body))
    return body


def _require_within(size: int) -> None:
    if size > _MAX_BODY:
        raise LimitExceeded(
            f"the question is larger than {_MAX_BODY >> 20} MiB", "Ask about fewer or smaller pictures."
        )


async def _vision_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, VisionError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = InvalidArgument(f"{request.method} {request.url.path}: {error.detail}", "See docs/architecture.md.")
    response = error_response(known)
    response.status_code = error.status_code
    return response
