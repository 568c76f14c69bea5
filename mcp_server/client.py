"""What the server asks of and tells its client during a call: its roots, and how far the call is."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.session import ServerSession

_ROOTS_WITHIN_S = 3.0
_STILL_ALIVE_EVERY_S = 4.0


class NeedsClientRoots(Exception):
    """The client must be asked for its roots before the call can go on (2026-07-28: it repeats the call with them)."""


async def client_roots(context: ServerRequestContext, params: types.CallToolRequestParams) -> tuple[Path, ...]:
    """The folders the client declares as its own; none if it declares none or does not answer in time.

    Raises NeedsClientRoots where the protocol has no request from server to client.
    """
    answered = (params.input_responses or {}).get("roots")
    if isinstance(answered, types.ListRootsResult):
        return folders(answered)
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.roots is None or params.input_responses is not None:
        return ()
    if not context.session.can_send_request:
        raise NeedsClientRoots
    try:
        with anyio.fail_after(_ROOTS_WITHIN_S):
            # Not session.list_roots(): it warns that roots are deprecated, which is the client's business.
            return folders(await context.session.send_request(types.ListRootsRequest(), types.ListRootsResult))
    except (MCPError, TimeoutError):
        return ()


def folders(found: types.ListRootsResult) -> tuple[Path, ...]:
    urls = [urlsplit(str(root.uri)) for root in found.roots]
    local = [url for url in urls if url.scheme == "file" and url.netloc in ("", "localhost") and "%00" not in url.path]
    folders = [Path(url2pathname(url.path)) for url in local]
    # A client that declares the whole disk has no project open; that is no permission to read everything.
    return tuple(folder for folder in folders if folder != Path(folder.anchor))


class ProgressReporter:
    """Passes progress on so that it strictly rises, and repeats it when nothing happens for a while.

    Nothing is sent to clients that gave no progress token.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._sent = 0.0
        self._total: float | None = None
        self._message = "working"
        self._beat: TaskGroup = anyio.create_task_group()

    async def __aenter__(self) -> ProgressReporter:
        await self._beat.__aenter__()
        self._beat.start_soon(self._still_alive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._beat.cancel_scope.cancel()
        return await self._beat.__aexit__(kind, error, trace)

    async def report(self, done: float, total: float | None, message: str) -> None:
        self._total, self._message = total, message
        await self._send(done)

    async def _still_alive(self) -> None:
        while True:
            await anyio.sleep(_STILL_ALIVE_EVERY_S)
            await self._send(self._sent)

    async def _send(self, done: float) -> None:
        # The protocol wants every value larger than the last, whatever the work's own count does.
        self._sent = done if done > self._sent else self._sent + 0.001
        total = self._total if self._total is None or self._total >= self._sent else None
        await self._session.report_progress(self._sent, total, self._message)
