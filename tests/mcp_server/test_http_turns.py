"""Bounds and turns, without a server."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from mcp_server.http_turns import LIGHT_TOOLS, Turns
from vision.call import Call
from vision.errors import Busy

pytestmark = pytest.mark.anyio


class Played:
    """Calls that hold their turn until they are told to end; `order`: who was let in, in the order they were."""

    def __init__(self, turns: Turns, group: TaskGroup) -> None:
        self.turns, self._group = turns, group
        self.order: list[str] = []
        self.refused: list[str] = []
        self._ends: dict[str, anyio.Event] = {}

    async def ask(self, owner: str, within_s: float = 60) -> None:
        """Returns when the call is at work, waits or is refused."""
        self._group.start_soon(self._call, owner, within_s)
        await anyio.wait_all_tasks_blocked()

    async def _call(self, owner: str, within_s: float) -> None:
        try:
            async with self.turns.turn(owner, "read_document", Call(within_s)):
                name = f"{owner}{sum(known.startswith(owner) for known in self.order)}"
                self.order.append(name)
                self._ends[name] = anyio.Event()
                await self._ends[name].wait()
        except Busy:
            self.refused.append(owner)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await anyio.wait_all_tasks_blocked()


@pytest.fixture
def turns() -> Turns:
    return Turns(at_once=3, each=2, waiting=4, reply_within_s=60)


async def test_no_more_than_the_bounds_are_at_work_of_one_owner_and_in_all(turns: Turns) -> None:
    async with anyio.create_task_group() as group:
        played = Played(turns, group)
        for owner in "aaabb":
            await played.ask(owner)
        assert played.order == ["a0", "a1", "b0"]
        assert (turns.running, turns.waiting) == (3, 2)
        group.cancel_scope.cancel()
    assert (turns.running, turns.waiting) == (0, 0)


async def test_those_that_wait_are_let_in_by_turns_over_their_owners() -> None:
    turns = Turns(at_once=1, each=1, waiting=9, reply_within_s=60)
    async with anyio.create_task_group() as group:
        played = Played(turns, group)
        for owner in "aaaabc":
            await played.ask(owner)
        while len(played.order) < 6:
            await played.end(played.order[-1])
        await played.end(played.order[-1])
    assert played.order == ["a0", "a1", "b0", "c0", "a2", "a3"]


async def test_a_place_freed_for_an_owner_at_its_bound_goes_to_the_next_owner(turns: Turns) -> None:
    async with anyio.create_task_group() as group:
        played = Played(turns, group)
        for owner in "aabac":
            await played.ask(owner)
        await played.end("b0")
        assert played.order == ["a0", "a1", "b0", "c0"]
        group.cancel_scope.cancel()


async def test_where_too_many_wait_the_owner_with_most_loses_its_newest(turns: Turns) -> None:
    async with anyio.create_task_group() as group:
        played = Played(turns, group)
        for owner in "aab" + "aaaa":
            await played.ask(owner)
        assert turns.waiting == 4 and not played.refused
        await played.ask("a")
        assert played.refused == ["a"], "the one that came is of the owner with most"
        await played.ask("c")
        assert played.refused == ["a", "a"] and turns.waiting == 4
        await played.end("b0")
        assert played.order[-1] == "c0"
        group.cancel_scope.cancel()


async def test_a_refusal_says_what_to_do() -> None:
    turns = Turns(at_once=1, each=1, waiting=0, reply_within_s=60)
    async with turns.turn("a", "read_document", Call(60)):
        with pytest.raises(Busy) as caught:
            async with turns.turn("b", "read_document", Call(60)):
                pytest.fail("let in")
    assert "1 calls at work" in caught.value.message and "Ask again" in caught.value.hint


@pytest.mark.parametrize(("reply_within_s", "within_s"), [(0.05, 3600), (60, 0.05)])
async def test_a_call_waits_no_longer_than_its_client_nor_than_it_may_work(
    reply_within_s: float, within_s: float
) -> None:
    turns = Turns(at_once=1, each=1, waiting=1, reply_within_s=reply_within_s)
    async with turns.turn("a", "read_document", Call(60)):
        with anyio.fail_after(5), pytest.raises(Busy, match="time to wait"):
            async with turns.turn("b", "read_document", Call(within_s)):
                pytest.fail("let in")
        assert turns.waiting == 0


async def test_a_call_whose_client_was_promised_the_result_waits_on_and_is_not_sent_away() -> None:
    turns = Turns(at_once=1, each=1, waiting=1, reply_within_s=0.01)
    let_in = anyio.Event()

    async def promised(task_status: Any) -> None:
        task_status.started()
        async with turns.turn("b", "read_document", Call(3600), promised=True):
            let_in.set()

    async with anyio.create_task_group() as group:
        async with turns.turn("a", "read_document", Call(60)):
            for _ in range(3):  # more than may wait
                await group.start(promised)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy, match="3 wait"):
                async with turns.turn("c", "read_document", Call(60)):
                    pytest.fail("let in")
            assert turns.waiting == 3
        with anyio.fail_after(5):
            await let_in.wait()


async def test_a_call_that_waits_says_so() -> None:
    told: list[str] = []

    async def progress(_: float, __: float | None, message: str) -> None:
        told.append(message)

    turns = Turns(at_once=1, each=1, waiting=1, reply_within_s=60)
    async with turns.turn("a", "read_document", Call(60)):
        with anyio.move_on_after(0.01):
            async with turns.turn("b", "read_document", Call(60, progress)):
                pytest.fail("let in")
    assert "waiting" in told[0] and turns.waiting == 0


@pytest.mark.parametrize("tool", sorted(LIGHT_TOOLS))
async def test_light_tools_are_not_held_up(tool: str) -> None:
    turns = Turns(at_once=1, each=1, waiting=0, reply_within_s=60)
    async with turns.turn("a", "read_document", Call(60)), turns.turn("a", tool, Call(60)):
        assert turns.running == 1


async def test_once_closed_those_at_work_go_on_and_all_others_are_refused(turns: Turns) -> None:
    async with anyio.create_task_group() as group:
        played = Played(turns, group)
        for owner in "aab" + "cd":
            await played.ask(owner)
        turns.close()
        await anyio.wait_all_tasks_blocked()
        assert sorted(played.refused) == ["c", "d"] and turns.running == 3
        for tool in ("read_document", "manage_model"):
            with pytest.raises(Busy, match="ending"):
                async with turns.turn("e", tool, Call(60)):
                    pytest.fail("let in")
        with anyio.move_on_after(0.01) as waited:
            await turns.idle()
        assert waited.cancelled_caught
        for name in list(played.order):
            await played.end(name)
        await turns.idle()
        assert len(played.order) == 3
