"""Whatever ends a call ends the process that works on it, within a second: in both eras of the protocol, with sessions
and without. `test_http_ends.py` has the same of the call itself.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream

from tests.mcp_server.http_serving import LEGACY, MODERN, body_of, client, headers_of, session_of
from tests.mcp_server.test_http_process import Server, data_uri
from tests.mcp_server.test_stdio import children_of, gone

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see what is at work"),
]
WITHIN_S = 1.0
CALL = 3


@pytest.fixture(scope="module", params=[False, True], ids=["sessions", "stateless"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    made = Server(folder, "--engine", "ocr", *(["--stateless"] if request.param else []), XDG_STATE_HOME=str(folder))
    with made.process as process:
        yield made
        process.kill()


class Asked:
    """A call at work: the connection that it came by, and its session."""

    def __init__(self, url: str, stream: SocketStream, session: str | None) -> None:
        self.url, self.stream, self.session = url, stream, session


async def close(asked: Asked) -> None:
    await asked.stream.aclose()


async def reset(asked: Asked) -> None:
    raw = asked.stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await asked.stream.aclose()


async def send_eof(asked: Asked) -> None:
    await asked.stream.send_eof()


async def cancel(asked: Asked) -> None:
    body = body_of("notifications/cancelled", None, requestId=CALL)
    async with client() as http:
        await http.post(f"{asked.url}/mcp", content=body, headers=headers_of("", session=asked.session))


async def end_session(asked: Asked) -> None:
    async with client() as http:
        await http.delete(f"{asked.url}/mcp", headers=headers_of("", session=asked.session))


End = Callable[[Asked], Awaitable[None]]
# 2026-07-28 has no sessions, and a closed connection is how it cancels.
ENDS: list[tuple[str, End]] = [
    *((version, end) for version in (LEGACY, MODERN) for end in (close, reset, send_eof)),
    (LEGACY, cancel),
    (LEGACY, end_session),
]


@pytest.mark.parametrize(("version", "end"), ENDS, ids=[f"{version}-{end.__name__}" for version, end in ENDS])
async def test_what_ends_a_call_ends_the_process_at_work(
    version: str, end: End, server: Server, sample_files: Any, request: pytest.FixtureRequest
) -> None:
    if end is end_session and "stateless" in request.node.callspec.id:
        pytest.skip("there is no session to end")
    modern = version == MODERN
    scan = data_uri(sample_files.report.parent / "report-scan.pdf", "application/pdf")
    body = body_of("tools/call", CALL, modern, name="read_document", arguments={"source": scan})
    async with client() as http:
        session = None if modern else await session_of(http, server.url)
    lines = {
        "host": urlsplit(server.url).netloc,
        **headers_of("tools/call", modern, session, "read_document"),
        "content-length": str(len(body)),
    }
    head = "\r\n".join(["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""])
    assert not recognisers(server)
    async with await anyio.connect_tcp("127.0.0.1", urlsplit(server.url).port or 0) as stream:
        await stream.send(head.encode() + body)
        with anyio.fail_after(60):
            while not (at_work := recognisers(server)):
                await anyio.lowlevel.checkpoint()
        began = time.monotonic()
        await end(Asked(server.url, stream, session))
        while not gone(at_work):
            assert time.monotonic() - began < WITHIN_S, "the work goes on"
            await anyio.lowlevel.checkpoint()
    async with client() as http:
        assert "internvl_mcp_calls_running 0.0" in (await http.get(f"{server.url}/metrics")).text


def recognisers(server: Server) -> list[int]:
    """The processes that read text: there is one while a scan is read."""
    found: list[int] = []
    for pid in children_of(server.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"ocr" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found
