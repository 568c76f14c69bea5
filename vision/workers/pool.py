"""A few worker processes of one role: started when first needed, leased to one job at a time, ended when idle."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, BinaryIO, Generic, TypeVar

import anyio
import anyio.to_thread

from vision.errors import Busy, VisionError
from vision.types import Frozen
from vision.workers.jobs import Job
from vision.workers.process import WorkerProcess, WorkerSpec

R = TypeVar("R", bound=Frozen)
# A process whose memory has grown past this share of its limit is replaced after the job, so that memory stays flat.
_RECYCLE_SHARE = 0.75


async def acquire(slots: anyio.Semaphore, wait_s: float) -> None:
    """Takes one of `slots`. Raises Busy when none was free for `wait_s` seconds."""
    try:
        slots.acquire_nowait()
        return
    except anyio.WouldBlock:
        waited = max(0.0, wait_s)
    with anyio.move_on_after(waited) as waiting:
        await slots.acquire()
    if waiting.cancelled_caught:
        raise Busy("other calls keep every worker busy", "Send fewer calls at once, or try this one again later.")


@asynccontextmanager
async def slot(slots: anyio.Semaphore, wait_s: float) -> AsyncIterator[None]:
    """Holds one of `slots`. Raises Busy when none was free for `wait_s` seconds."""
    await acquire(slots, wait_s)
    try:
        yield
    finally:
        slots.release()


class Results(Generic[R]):
    """The results of one running job, fetched one at a time (the child waits when they are not)."""

    def __init__(self, worker: WorkerProcess, job: Job[Any, R]) -> None:
        self._worker = worker
        self._job = job
        self.finished = False

    def __aiter__(self) -> AsyncIterator[tuple[R, bytearray]]:
        return self

    async def __anext__(self) -> tuple[R, bytearray]:
        step = partial(self._worker.next, self._job, self._worker.spec.timeout_s)
        # Abandoned when cancelled: the lease then kills the process, which wakes the thread.
        try:
            frame = await anyio.to_thread.run_sync(step, abandon_on_cancel=True)
        except VisionError:
            self.finished = True  # a job that reports an error has ended; a process that broke is dead anyway
            raise
        if frame is None:
            self.finished = True
            raise StopAsyncIteration
        return frame.value, frame.blob  # type: ignore[return-value]


class WorkerPool:
    """At most `size` processes of `spec`; used from one event loop."""

    def __init__(self, spec: WorkerSpec, size: int) -> None:
        self.spec = spec
        self._slots = anyio.Semaphore(size)
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()

    @asynccontextmanager
    async def run(
        self,
        job: Job[Any, R],
        params: Frozen,
        *,
        file: BinaryIO | None = None,
        blob: bytes | bytearray | memoryview = b"",
        wait_s: float = math.inf,
    ) -> AsyncIterator[Results[R]]:
        """Runs a job; iterate over the results inside the context. Leaving early, by any way, stops the work.

        Raises Busy when no process was free for `wait_s` seconds, and what the job raises.
        """
        async with slot(self._slots, wait_s):
            worker = self._take()
            self._busy.add(worker)
            results: Results[R] = Results(worker, job)
            try:
                begin = partial(worker.begin, job, params, file, blob)
                await anyio.to_thread.run_sync(begin, abandon_on_cancel=True)
                yield results
            finally:
                self._busy.discard(worker)
                self._give_back(worker, results.finished)

    async def first(
        self,
        job: Job[Any, R],
        params: Frozen,
        *,
        file: BinaryIO | None = None,
        blob: bytes | bytearray | memoryview = b"",
        wait_s: float = math.inf,
    ) -> tuple[R, bytearray]:
        """The single result of a job that gives exactly one."""
        async with self.run(job, params, file=file, blob=blob, wait_s=wait_s) as results:
            found = [result async for result in results]
        if len(found) != 1:
            raise RuntimeError(f"{job.name} gave {len(found)} results where one was expected")
        return found[0]

    def _take(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            worker.close()
        return WorkerProcess(self.spec)  # a fork and exec: milliseconds; the wait for its libraries is in begin()

    def _give_back(self, worker: WorkerProcess, finished: bool) -> None:
        grown = worker.resident_bytes() > _RECYCLE_SHARE * (self.spec.memory_mb << 20)
        if finished and worker.alive and not grown:
            worker.idle_since = time.monotonic()
            self._idle.append(worker)
        else:
            worker.close()

    def end_idle(self, idle_s: float) -> None:
        """Ends the processes that nobody used for idle_s seconds, the longest idle first."""
        horizon = time.monotonic() - idle_s
        for worker in [w for w in self._idle if w.idle_since <= horizon]:
            self._idle.remove(worker)
            worker.close()

    def close(self) -> None:
        """Ends every process, busy ones too."""
        for worker in self._busy:
            worker.kill()
        self.end_idle(idle_s=0)

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)
