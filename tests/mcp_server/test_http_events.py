"""An answer whose stream broke can be fetched again: by its own session, for a while, within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import GET_STREAM_KEY, EventMessage

from mcp_server.http_events import RETRY_MS, Events, SessionEvents
from tests.mcp_server.http_serving import ACCEPTED, MODERN, Work, body_of, client, headers_of, serving, session_of
from vision.config import Settings

pytestmark = pytest.mark.anyio
PRIMED = "2025-11-25"  # the first revision whose clients take events without data


def progress(number: int = 1) -> types.JSONRPCMessage:
    return types.JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"progress": number})


def answer(said: str = "said") -> types.JSONRPCMessage:
    return types.JSONRPCResponse(jsonrpc="2.0", id=1, result={"said": said})


async def replayed(events: SessionEvents, after: str) -> list[Any]:
    found: list[Any] = []
    with anyio.fail_after(5):
        await events.replay_events_after(after, _into(found))
    return found


def _into(found: list[Any]) -> Any:
    async def send(event: EventMessage) -> None:
        found.append((event.event_id, event.message.model_dump(by_alias=True, exclude_unset=True)))

    return send


async def test_what_comes_after_an_event_on_its_stream_is_sent_again_up_to_the_answer() -> None:
    events = SessionEvents(Events())
    first = await events.store_event("1", None)
    await events.store_event("2", answer("of another request"))
    told = [await events.store_event("1", message) for message in (progress(), answer())]
    await events.store_event("1", answer("of a later request with the same id"))
    found = await replayed(events, first)
    assert [event_id for event_id, _ in found] == told
    assert found[1][1] == {"jsonrpc": "2.0", "id": 1, "result": {"said": "said"}}
    assert await replayed(events, told[1]) == []


async def test_an_answer_that_is_not_there_yet_is_waited_for() -> None:
    events, found = SessionEvents(Events()), []
    first = await events.store_event("1", None)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(events.replay_events_after, first, _into(found))
            await anyio.wait_all_tasks_blocked()
            assert not found
            await events.store_event("1", answer())
    assert len(found) == 1


async def test_the_channel_that_has_no_request_is_left_to_go_on() -> None:
    events = SessionEvents(Events())
    first = await events.store_event(GET_STREAM_KEY, progress())
    await events.store_event(GET_STREAM_KEY, progress(2))
    found: list[Any] = []
    assert await events.replay_events_after(first, _into(found)) == GET_STREAM_KEY
    assert len(found) == 1


@pytest.mark.parametrize("unknown", ["0", "2", "x", "-1", "9" * 5000])
async def test_an_unknown_id_brings_nothing(unknown: str) -> None:
    events = SessionEvents(Events())
    await events.store_event("1", None)
    assert await replayed(events, unknown) == []


async def test_all_sessions_together_are_bounded_and_the_oldest_go_first() -> None:
    events = Events(most_bytes=10_000, most_bytes_each=10_000)
    sessions = [SessionEvents(events) for _ in range(4)]
    for number in range(40):
        await sessions[number % 4].store_event(str(number), answer("x" * 1000))
        assert events.held_bytes <= 10_000
    assert 4 <= len(events) <= 8 and sum(session.held_bytes for session in sessions) == events.held_bytes
    assert await replayed(sessions[0], "1") == []


async def test_one_session_has_a_bound_of_its_own_and_takes_no_room_of_others() -> None:
    events = Events(most_bytes=10_000, most_bytes_each=3_000)
    quiet, loud = SessionEvents(events), SessionEvents(events)
    first = await quiet.store_event("1", None)
    await quiet.store_event("1", answer())
    for number in range(100):
        await loud.store_event(str(number), answer("x" * 500))
    assert loud.held_bytes <= 3_000
    assert len(await replayed(quiet, first)) == 1


async def test_an_answer_that_is_too_large_is_told_of() -> None:
    events = SessionEvents(Events(most_bytes_each=3_000))
    first = await events.store_event("1", None)
    await events.store_event("1", answer("x" * 5000))
    [(_, message)] = await replayed(events, first)
    assert message["id"] == 1 and "call the tool again" in message["error"]["message"]


async def test_old_ones_are_dropped() -> None:
    now = 0.0
    events = Events(keep_s=60, clock=lambda: now)
    session = SessionEvents(events)
    first = await session.store_event("1", None)
    await session.store_event("1", answer())
    now = 61.0
    assert await replayed(session, first) == []
    assert (len(events), events.held_bytes, session.held_bytes) == (0, 0, 0)


async def test_a_session_that_ended_keeps_nothing_and_nobody_waits_for_it() -> None:
    events = Events()
    session, other = SessionEvents(events), SessionEvents(events)
    first = await session.store_event("1", None)
    await other.store_event("1", None)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(session.replay_events_after, first, _into([]))
            await anyio.wait_all_tasks_blocked()
            session.close()
    await session.store_event("1", answer())
    assert len(events) == 1 and session.held_bytes == 0


# Over HTTP.


@asynccontextmanager
async def asked(
    http: httpx2.AsyncClient, url: str, session: str, tool: str, version: str = PRIMED
) -> AsyncIterator[httpx2.Response]:
    body = body_of("tools/call", 5, name=tool, arguments={})
    headers = {**headers_of("", session=session), "mcp-protocol-version": version}
    async with http.stream("POST", f"{url}/mcp", content=body, headers=headers) as reply:
        yield reply


async def again(http: httpx2.AsyncClient, url: str, session: str, event_id: str) -> str:
    headers = {**headers_of("", session=session), "mcp-protocol-version": PRIMED, "last-event-id": event_id}
    with anyio.fail_after(10):
        reply = await http.get(f"{url}/mcp", headers=headers)
    return reply.text if reply.status_code == 200 else str(reply.status_code)


def closing(go_on: anyio.Event) -> Server[Any]:
    """A server whose tool closes its stream, and answers when it may go on."""

    async def call_tool(context: Any, _: types.CallToolRequestParams) -> types.CallToolResult:
        await context.close_sse_stream()
        await go_on.wait()
        return types.CallToolResult(content=[types.TextContent(type="text", text="said later")])

    return Server("test", on_call_tool=call_tool)


async def first_line_of(reply: httpx2.Response, start: str) -> str:
    async for line in reply.aiter_lines():
        if line.startswith(start):
            return line.removeprefix(start).strip()
    raise AssertionError(f"no {start}")


async def test_an_answer_is_fetched_again_by_its_own_session_alone() -> None:
    async with serving() as url, client() as http:
        session, other = await session_of(http, url), await session_of(http, url)
        async with asked(http, url, session, "say") as reply:
            event_id = await first_line_of(reply, "id:")
        assert "said" in await again(http, url, session, event_id)
        assert "said" not in await again(http, url, other, event_id)
        assert await again(http, url, "unknown", event_id) == "404"


async def test_a_stream_that_the_server_closes_is_followed_by_another_request() -> None:
    go_on = anyio.Event()
    async with serving(closing(go_on)) as url, client() as http:
        session = await session_of(http, url)
        async with asked(http, url, session, "poll") as reply:
            lines = [line async for line in reply.aiter_lines()]
        assert "said later" not in "".join(lines) and f"retry: {RETRY_MS}" in lines
        event_id = next(line for line in lines if line.startswith("id:")).removeprefix("id:").strip()
        async with anyio.create_task_group() as group:

            async def fetch() -> None:
                assert "said later" in await again(http, url, session, event_id)

            group.start_soon(fetch)
            go_on.set()


async def test_a_call_whose_client_left_is_told_to_have_been_cancelled() -> None:
    work = Work()
    async with serving(work.server()) as url, client() as http:
        session = await session_of(http, url)
        async with asked(http, url, session, "wait") as reply:
            event_id = await first_line_of(reply, "id:")
            await work.begun.wait()
        with anyio.fail_after(1):
            await work.stopped.wait()
        assert "-32800" in await again(http, url, session, event_id)


async def test_clients_of_before_get_no_event_without_data() -> None:
    async with serving() as url, client() as http:
        session = await session_of(http, url)
        async with asked(http, url, session, "say", "2025-06-18") as reply:
            lines = [line async for line in reply.aiter_lines() if line.startswith(("id:", "data:", "retry:"))]
    assert len(lines) == 2 and all(line.removeprefix("data:").strip() for line in lines)


async def test_a_session_that_was_ended_gives_nothing_more() -> None:
    async with serving() as url, client() as http:
        session = await session_of(http, url)
        async with asked(http, url, session, "say") as reply:
            event_id = await first_line_of(reply, "id:")
        await http.delete(f"{url}/mcp", headers=headers_of("", session=session))
        assert await again(http, url, session, event_id) == "404"


@pytest.mark.parametrize("modern", [False, True])
async def test_without_sessions_nothing_is_kept(modern: bool) -> None:
    async with serving(settings=Settings(http_stateless=True)) as url, client() as http:
        body = body_of("tools/call", 5, modern, name="say", arguments={})
        headers = {**ACCEPTED, **headers_of("tools/call", modern, name="say")}
        headers["mcp-protocol-version"] = MODERN if modern else PRIMED
        reply = await http.post(f"{url}/mcp", content=body, headers=headers)
    assert "said" in reply.text and "id:" not in reply.text.splitlines()[0] and "retry:" not in reply.text
