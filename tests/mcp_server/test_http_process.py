"""The real process over HTTP: what of the machine it gives away, how it ends, and that nothing is left behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest

from tests.mcp_server.http_serving import body_of, client, headers_of
from tests.mcp_server.test_stdio import COMMAND, children_of, gone

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see what is left behind"),
]


class Server:
    """The installed command, listening on a free port of loopback."""

    def __init__(self, cwd: Path, *flags: str, **environment: str) -> None:
        command = [str(COMMAND), "serve", "--http", "--port", "0", "--log-format", "json", *flags]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = self.await_line("listening on ").rsplit(" ", 1)[1].removesuffix("/mcp")

    def await_line(self, wanted: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if wanted in (told := json.loads(line)["message"]):
                return told
        raise AssertionError(f"no line about {wanted!r}")

    def rest_of_log(self) -> list[dict[str, Any]]:
        assert self.process.stderr is not None
        return [json.loads(line) for line in self.process.stderr]


Start = Callable[..., Server]


@pytest.fixture
def start(sample_files: Any) -> Iterator[Start]:
    started: list[Server] = []

    def make(*flags: str, cwd: Path = sample_files.report.parent, **environment: str) -> Server:
        started.append(Server(cwd, *flags, **environment))
        return started[-1]

    yield make
    for server in started:
        with server.process as process:
            process.kill()


def data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


async def test_no_file_of_the_machine_is_read_unless_its_folder_is_named(start: Start, sample_files: Any) -> None:
    folder = sample_files.report.parent
    chart, secret = folder / "chart.png", "a-secret-token-0123"
    server = start(INTERNVL_MCP_HTTP_TOKENS=f"alice {secret}", INTERNVL_MCP_LOG_FORMAT="json")
    async with client(authorization=f"Bearer {secret}") as http:
        for source in ("chart.png", str(chart), chart.as_uri(), "/etc/hostname", "clipboard", "~/x.png"):
            reply = await call(http, server.url, "extract_text", source=source)
            assert reply["isError"] and "access_denied" in reply["content"][0]["text"], source
        reply = await call(http, server.url, "extract_text", source=data_uri(chart, "image/png"))
        assert not reply.get("isError") and reply["structuredContent"]["lines"]
        await http.get(f"{server.url}/mcp", headers={"authorization": "Bearer another-secret-456"})
    server.process.send_signal(signal.SIGTERM)
    log = server.rest_of_log()
    assert server.process.wait(timeout=10) == 0
    calls = [line for line in log if line.get("tool") == "extract_text"]
    assert [line["outcome"] for line in calls] == ["access_denied"] * 6 + ["ok"]
    assert all(len(line["request_id"]) == 32 and line["ms"] >= 0 for line in calls)
    told = json.dumps(log)
    assert not [word for word in (secret, "alice", "another-secret", "chart", "base64", str(folder)) if word in told]


async def test_a_folder_that_is_named_is_read(start: Start, sample_files: Any) -> None:
    folder = sample_files.report.parent
    server = start("--root", str(folder))
    async with client() as http:
        reply = await call(http, server.url, "extract_text", source=str(folder / "chart.png"))
    assert reply["structuredContent"]["lines"]


async def call(http: Any, url: str, tool: str, **arguments: Any) -> dict[str, Any]:
    body = body_of("tools/call", 1, True, name=tool, arguments=arguments)
    reply = await http.post(f"{url}/mcp", content=body, headers=headers_of("tools/call", True, name=tool), timeout=300)
    text = reply.text
    if reply.headers["content-type"].startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data: ")][-1].removeprefix("data: ")
    return json.loads(text)["result"]


def workers_of(pid: int) -> list[int]:
    """Those whose program has begun: before, the server waits for it."""
    found: list[int] = []
    for child in children_of(pid):
        with suppress(OSError):
            if b"vision.workers.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


@contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """What they work on cannot end in there."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_signal_lets_the_calls_at_work_finish_and_takes_no_more(start: Start, sample_files: Any) -> None:
    # However busy the machine is, the call at work shall neither become a job nor be given up.
    server = start("--http-drain-s", "300", "--reply-within-s", "300", "--decode-timeout-s", "300")
    chart = data_uri(sample_files.report.parent / "chart.png", "image/png")
    replies: list[dict[str, Any]] = []

    async def ask() -> None:
        # Plainly: the SDK's client asks for the tools after its first result, when nobody may be there any more.
        replies.append(await call(http, server.url, "extract_text", source=chart))

    async with client() as http, anyio.create_task_group() as group:
        group.start_soon(ask)
        with anyio.fail_after(60):
            while not (workers := workers_of(server.process.pid)):
                await anyio.lowlevel.checkpoint()
        with standing_still(workers):
            server.process.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(server.await_line, "ending when 1 calls are done")
            assert (await http.get(f"{server.url}/health")).json() == {"status": "draining"}
            refused = await call(http, server.url, "manage_model", action="status")
            assert json.loads(refused["content"][0]["text"])["error"]["code"] == "busy"
            assert not replies
    assert "structuredContent" in replies[0] and replies[0]["structuredContent"]["lines"]
    assert await anyio.to_thread.run_sync(server.process.wait, 10) == 0


@pytest.mark.parametrize("flags", [("--http-drain-s", "0.2"), ("--http-drain-s", "60")], ids=["its time", "a second"])
async def test_a_call_that_takes_longer_is_ended_by_its_time_or_a_second_signal(
    flags: tuple[str, str], start: Start, sample_files: Any
) -> None:
    server = start(*flags)
    scan = data_uri(sample_files.report.parent / "report-scan.pdf", "application/pdf")
    body = body_of("tools/call", 1, True, name="read_document", arguments={"source": scan})
    asked = headers_of("tools/call", True, name="read_document")
    lines = {"host": urlsplit(server.url).netloc, **asked, "content-length": str(len(body))}
    head = "\r\n".join(["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""])
    async with await anyio.connect_tcp("127.0.0.1", urlsplit(server.url).port or 0) as stream:
        await stream.send(head.encode() + body)
        with anyio.fail_after(60):
            while len(children_of(server.process.pid)) < 2:
                await anyio.lowlevel.checkpoint()
        workers = children_of(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        await anyio.to_thread.run_sync(server.await_line, "ending when 1 calls are done")
        if flags[1] == "60":
            server.process.send_signal(signal.SIGINT)
        assert await anyio.to_thread.run_sync(server.process.wait, 5) == 0
    assert gone(workers)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--host", "0.0.0.0"), "no token is asked for"),
        (("--host", "192.0.2.77", "--http-without-token", "yes"), "192.0.2.77 port"),
        (("--http-tokens-file", "/nonexistent"), "http_tokens_file"),
    ],
)
def test_what_cannot_be_served_is_one_error_before_anything_listens(flags: tuple[str, ...], told: str) -> None:
    done = subprocess.run([str(COMMAND), "serve", "--http", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
