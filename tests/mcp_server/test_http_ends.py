"""Whatever ends a call ends its work: in both eras of the protocol, with sessions and without."""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client, MCPError

from tests.mcp_server.http_serving import MODERN, Work, body_of, client, headers_of, serving, session_of
from vision.config import Settings

pytestmark = pytest.mark.anyio
ERAS = ["legacy", MODERN]
WITHIN_S = 1.0


@pytest.fixture(params=[False, True], ids=["sessions", "stateless"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(http_stateless=request.param)


async def stopped(work: Work) -> None:
    with anyio.fail_after(WITHIN_S):
        await work.stopped.wait()


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_cancels_stops_the_work_and_its_next_call_works(mode: str, settings: Settings) -> None:
    work = Work()
    async with serving(work.server(), settings) as url, Client(f"{url}/mcp", mode=mode) as asking:
        async with anyio.create_task_group() as group:
            group.start_soon(asking.call_tool, "wait", {})
            await work.begun.wait()
            group.cancel_scope.cancel()
        await stopped(work)
        assert (await asking.call_tool("say", {})).content


@pytest.mark.parametrize("modern", [False, True])
async def test_a_connection_that_breaks_off_stops_the_work(modern: bool, settings: Settings) -> None:
    work = Work()
    async with serving(work.server(), settings) as url, client() as http:
        session = None if modern else await session_of(http, url)
        body = body_of("tools/call", 7, modern, name="wait", arguments={})
        headers = headers_of("tools/call", modern, session, "wait")
        host = urlsplit(url).netloc
        lines = [f"{name}: {value}" for name, value in {"host": host, **headers, "content-length": len(body)}.items()]
        stream = await anyio.connect_tcp("127.0.0.1", urlsplit(url).port or 0)
        async with stream:
            await stream.send("\r\n".join(["POST /mcp HTTP/1.1", *lines, "", ""]).encode() + body)
            await work.begun.wait()
        await stopped(work)


async def test_a_cancelled_notification_ends_the_call_of_its_own_session_alone(settings: Settings) -> None:
    works = (Work(), Work())

    async def ask(session: str) -> None:
        body = body_of("tools/call", 5, name="wait", arguments={})
        reply = await http.post(f"{url}/mcp", content=body, headers=headers_of("tools/call", session=session))
        assert "-32800" in reply.text

    async def cancel(session: str) -> None:
        body = body_of("notifications/cancelled", None, requestId=5)
        await http.post(f"{url}/mcp", content=body, headers=headers_of("", session=session))

    async with (
        client() as http,
        serving(Work.taking_turns(*works), settings) as url,
        anyio.create_task_group() as group,
    ):
        sessions = [await session_of(http, url) for _ in works]
        for session, work in zip(sessions, works, strict=True):
            group.start_soon(ask, session)
            await work.begun.wait()
        await cancel(sessions[1])
        await stopped(works[1])
        assert not works[0].stopped.is_set()
        await cancel(sessions[0])
        await stopped(works[0])


async def test_a_session_that_is_ended_stops_its_work() -> None:
    work = Work()
    async with serving(work.server()) as url, client() as http:
        session = await session_of(http, url)

        async def ask() -> None:
            body = body_of("tools/call", name="wait", arguments={})
            await http.post(f"{url}/mcp", content=body, headers=headers_of("", session=session))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await work.begun.wait()
            await http.delete(f"{url}/mcp", headers=headers_of("", session=session))
            await stopped(work)


async def test_a_server_that_ends_stops_its_work(settings: Settings) -> None:
    work = Work()

    async def ask(url: str) -> None:
        with pytest.raises((MCPError, BaseExceptionGroup)):
            async with Client(f"{url}/mcp", mode="legacy") as asking:
                await asking.call_tool("wait", {})

    async with anyio.create_task_group() as group:
        async with serving(work.server(), settings) as url:
            group.start_soon(ask, url)
            await work.begun.wait()
        assert work.stopped.is_set()
