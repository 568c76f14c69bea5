"""A few worker processes of one role: started when first needed, leased to one job at a time, ended when idle."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, BinaryIO, Generic, TypeVar

import anyio
import anyio.to_thread

from vision.errors import VisionError
from vision.types import Frozen
from vision.workers.jobs import Job
from vision.workers.process import Item, Progress, WorkerProcess, WorkerSpec

R = TypeVar("R", bound=Frozen)
ProgressCallback = Callable[[float, float | None, str], Awaitable[None]]
# A process whose memory has grown past this share of its limit is replaced after the job, so that memory stays flat.
_RECYCLE_SHARE = 0.75


class Results(Generic[R]):
    """The results of one running job, fetched one at a time (the child waits when they are not)."""

    def __init__(self, worker: WorkerProcess, job: Job, on_progress: ProgressCallback | None) -> None:
        self._worker = worker
        self._job = job
        self._on_progress = on_progress
        self.finished = False

    def __aiter__(self) -> AsyncIterator[tuple[R, bytearray]]:
        return self

    async def __anext__(self) -> tuple[R, bytearray]:
        while True:
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
            if isinstance(frame, Item):
                return frame.value, frame.blob  # type: ignore[return-value]
            await self._report(frame)

    async def _report(self, progress: Progress) -> None:
        if self._on_progress is not None:
            await self._on_progress(progress.done, progress.total, progress.message)


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
        on_progress: ProgressCallback | None = None,
    ) -> AsyncIterator[Results[R]]:
        """Runs a job; iterate over the results inside the context. Leaving early, by any way, stops the work."""
        async with self._slots:
            worker = await self._take()
            self._busy.add(worker)
            results: Results[R] = Results(worker, job, on_progress)
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
        on_progress: ProgressCallback | None = None,
    ) -> tuple[R, bytearray]:
        """The single result of a job that gives exactly one."""
        async with self.run(job, params, file=file, blob=blob, on_progress=on_progress) as results:
            found = [result async for result in results]
        if len(found) != 1:
            raise RuntimeError(f"{job.name} gave {len(found)} results where one was expected")
        return found[0]

    async def _take(self) -> WorkerProcess:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            worker.close()
        return WorkerProcess(self.spec)

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
