"""Jobs as they are kept: written before their id is given out, so that any server of this user can go on with them."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from tools.result import JobProgress
from vision.liveness import Living, lives
from vision.store import Store
from vision.types import Frozen

# A data: URI may be an argument. What is longer is not kept: such a job cannot be run again.
_MOST_ARGUMENTS_BYTES = 32 << 20
_WITHOUT_OUTCOME = (
    "id, owner, tool, NULL AS arguments, folder, roots, state, NULL AS outcome, done, total, message, runner, "
    "attempts, created, updated"
)
State = Literal["working", "done", "cancelled"]


class Outcome(Frozen):
    """What a call came to: a tool's result, or its error as code, message and hint, as JSON values.

    `server_failed`: the error is none that the tool knows of, but a fault of the server.
    """

    value: dict[str, Any]
    is_error: bool = False
    server_failed: bool = False


class KeptJob(Frozen):
    """`arguments`: None once they are needed no more, or where they were too large; on disk without a password.
    `folder`: the working directory.

    `roots`: the client's at that time. `runner`: the server process that works on it. `attempts`: how often it was
    begun. `created`, `updated`: seconds since the epoch.
    """

    id: str
    owner: str
    tool: str
    arguments: dict[str, Any] | None
    folder: Path
    roots: tuple[Path, ...] = ()
    state: State = "working"
    outcome: Outcome | None = None
    progress: JobProgress = JobProgress()
    runner: str = ""
    attempts: int = 1
    created: float
    updated: float


def new_id() -> str:
    """128 bits that nobody can guess."""
    return secrets.token_urlsafe(16)


class JobStore:
    """Every method raises StoreFailed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._living: Living | None = None

    def close(self) -> None:
        if self._living is not None:
            self._living.close()
            self._living = None

    async def add(self, job: KeptJob) -> None:
        """Keeps a job that this process works on. A password is left out: nothing that opens a document is on disk."""
        without = job.arguments and {name: value for name, value in job.arguments.items() if name != "password"}
        arguments = json.dumps(without)
        kept = arguments if len(arguments) <= _MOST_ARGUMENTS_BYTES else None

        def work(connection: sqlite3.Connection) -> None:
            values = (
                job.id, job.owner, job.updated, len(kept or ""), 0, job.created, job.tool, kept, str(job.folder),
                _paths(job.roots), job.state, None, job.progress.done, job.progress.total, job.progress.message,
                self._runner(), job.attempts, 0,
            )  # fmt: skip
            connection.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

        await self._store.write(work)

    async def get(self, owner: str, job_id: str) -> KeptJob | None:
        """The job; None for one that is not there, has expired, or is another owner's."""
        since = time.time() - self._store.keep_s

        def work(connection: sqlite3.Connection) -> KeptJob | None:
            query = "SELECT * FROM jobs WHERE id = ? AND owner = ? AND updated >= ?"
            row = connection.execute(query, (job_id, owner, since)).fetchone()
            return None if row is None else _job(row)

        return await self._store.read(work)

    async def of(self, owner: str) -> tuple[KeptJob, ...]:
        """The owner's jobs that are done, the last one first, without what they came to."""
        since = time.time() - self._store.keep_s

        def work(connection: sqlite3.Connection) -> tuple[KeptJob, ...]:
            query = f"SELECT {_WITHOUT_OUTCOME} FROM jobs WHERE owner = ? AND updated >= ? AND state = 'done' "  # noqa: S608
            rows = connection.execute(query + "ORDER BY updated DESC, id", (owner, since)).fetchall()
            return tuple(_job(row) for row in rows)

        return await self._store.read(work)

    async def finish(self, job_id: str, state: State, outcome: Outcome | None) -> None:
        """Ends a job of this process. Its arguments are forgotten."""
        text = None if outcome is None else outcome.model_dump_json()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET state = ?, outcome = ?, arguments = NULL, size = ?, evictable = 1, updated = ? "
                "WHERE id = ? AND runner = ? AND state = 'working'",
                (state, text, len(text or ""), time.time(), job_id, self._runner()),
            )

        await self._store.write(work)

    async def learn_roots(self, job_id: str, roots: tuple[Path, ...]) -> None:
        """The client told its roots when the job was at work already."""
        sets = "UPDATE jobs SET roots = ? WHERE id = ?"
        await self._store.write(lambda connection: connection.execute(sets, (_paths(roots), job_id)))

    async def take_over(self, job: KeptJob) -> bool:
        """Makes a job whose server is gone this process's; False where another one was faster."""

        def work(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE jobs SET runner = ?, attempts = attempts + 1, updated = ? "
                "WHERE id = ? AND runner = ? AND state = 'working'",
                (self._runner(), time.time(), job.id, job.runner),
            )
            return changed.rowcount == 1

        return await self._store.write(work)

    async def lives(self, job: KeptJob) -> bool:
        """Whether the server process that works on it is still there: this one or another."""

        def work(_: sqlite3.Connection) -> bool:
            if self._living is not None and job.runner == self._living.name:
                return True
            return lives(self._store.folder, job.runner)

        return await self._store.read(work)

    async def ask_to_end(self, job_id: str) -> None:
        """Tells the process that works on it; one without any is ended here."""
        sets = "UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'working'"
        await self._store.write(lambda connection: connection.execute(sets, (job_id,)))

    async def end_orphan(self, job: KeptJob) -> None:
        """Ends a job whose server is gone."""
        sets = "UPDATE jobs SET state = 'cancelled', arguments = NULL, evictable = 1, updated = ? "
        where = "WHERE id = ? AND runner = ? AND state = 'working'"
        values = (time.time(), job.id, job.runner)
        await self._store.write(lambda connection: connection.execute(sets + where, values))

    async def write_progress(self, at_work: Iterable[tuple[str, JobProgress]]) -> None:
        """How far the jobs of this process are, for those who ask another one."""
        rows = [(p.done, p.total, p.message, time.time(), job_id) for job_id, p in at_work]
        sets = "UPDATE jobs SET done = ?, total = ?, message = ?, updated = ? WHERE id = ?"
        await self._store.write(lambda connection: connection.executemany(sets, rows))

    async def asked_to_end(self) -> tuple[str, ...]:
        """The jobs of this process that another one was asked to end."""

        def work(connection: sqlite3.Connection) -> tuple[str, ...]:
            query = "SELECT id FROM jobs WHERE runner = ? AND state = 'working' AND cancel"
            return tuple(row["id"] for row in connection.execute(query, (self._runner(),)))

        return await self._store.read(work)

    async def forget(self, job_id: str) -> None:
        """For a job whose id was never given out."""
        await self._store.write(lambda connection: connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,)))

    def _runner(self) -> str:
        """This process's name, from the thread of the store: its lock file is made for the first job."""
        self._living = self._living or Living(self._store.folder)
        return self._living.name


def _paths(paths: Iterable[Path]) -> str:
    return json.dumps([str(path) for path in paths])


def _job(row: sqlite3.Row) -> KeptJob:
    return KeptJob(
        id=row["id"],
        owner=row["owner"],
        tool=row["tool"],
        arguments=None if row["arguments"] is None else json.loads(row["arguments"]),
        folder=Path(row["folder"]),
        roots=tuple(Path(root) for root in json.loads(row["roots"])),
        state=row["state"],
        outcome=None if row["outcome"] is None else Outcome.model_validate_json(row["outcome"]),
        progress=JobProgress(done=row["done"], total=row["total"], message=row["message"]),
        runner=row["runner"],
        attempts=row["attempts"],
        created=row["created"],
        updated=row["updated"],
    )
