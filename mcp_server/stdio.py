"""Serves one client over standard input and output until it goes away or a signal comes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import anyio

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from mcp_server.app import LazyService

logger = logging.getLogger("internvl_mcp")


def serve(app: Server, service: LazyService) -> None:
    """Returns never: ends the process with status 0 on end of input, SIGINT or SIGTERM, workers first."""
    try:
        anyio.run(_serve, app, service)
    except Exception:  # the outermost handler of this process
        logger.exception("the server broke")
        _end(service, 1)
    _end(service, 0)


def _end(service: LazyService, status: int) -> NoReturn:
    service.close()
    logging.shutdown()
    # The SDK's reader thread may still block on standard input, and would keep an ordinary exit waiting for it.
    os._exit(status)


async def _serve(app: Server, service: LazyService) -> None:
    from mcp.server.stdio import stdio_server

    from mcp_server.stdio_lines import AnsweredLines

    async with anyio.create_task_group() as group:
        if sys.platform != "win32":
            group.start_soon(_end_on_signal, service)
        async with stdio_server() as (incoming, outgoing):
            await app.run(AnsweredLines(incoming, outgoing), outgoing, app.create_initialization_options())
        group.cancel_scope.cancel()


async def _end_on_signal(service: LazyService) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            logger.info("%s: ending", signal.Signals(number).name)
            _end(service, 0)
