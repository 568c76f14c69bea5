"""The host's process: bind, tell that it is there, serve until nobody needs it, leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from vision.chat.host_spec import HostSpec
from vision.chat.record import Address, Launch, Record, read_record, write_record
from vision.host.app import build_app
from vision.host.late import LateGenerator
from vision.host.lifecycle import Lifecycle
from vision.host.work import Generator
from vision.serving.types import ServingPlan

READY = b"ready\n"
_log = logging.getLogger(__name__)
# How long the generator's thread may take to end. It may be inside a kernel that nothing interrupts.
_CLOSE_S = 0.5
# A server of others ends its own processes and gives shared memory back; it is killed before this is over.
_CLOSE_SERVER_S = 15.0
_GRACE_S = 1


def serve(launch: Launch, make_generator: Callable[[HostSpec], Generator]) -> None:
    """Serves until idle, told to end or signalled; writes READY to standard output once clients may come."""
    with _bound(launch) as listener:
        asyncio.run(_serve(launch, listener, LateGenerator(lambda: make_generator(launch.spec))))


async def _serve(launch: Launch, listener: socket.socket, generator: Generator) -> None:
    server: _Server

    def stop() -> None:
        server.should_exit = True

    lifecycle = Lifecycle(generator, launch.spec.idle_unload_s, stop)
    config = uvicorn.Config(
        build_app(launch, lifecycle),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    _end_on_signals(lifecycle)
    lifecycle.keep()
    generator.start()
    await server.serve(sockets=[listener])
    await _close(generator, _CLOSE_SERVER_S if isinstance(launch.spec.plan, ServingPlan) else _CLOSE_S)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again and would cut the clean-up short."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _end_on_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(lifecycle.end_now))
        else:
            loop.add_signal_handler(number, lifecycle.end_now)


async def _close(generator: Generator, within_s: float) -> None:
    """Gives the generator's thread a moment to end; the process ends either way."""
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def close() -> None:
        generator.close()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="close-generator", daemon=True).start()
    try:
        await asyncio.wait_for(closed.wait(), within_s)
    except TimeoutError:
        _log.info("the generator was still at work when the process ended")


@contextmanager
def _bound(launch: Launch) -> Iterator[socket.socket]:
    """A listening socket and the record that leads to it; both are gone afterwards."""
    if launch.socket is not None and sys.platform != "win32":
        listener = socket.socket(socket.AF_UNIX)
        launch.socket.unlink(missing_ok=True)  # whoever starts a host has made sure that nobody listens there
        listener.bind(str(launch.socket))
        address = Address(socket=launch.socket)
    else:
        listener = socket.socket(socket.AF_INET)
        listener.bind(("127.0.0.1", 0))
        address = Address(port=listener.getsockname()[1])
    listener.listen(128)
    record = Record(
        pid=os.getpid(),
        key=launch.key,
        version=launch.version,
        variant=launch.spec.plan.variant,
        secret=launch.secret,
        address=address,
        spec=launch.spec,
    )
    write_record(launch.record, record)
    _tell_ready()
    try:
        yield listener
    finally:
        listener.close()
        if read_record(launch.record) == record:  # or else another host has taken this one's place, and its socket
            if address.socket is not None:
                address.socket.unlink(missing_ok=True)
            launch.record.unlink(missing_ok=True)


def _tell_ready() -> None:
    """Tells whoever started this process, who may be gone; from here on standard output goes to the log."""
    try:
        os.write(1, READY)
    except BrokenPipeError:
        _log.info("nobody waited for the start")
    os.dup2(2, 1)
