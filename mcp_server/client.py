"""What the server asks of and tells its client during a call: its roots, and how far the call is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.session import ServerSession

    from tools.result import JobProgress

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


class Watched(Protocol):
    """Work that tells how far it is."""

    @property
    def progress(self) -> JobProgress: ...

    @property
    def ended(self) -> anyio.Event: ...

    async def change(self) -> None:
        """Returns when there is progress, or an end."""
        ...


async def follow(session: ServerSession, work: Watched, within_s: float) -> None:
    """Returns when the work has ended, or after `within_s` seconds, however slowly the client reads.

    Meanwhile its progress is passed on so that it strictly rises, as the protocol wants, and is repeated when nothing
    happens for a while. Nothing is sent to clients that gave no progress token.
    """
    sent = 0.0
    with anyio.move_on_after(max(0.0, within_s)):
        while not work.ended.is_set():
            with anyio.move_on_after(_STILL_ALIVE_EVERY_S):
                await work.change()
            if work.ended.is_set():
                return
            now = work.progress
            sent = now.done if now.done > sent else sent + 0.001
            total = now.total if now.total is None or now.total >= sent else None
            await session.report_progress(sent, total, now.message)
