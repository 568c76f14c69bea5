"""Serves over HTTP until a signal comes; then lets the calls at work finish."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import anyio
import uvicorn

from mcp_server.app import LazyService, build_app
from mcp_server.http import PATH, http_app, turns_of
from mcp_server.http_turns import Turns
from vision.config import Settings
from vision.errors import ConfigError

logger = logging.getLogger("internvl_mcp.http")
# What the first call needs: loaded while it is called for, it would hold up everybody else for half a second.
_LOADED_AHEAD = ("mcp_server.calling", "mcp_server.jobs", "vision.service", "vision.store", "vision.engine.local")
# A tenth of the interpreter's own, with which the event loop stood still for 6 ms and more about five times as often
# under benchmarks/http_load.py.
_SWITCH_S = 0.0005
_BACKLOG = 2048
# What still streams when the calls are done are channels that no call depends on.
_CLOSE_S = 1
# Longer than proxies keep an idle connection (60 s): who closes first must not be the one that is about to be asked.
_KEEP_ALIVE_S = 75


def for_strangers(settings: Settings) -> Settings:
    """The settings as they hold for clients that are not on this machine: its files are none of theirs, unless `roots`
    names them, and what they declare as their own folders are names on their disk.
    """
    return settings.model_copy(
        update={"use_working_directory": False, "use_client_roots": False, "use_clipboard": False}
    )


def serve(settings: Settings) -> NoReturn:
    """Ends the process with status 0 after SIGINT or SIGTERM, workers first. Raises ConfigError before it listens."""
    settings = for_strangers(settings)
    _load_ahead()
    # Who answers everybody else waits so long for a thread that decodes, hashes or writes for one.
    sys.setswitchinterval(_SWITCH_S)
    service = LazyService(settings, Path.cwd())
    turns = turns_of(settings)
    app = http_app(build_app(service, turns), settings, turns)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CLOSE_S,
    )
    with _bound(settings) as listener:
        try:
            anyio.run(_serve, _Server(config), listener, settings, turns, service)
        except Exception:  # the outermost handler of this process
            logger.exception("the server broke")
            _end(service, 1)
    _end(service, 0)


def _load_ahead() -> None:
    for module in _LOADED_AHEAD:
        importlib.import_module(module)
    # What is loaded by now stays: the collector need not walk all of it, for tens of milliseconds, between calls.
    gc.collect()
    gc.freeze()


def _end(service: LazyService, status: int) -> NoReturn:
    service.close()
    logging.shutdown()
    os._exit(status)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which know nothing of calls."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """Raises ConfigError where nobody may listen."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    # Named, or asyncio does not know it for TCP and leaves small writes to Nagle's algorithm: 40 ms more a reply.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let a second server share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.http_host, settings.http_port))
        except OSError as error:
            raise ConfigError(
                f"{settings.http_host} port {settings.http_port}: {error.strerror or error}",
                "Choose another with --host and --port.",
            ) from error
        listener.listen(_BACKLOG)
        yield listener
    finally:
        listener.close()


async def _serve(
    server: _Server, listener: socket.socket, settings: Settings, turns: Turns, service: LazyService
) -> None:
    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    async with anyio.create_task_group() as group:
        group.start_soon(_drain_on_signal, server, settings, turns, service)
        # Also where the log is kept short: with port 0 nobody would know it otherwise.
        logger.warning("listening on http://%s:%d%s", where, port, PATH)
        await server.serve(sockets=[listener])
        group.cancel_scope.cancel()


async def _drain_on_signal(server: _Server, settings: Settings, turns: Turns, service: LazyService) -> None:
    """The first signal ends the server when its calls are done, the second at once."""
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            async for number in signals:
                name = signal.Signals(number).name
                if turns.closed:
                    logger.warning("%s: ending at once", name)
                    _end(service, 0)
                logger.warning("%s: ending when %d calls are done", name, turns.running)
                group.start_soon(_drain, server, settings, turns)


async def _drain(server: _Server, settings: Settings, turns: Turns) -> None:
    turns.close()
    with anyio.move_on_after(settings.http_drain_s):
        await turns.idle()
    if turns.running:
        logger.warning("%d calls are ended after %g s", turns.running, settings.http_drain_s)
    server.should_exit = True
