"""Bodies of requests: one that stalls is ended, and all together find no more room than they are given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
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
SETTINGS = Settings(http_max_body_bytes=10_000)


def asked(tool: str, size: int) -> tuple[bytes, dict[str, str]]:
    body = body_of("tools/call", 1, True, name=tool, arguments={"source": "x" * size})
    return body, headers_of("tools/call", True, name=tool)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_finds_no_room_is_refused_as_busy_and_is_taken_when_others_have_ended(chunked: bool) -> None:
    works = [Work() for _ in range(4)]
    body, headers = asked("say", 9_000)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async def wait() -> None:
        long, names = asked("wait", 9_500)
        await http.post(f"{url}/mcp", content=long, headers=names)

    async def say() -> Any:
        return await http.post(f"{url}/mcp", content=parts() if chunked else body, headers=headers)

    async with serving(Work.taking_turns(*works), SETTINGS) as url, client() as http:
        async with anyio.create_task_group() as group:
            for work in works:
                group.start_soon(wait)
                await work.begun.wait()
            refused = await say()
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["code"] == "busy" and "again" in refused.json()["error"]["hint"]
            small, names = asked("say", 10)
            taken = await http.post(f"{url}/mcp", content=small, headers=names)
            assert taken.status_code == 200 and "said" in taken.text, "what fits is taken all the same"
            held = 4 * len(asked("wait", 9_500)[0])
            assert f"internvl_mcp_request_bytes {held}.0" in (await http.get(f"{url}/metrics")).text
            group.cancel_scope.cancel()
        for work in works:
            with anyio.fail_after(1):
                await work.stopped.wait()
        again = await say()
        afterwards = (await http.get(f"{url}/metrics")).text
    assert again.status_code == 200 and "said" in again.text
    assert "internvl_mcp_request_bytes 0.0" in afterwards


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
        body = Body(bodies)
        with body.received():
            await body.receiving(receive)()
            group.start_soon(job)
            await at_work.wait()
        assert bodies.held_bytes == 90, "its client has a job_id by now, and its arguments are still here"
        goes_on.set()
    assert bodies.held_bytes == 0


async def test_a_request_that_says_it_is_too_large_for_the_room_is_refused_before_any_of_it_is_read() -> None:
    bodies = Bodies(100)
    bodies.take(301)
    with pytest.raises(BodyRefused):
        bodies.check({"type": "http", "headers": [(b"content-length", b"100")]})
    bodies.check({"type": "http", "headers": [(b"content-length", b"99")]})
    bodies.check({"type": "http", "headers": [(b"content-length", b"101")]})  # too large on its own: others say so


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
async def test_a_task_that_the_header_names_otherwise_than_the_request_is_refused(method: str, tmp_path: Any) -> None:
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
        # There is no such task: what is right gets as far as that.
        assert await code(mcp_name="of-mine") == -32602
        assert await code() == -32602
        assert await code(mcp_name="=?base64?b2YtbWluZQ==?=") == -32602
    assert MODERN in str(body)
