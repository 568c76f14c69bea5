"""Calls as jobs: the work runs in the server's task group, beside the request that waits for it. A call whose reply is
due first gives its job's id out, and get_result fetches what it came to: now, after a reconnect, after a restart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup

from mcp_server.client import NeedsClientRoots, folders
from mcp_server.job_questions import Questions
from mcp_server.job_store import JobStore, KeptJob, Outcome, State, new_id
from mcp_server.running import error_value, log_error, run_tool
from tools.result import JobProgress, Underway
from vision.call import Call
from vision.errors import (
    Busy,
    InvalidArgument,
    PasswordRequired,
    SourceUnreadable,
    StoreFailed,
    VisionError,
    WorkerFailed,
)

if TYPE_CHECKING:
    from mcp_server.http_turns import Turns
    from tools.tool import Tool
    from vision.service import VisionService

logger = logging.getLogger("internvl_mcp")
AskRoots = Callable[[], Awaitable[tuple[Path, ...]]]
Follow = Callable[["Job", float], Awaitable[None]]

_MOST_AT_ONCE = 256
# A job that ended its server so often is not begun again.
_MOST_ATTEMPTS = 3
# Jobs that could not be written stay in memory when they are done, so many of them.
_MOST_UNWRITTEN = 32
_LOOK_EVERY_S = 0.5
_WRITE_EVERY = 4
_POLL_S = 0.25
_END_WITHIN_S = 0.9
_GOES_ON = "The result is not there yet; the work goes on. Call get_result with this job_id until it comes."
_ASK_AGAIN = "The server ended during this job, and passwords are not kept: call the tool again, with the password."


@dataclass(frozen=True)
class Found:
    """How a job is. `created`, `updated`: seconds since the epoch. `outcome`: what it came to, when it is done. `asks`:
    what it waits for its client to answer.
    """

    job_id: str
    state: State
    progress: JobProgress
    created: float
    updated: float
    outcome: Outcome | None = None
    unwritten: str | None = None
    asks: types.InputRequests = field(default_factory=dict)

    def underway(self) -> Underway:
        """The reply where there is no outcome."""
        notices = ["It was ended, as it was asked for: there is no result." if self.state == "cancelled" else _GOES_ON]
        if self.unwritten is not None:
            notices.append(f"It would not outlive a restart of the server: {self.unwritten}.")
        return Underway(
            job_id=self.job_id,
            state="cancelled" if self.state == "cancelled" else "working",
            progress=self.progress,
            notices=tuple(notices),
        )


@dataclass(eq=False)
class Job:
    """One call at work in this process. `accepted`: its id may be given out; `unwritten`: why it is not on disk, too.
    `as_task`: its client took it for a task, and can be asked `questions`.

    `ended` is set when there is an `outcome`, or never will be one: it was cancelled, or must ask its client first.
    """

    kept: KeptJob
    progress: JobProgress
    roots: tuple[Path, ...] | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    outcome: Outcome | None = None
    accepted: bool = False
    cancelled: bool = False
    needs_roots: bool = False
    as_task: bool = False
    questions: Questions = field(default_factory=Questions)
    unwritten: str | None = None
    _changed: anyio.Event = field(default_factory=anyio.Event)
    # Accepting a job and writing what it came to take turns.
    writing: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def id(self) -> str:
        return self.kept.id

    @property
    def state(self) -> State:
        return "cancelled" if self.cancelled else "working" if self.outcome is None else "done"

    @property
    def found(self) -> Found:
        """How it is now."""
        times = (self.kept.created, time.time())
        return Found(self.id, self.state, self.progress, *times, self.outcome, self.unwritten, self.questions.open)

    async def report(self, done: float, total: float | None, message: str) -> None:
        self.progress = JobProgress(done=done, total=total, message=message)
        self.stir()

    def stir(self) -> None:
        """Wakes who waits for a change."""
        self._changed.set()
        self._changed = anyio.Event()

    async def change(self) -> None:
        """Returns when there is progress, or an end."""
        if not self.ended.is_set():
            await self._changed.wait()


class Jobs:
    """Used from one event loop. Leaving the task group ends every job; those with an id given out can be begun again.

    `folder`: the working directory. `turns`: None where one client has the server to itself.
    """

    def __init__(self, service: VisionService, group: TaskGroup, folder: Path, turns: Turns | None) -> None:
        self._service = service
        self._group = group
        self._folder = folder
        self._turns = turns
        self._store = JobStore(service.store)
        self._jobs: dict[str, Job] = {}
        self._looking = False

    @property
    def keep_s(self) -> float:
        """How long a job is kept since it changed."""
        return self._service.store.keep_s

    def __len__(self) -> int:
        """How many are at work."""
        return sum(not job.ended.is_set() for job in self._jobs.values())

    def close(self) -> None:
        self._store.close()

    def begin(self, tool: Tool, arguments: dict[str, Any], owner: str, ask_roots: AskRoots) -> Job:
        """Starts the work. Raises Busy when too much is at work already."""
        if len(self) >= _MOST_AT_ONCE:
            raise Busy(f"{_MOST_AT_ONCE} calls are at work", "Send fewer calls at once, or try this one again later.")
        now = time.time()
        kept = KeptJob(
            id=new_id(), owner=owner, tool=tool.name, arguments=arguments, folder=self._folder, created=now, updated=now
        )
        return self._start(Job(kept, kept.progress), tool, ask_roots)

    async def accept(self, job: Job) -> None:
        """Makes a job outlive its request: it is on disk before its id is given out. Nothing for one that is done."""
        async with job.writing:
            if job.ended.is_set():
                return
            try:
                await self._store.add(job.kept.model_copy(update={"roots": job.roots or (), "progress": job.progress}))
            except StoreFailed as e:
                logger.warning("%s", e.message)
                job.unwritten = e.message
            job.accepted = True
        if job.unwritten is None and not self._looking:
            self._looking = True
            self._group.start_soon(self._look_after)

    def drop(self, job: Job) -> None:
        """Ends a job that nobody waits for any more and whose id was never given out."""
        job.scope.cancel()
        self._group.start_soon(self._forget, job)

    async def result(self, owner: str, job_id: str, within_s: float, cancel: bool, follow: Follow) -> Found:
        """How the job is when it ended, or after `within_s` seconds; `follow(job, s)` waits for one of this process.

        Raises InvalidArgument for one that is not there, has expired, or is another owner's.
        """
        until = time.monotonic() + within_s
        while True:
            job = self._jobs.get(job_id)
            if job is not None and job.kept.owner == owner and job.accepted:
                if cancel:
                    self._cancel(job)
                await follow(job, min(until - time.monotonic(), _END_WITHIN_S) if cancel else until - time.monotonic())
                return job.found
            kept = await self._store.get(owner, job_id)
            if kept is None:
                raise InvalidArgument(
                    f"there is no job {job_id[:50]!r}: it has expired, or belongs to somebody else",
                    "Call the tool again; its reply has the result, or a new job_id.",
                )
            if kept.state == "working" and not await self._store.lives(kept):
                await self._go_on(kept, cancel)
                continue
            if kept.state == "working" and cancel:
                await self._store.ask_to_end(job_id)
                cancel, until = False, min(until, time.monotonic() + _END_WITHIN_S)
            if kept.state != "working" or time.monotonic() >= until:
                return Found(job_id, kept.state, kept.progress, kept.created, kept.updated, kept.outcome)
            await anyio.sleep(min(_POLL_S, max(0.0, until - time.monotonic())))

    def answer(self, owner: str, job_id: str, responses: Mapping[str, Any]) -> None:
        """Gives the owner's job what it waits for, where it is at work in this process. Raises ValidationError."""
        job = self._jobs.get(job_id)
        if job is not None and job.kept.owner == owner and job.accepted:
            job.questions.answer(responses)

    async def kept(self, owner: str) -> tuple[KeptJob, ...]:
        """The owner's jobs that are done, the last one first; `find` has what they came to. Raises StoreFailed."""
        return await self._store.of(owner)

    async def find(self, owner: str, job_id: str) -> KeptJob | None:
        """A job as it is kept, with its outcome; None where the owner has none of that id. Raises StoreFailed."""
        return await self._store.get(owner, job_id)

    def _start(self, job: Job, tool: Tool, ask_roots: AskRoots) -> Job:
        self._jobs[job.id] = job
        self._group.start_soon(self._work, job, tool, ask_roots)
        return job

    async def _work(self, job: Job, tool: Tool, ask_roots: AskRoots) -> None:
        try:
            with job.scope:
                outcome = await self._outcome(job, tool, ask_roots)
                job.outcome = None if job.cancelled else outcome
            await self._write(job)
        finally:
            # Also when the server ends: then the job stays as it was written, and another server begins it again.
            if job.unwritten is None or not job.accepted:
                del self._jobs[job.id]
            job.ended.set()
            job.stir()

    async def _outcome(self, job: Job, tool: Tool, ask_roots: AskRoots) -> Outcome | None:
        async def roots() -> tuple[Path, ...]:
            return await self._roots(job, ask_roots)

        call = Call(
            within_s=self._service.settings.job_within_s,
            progress=job.report,
            client_roots=roots,
            owner=job.kept.owner,
            working_directory=job.kept.folder,
        )
        try:
            async with self._turn(job, call):
                result = await run_tool(self._service, tool, job.kept.arguments or {}, call)
        except NeedsClientRoots:
            job.needs_roots = True
            return None
        except VisionError as error:
            log_error(tool.name, error)
            if isinstance(error, PasswordRequired) and job.kept.attempts > 1:
                return _failed(PasswordRequired(error.message, _ASK_AGAIN))
            return _failed(error)
        except Exception:  # the outermost handler: one broken call must not end the server
            logger.exception("%s failed", tool.name)
            error = WorkerFailed("the server failed on this call", "This is a bug; see its log (stderr).")
            return _failed(error, server_failed=True)
        return Outcome(value=result.model_dump(mode="json"))

    def _turn(self, job: Job, call: Call) -> AbstractAsyncContextManager[None]:
        if self._turns is None:
            return nullcontext()
        return self._turns.turn(call.owner, job.kept.tool, call, promised=job.accepted)

    async def _roots(self, job: Job, ask_roots: AskRoots) -> tuple[Path, ...]:
        """The client's roots, asked for once, and kept for a job that goes on without its client."""
        if job.roots is None:
            try:
                job.roots = await ask_roots()
            except NeedsClientRoots:
                if not job.accepted:
                    raise
                # The client has its reply: where it is no task, it cannot be asked any more.
                answers = await job.questions.ask({"roots": types.ListRootsRequest()}) if job.as_task else {}
                answered = answers.get("roots")
                job.roots = folders(answered) if isinstance(answered, types.ListRootsResult) else ()
            if job.accepted and job.unwritten is None:
                await self._store.learn_roots(job.id, job.roots)
        return job.roots

    async def _write(self, job: Job) -> None:
        async with job.writing:
            if not job.accepted or job.unwritten is not None or job.needs_roots:
                self._forget_unwritten()
                return
            try:
                await self._store.finish(job.id, job.state, job.outcome)
            except StoreFailed as e:
                logger.warning("%s", e.message)
                job.unwritten = e.message

    def _forget_unwritten(self) -> None:
        done = [job_id for job_id, job in self._jobs.items() if job.ended.is_set()]
        for job_id in done[:-_MOST_UNWRITTEN]:
            del self._jobs[job_id]

    async def _forget(self, job: Job) -> None:
        async with job.writing:
            if job.accepted and job.unwritten is None:
                try:
                    await self._store.forget(job.id)
                except StoreFailed as e:
                    logger.warning("%s", e.message)

    def _cancel(self, job: Job) -> None:
        if job.outcome is None:
            job.cancelled = True
            job.scope.cancel()

    async def _go_on(self, kept: KeptJob, cancel: bool) -> None:
        """Begins a job again whose server is gone, or ends it."""
        if cancel:
            await self._store.end_orphan(kept)
            return
        if not await self._store.take_over(kept):
            return
        from tools.catalogue import TOOLS

        tool = next((tool for tool in TOOLS if tool.name == kept.tool), None)
        lost = _why_lost(kept)
        if tool is None or lost is not None:
            hint = "Call the tool again."
            error = SourceUnreadable(f"the server ended during this job, and {lost or 'its tool is gone'}", hint)
            await self._store.finish(kept.id, "done", _failed(error))
            return

        async def roots() -> tuple[Path, ...]:
            return kept.roots

        again = kept.model_copy(update={"attempts": kept.attempts + 1})
        self._start(Job(again, JobProgress(message="begun again"), roots=kept.roots, accepted=True), tool, roots)
        if not self._looking:
            self._looking = True
            self._group.start_soon(self._look_after)

    async def _look_after(self) -> None:
        """Tells other processes how far the accepted jobs are, and ends those that they are asked to end."""
        turn = 0
        while at_work := [job for job in self._jobs.values() if job.accepted and not job.ended.is_set()]:
            await anyio.sleep(_LOOK_EVERY_S)
            turn += 1
            try:
                if turn % _WRITE_EVERY == 0:
                    await self._store.write_progress([(job.id, job.progress) for job in at_work])
                for job_id in await self._store.asked_to_end():
                    if job_id in self._jobs:
                        self._cancel(self._jobs[job_id])
            except StoreFailed as e:
                logger.warning("%s", e.message)
        self._looking = False


def _why_lost(kept: KeptJob) -> str | None:
    """Why a job cannot be begun again, if it cannot."""
    if kept.attempts >= _MOST_ATTEMPTS:
        return f"it was begun {kept.attempts} times already"
    if kept.arguments is None:
        return "its arguments were too long to be kept"
    sources = kept.arguments.get("sources") or [kept.arguments.get("source")]
    if isinstance(sources, list) and any(isinstance(s, str) and s.strip() == "clipboard" for s in sources):
        return "the clipboard may hold something else by now"
    return None


def _failed(error: VisionError, *, server_failed: bool = False) -> Outcome:
    return Outcome(value=error_value(error), is_error=True, server_failed=server_failed)
