"""Bodies of requests: one that stalls is ended, and all together, or one owner's, find no more room than is theirs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from mcp_server import http_bodies
from mcp_server.app import LazyService, build_app
from mcp_server.http import turns_of
from mcp_server.http_bodies import Bodies, Body, BodyRefused
from mcp_server.http_turns import Turns
from tests.mcp_server.http_serving import MODERN, Work, body_of, client, headers_of, serving
from vision.call import Call
from vision.config import Settings

pytestmark = pytest.mark.anyio
# Four of the largest find room.
SETTINGS = Settings(http_max_body_bytes=100_000)
SCOPE: dict[str, Any] = {"type": "http", "headers": []}


def asked(tool: str, size: int) -> tuple[bytes, dict[str, str]]:
    body = body_of("tools/call", 1, True, name=tool, arguments={"source": "x" * size})
    return body, headers_of("tools/call", True, name=tool)


async def in_parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_finds_no_room_is_refused_as_busy_and_is_taken_when_others_have_ended(chunked: bool) -> None:
    works = [Work() for _ in range(4)]

    async def wait() -> None:
        long, names = asked("wait", 95_000)
        await http.post(f"{url}/mcp", content=long, headers=names)

    async def say(size: int) -> Any:
        body, headers = asked("say", size)
        return await http.post(f"{url}/mcp", content=in_parts(body) if chunked else body, headers=headers)

    async with serving(Work.taking_turns(*works), SETTINGS) as url, client() as http:
        async with anyio.create_task_group() as group:
            for work in works:
                group.start_soon(wait)
                await work.begun.wait()
            refused = await say(90_000)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["code"] == "busy" and "again" in refused.json()["error"]["hint"]
            small = await say(60_000)
            assert small.status_code == 200 and "said" in small.text, "it is more than there is room for"
            held = 4 * len(asked("wait", 95_000)[0])
            assert f"internvl_mcp_request_bytes {held}.0" in (await http.get(f"{url}/metrics")).text
            group.cancel_scope.cancel()
        for work in works:
            with anyio.fail_after(1):
                await work.stopped.wait()
        again = await say(90_000)
        afterwards = (await http.get(f"{url}/metrics")).text
    assert again.status_code == 200 and "said" in again.text
    assert "internvl_mcp_request_bytes 0.0" in afterwards


async def test_one_owner_leaves_half_of_the_room_to_others() -> None:
    works = [Work() for _ in range(3)]
    tokens = {"alice": "alice-0123456789abcdef", "bob": "bob-0123456789abcdef"}
    settings = Settings.model_validate({**dict(SETTINGS), "http_tokens": "\n".join(map(" ".join, tokens.items()))})

    async def ask(owner: str, tool: str, size: int = 95_000) -> Any:
        body, headers = asked(tool, size)
        headers["authorization"] = f"Bearer {tokens[owner]}"
        return await http.post(f"{url}/mcp", content=body, headers=headers)

    async with serving(Work.taking_turns(*works), settings) as url, client() as http:
        async with anyio.create_task_group() as group:
            for owner, work in zip(("alice", "alice", "bob"), works, strict=True):
                group.start_soon(ask, owner, "wait")
                await work.begun.wait()
            refused = await ask("alice", "say")
            assert refused.status_code == 503 and "your requests" in refused.json()["error"]["message"]
            assert (await ask("alice", "say", 10)).status_code == 200
            assert (await ask("bob", "say")).status_code == 200
            group.cancel_scope.cancel()


async def test_a_body_counts_until_the_work_that_it_began_has_ended() -> None:
    bodies, turns = Bodies(100), Turns(1, 1, 1, 60)
    goes_on, at_work = anyio.Event(), anyio.Event()

    async def job() -> None:
        async with turns.turn("a", "read_document", Call(60)):
            at_work.set()
            await goes_on.wait()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 90}

    async with anyio.create_task_group() as group:
        body = Body(bodies, SCOPE)
        with body.received():
            await body.receiving(receive)()
            group.start_soon(job)
            await at_work.wait()
        assert bodies.held_bytes == 90, "its client has a job_id by now, and its arguments are still here"
        goes_on.set()
    assert bodies.held_bytes == 0


@pytest.mark.parametrize(
    ("declared", "read"),
    [
        (80_001, False),
        (80_000, True),
        (64 << 10, True),
        (100_001, True),  # too large on its own: others say so
    ],
)
async def test_a_request_that_says_it_is_too_large_for_the_room_is_refused_before_any_of_it_is_read(
    declared: int, read: bool
) -> None:
    bodies = Bodies(100_000)
    for owner in "abcd":
        bodies.take(owner, 80_000, 0)
    came = 0

    async def receive() -> dict[str, Any]:
        nonlocal came
        came += 1
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "headers": [(b"content-length", str(declared).encode())]}
    with nullcontext() if read else pytest.raises(BodyRefused):
        await Body(bodies, scope).receiving(receive)()
    assert came == read


@pytest.mark.parametrize("begun", [b"", b'{"jsonrpc":'], ids=["nothing", "a part"])
async def test_a_body_that_stalls_is_ended_and_holds_nothing(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(http_bodies, "_SILENCE_S", 0.05)
    lines = {"host": "", **headers_of("tools/call", True, name="say"), "content-length": "100"}
    async with serving() as url:
        lines["host"] = urlsplit(url).netloc
        head = "\r\n".join(["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""])
        async with await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0) as stream:
            await stream.send(head.encode() + begun)
            answer = b""
            with anyio.fail_after(5):
                try:
                    while True:  # until the server closes the connection
                        answer += await stream.receive()
                except anyio.EndOfStream:
                    pass
        async with client() as http:
            assert "internvl_mcp_request_bytes 0.0" in (await http.get(f"{url}/metrics")).text
    status, _, text = answer.partition(b"\r\n")
    assert b"408" in status and json.loads(text.rpartition(b"\r\n\r\n")[2])["error"]["code"] == "stalled"


@pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel", "tasks/update"])
async def test_a_task_that_the_header_names_otherwise_than_the_request_is_refused(
    method: str, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "internvl_mcp.http")
    settings = Settings(engine="ocr", state_folder=tmp_path)
    service = LazyService(settings, tmp_path)
    turns = turns_of(settings)
    body = json.loads(body_of(method, 1, True, taskId="of-mine"))
    declared = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = declared

    async def code(**named: str) -> int:
        headers = headers_of(method, True) | {name.replace("_", "-"): value for name, value in named.items()}
        reply = await http.post(f"{url}/mcp", content=json.dumps(body).encode(), headers=headers)
        assert reply.status_code == 400 or reply.json()["error"]["code"] != -32020
        return reply.json()["error"]["code"]

    async with serving(build_app(service, turns), settings, turns) as url, client() as http:
        assert await code(mcp_name="of-another") == -32020
        told = [vars(record)["fields"] for record in caplog.records if record.message == "request"]
        assert [(line["method"], line["outcome"]) for line in told] == [(method, "error -32020")]
        # There is no such task: what is right gets as far as that.
        assert await code(mcp_name="of-mine") == -32602
        assert await code() == -32602
        assert await code(mcp_name="=?base64?b2YtbWluZQ==?=") == -32602
    assert MODERN in str(body)
