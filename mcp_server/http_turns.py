"""Who works next: a bound on the calls at work, of each owner and in all, and turns for those that wait."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from mcp_server.http_bodies import Body
from vision.call import Call
from vision.errors import Busy

# They answer at once, and are what somebody who waits asks.
LIGHT_TOOLS = frozenset({"manage_model", "get_result"})
# Of the time within which a call replies: one that waited longer is told so, and not given a job that has not begun.
_WAIT_SHARE = 0.6
_LATER = "Ask again in half a minute, with fewer calls at once."


@dataclass(eq=False)
class _Waiting:
    owner: str
    promised: bool
    settled: anyio.Event = field(default_factory=anyio.Event)
    granted: bool = False


class Turns:
    """`at_once`: calls that may be at work; `each`: of one owner; `waiting`: calls that may wait, of all owners;
    `reply_within_s`: the time within which each replies.

    Those that wait are let in by turns over their owners, so that the many calls of one hold up the one call of another
    for a call's length only. Where too many wait, the owner with most of them loses its newest.
    """

    def __init__(self, at_once: int, each: int, waiting: int, reply_within_s: float) -> None:
        self._at_once, self._each, self._may_wait = at_once, each, waiting
        self._wait_s = _WAIT_SHARE * reply_within_s
        self._running: Counter[str] = Counter()
        # The owners in the order of their turns, each with its calls; an owner without any is not kept.
        self._queues: dict[str, deque[_Waiting]] = {}
        self._idle = anyio.Event()
        self.closed = False

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def close(self) -> None:
        """From now on every call is refused, those that wait among them; the ones at work go on."""
        self.closed = True
        if not self.running:
            self._idle.set()
        for queue in self._queues.values():
            for waiting in queue:
                waiting.settled.set()
        self._queues.clear()

    async def idle(self) -> None:
        """Returns when none is at work any more. To be asked once closed."""
        await self._idle.wait()

    @asynccontextmanager
    async def turn(self, owner: str, tool: str, call: Call, *, promised: bool = False) -> AsyncIterator[None]:
        """Holds a place while the call works, after waiting for one. Raises Busy.

        `promised`: its client has a job_id for it already, so that it waits as long as it may work, and is not sent
        away for others.
        """
        if self.closed:
            raise _ending()
        with Body.held():  # what it was asked with, also when its client has its reply
            if tool in LIGHT_TOOLS:
                yield
                return
            if self._free_for(owner) and not self._queues.get(owner):
                self._running[owner] += 1
            else:
                await self._wait(owner, call, promised)
            try:
                yield
            finally:
                self._leave(owner)

    def _leave(self, owner: str) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        if self.closed and not self._running:
            self._idle.set()
        self._let_in()

    async def _wait(self, owner: str, call: Call, promised: bool) -> None:
        if not promised:
            self._make_room(owner)
        waiting = _Waiting(owner, promised)
        before = self.waiting
        self._queues.setdefault(owner, deque()).append(waiting)
        try:
            with anyio.move_on_after(call.left_s if promised else min(call.left_s, self._wait_s)):
                await call.progress(0.0, None, f"waiting for its turn; {before} calls wait already")
                await waiting.settled.wait()
        except BaseException:
            self._give_up(waiting)
            raise
        if waiting.granted:
            return
        if self.closed:
            raise _ending()
        lost = waiting.settled.is_set()
        self._give_up(waiting)
        why = "others had fewer calls waiting" if lost else "its time to wait is over"
        raise Busy(f"the server has {self.running} calls at work, and {why}", _LATER)

    def _make_room(self, owner: str) -> None:
        """Raises Busy where `owner` has to be the one to go."""
        if self.waiting < self._may_wait:
            return
        longest = max(self._queues, key=lambda name: len(self._queues[name]), default=owner)
        queue = self._queues.get(longest, deque())
        lost = next((waiting for waiting in reversed(queue) if not waiting.promised), None)
        if lost is None or len(queue) <= len(self._queues.get(owner, ())) + 1:
            raise Busy(f"the server has {self.running} calls at work, and {self.waiting} wait for their turn", _LATER)
        queue.remove(lost)
        lost.settled.set()

    def _give_up(self, waiting: _Waiting) -> None:
        if waiting.granted:  # let in at the very moment it was cancelled
            self._leave(waiting.owner)
            return
        queue = self._queues.get(waiting.owner)
        if queue is not None and waiting in queue:
            queue.remove(waiting)
            if not queue:
                del self._queues[waiting.owner]

    def _free_for(self, owner: str) -> bool:
        return self.running < self._at_once and self._running[owner] < self._each

    def _let_in(self) -> None:
        for owner in list(self._queues):
            if self.running >= self._at_once:
                return
            if not self._free_for(owner):
                continue
            queue = self._queues.pop(owner)
            waiting = queue.popleft()
            if queue:
                self._queues[owner] = queue  # at the end: the others come first now
            waiting.granted = True
            self._running[owner] += 1
            waiting.settled.set()


def _ending() -> Busy:
    return Busy("the server is ending and takes no more calls", "Ask again in a few seconds, when it is back.")
