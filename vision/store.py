"""What outlives a call and a server: one SQLite file in the user's state folder, for all servers of this user.

Jobs and conversations are its tables; they are written and read in a thread, one at a time, never on the event loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import anyio
from anyio import to_thread

from vision.errors import StoreFailed

T = TypeVar("T")
Table = Literal["jobs", "conversations"]
Work = Callable[[sqlite3.Connection], T]
logger = logging.getLogger("internvl_mcp")

# In the file's name: servers of different versions leave each other's files alone, and what is kept is short-lived.
_SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, updated REAL NOT NULL, size INTEGER NOT NULL, evictable INTEGER NOT NULL,
    created REAL NOT NULL, tool TEXT NOT NULL, arguments TEXT, folder TEXT NOT NULL, roots TEXT NOT NULL,
    state TEXT NOT NULL, outcome TEXT, done REAL NOT NULL, total REAL, message TEXT NOT NULL,
    runner TEXT NOT NULL, attempts INTEGER NOT NULL, cancel INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, updated REAL NOT NULL, size INTEGER NOT NULL, evictable INTEGER NOT NULL,
    turns INTEGER NOT NULL, contents TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS pictures (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    place INTEGER NOT NULL, png BLOB NOT NULL, PRIMARY KEY (conversation, place)
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_updated ON jobs (updated);
CREATE INDEX IF NOT EXISTS conversations_updated ON conversations (updated);
"""
_BUSY_S = 10.0
_SWEEP_EVERY_S = 60.0
_MIB = 1 << 20
# Rows and bytes of each table: of one owner, and of all together.
MOST_ROWS = {"owner": 500, "all": 5_000}
MOST_BYTES = {"owner": 256 * _MIB, "all": 1024 * _MIB}


class Store:
    """Used from one event loop. Nothing is opened or made before the first use."""

    def __init__(self, folder: Path, keep_s: float) -> None:
        self.folder = folder
        self.keep_s = keep_s
        self._path = folder / f"store-{_SCHEMA_VERSION}.sqlite3"
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._one = anyio.CapacityLimiter(1)
        self._swept = float("-inf")

    async def read(self, work: Work[T]) -> T:
        """Runs `work` on one consistent state of the file. Raises StoreFailed."""
        return await to_thread.run_sync(self._run, "BEGIN", work, limiter=self._one)

    async def write(self, work: Work[T]) -> T:
        """Runs `work` as one transaction that is on disk, for other processes too, when this returns.

        Raises StoreFailed: a full disk, a folder that may not be written, a damaged file.
        """
        return await to_thread.run_sync(self._run, "BEGIN IMMEDIATE", work, limiter=self._one)

    def close(self) -> None:
        """Closes the file unless it is being written just now: the next opening recovers it then."""
        if self._lock.acquire(blocking=False):
            try:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
            finally:
                self._lock.release()

    def _run(self, begin: str, work: Work[T]) -> T:
        with self._lock:
            try:
                connection = self._connection or self._open()
                sweeps = begin != "BEGIN" and time.monotonic() - self._swept > _SWEEP_EVERY_S
                with _transaction(connection, begin):
                    found = work(connection)
                    if sweeps:
                        self._swept = time.monotonic()
                        sweep(connection, self.keep_s)
                if sweeps:
                    remove_left_over(self.folder, self.keep_s)
                return found
            except (sqlite3.Error, OSError) as e:
                raise StoreFailed(
                    f"jobs and conversations cannot be kept in {self._path} ({e})",
                    "Check the disk and the folder, or set state_folder to one that can be written.",
                ) from e

    def _open(self) -> sqlite3.Connection:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here for its mode, which its two companions (-wal, -shm) take over.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._connection = self._connected()
        except sqlite3.OperationalError:  # busy, or the disk: the file itself may be sound
            raise
        except sqlite3.DatabaseError as e:
            aside = self._path.with_suffix(f".damaged-{int(time.time())}")
            logger.warning("%s is damaged (%s): it is kept as %s, and begun anew", self._path, e, aside.name)
            self._path.replace(aside)
            aside.touch()
            for companion in ("-wal", "-shm"):
                Path(f"{self._path}{companion}").unlink(missing_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> sqlite3.Connection:
        # Transactions are begun by hand; calls come from several threads, one at a time.
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA journal_size_limit={16 * _MIB}")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # some errors have ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def sweep(connection: sqlite3.Connection, keep_s: float) -> None:
    """Forgets what expired, then the longest unused of what is more than may be kept. Jobs at work stay."""
    tables: tuple[Table, ...] = ("jobs", "conversations")
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE updated < ?", (time.time() - keep_s,))  # noqa: S608 - of two names
        for who, partition in (("owner", "PARTITION BY owner"), ("all", "")):
            connection.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER newest AS place, "  # noqa: S608
                f"sum(size) OVER newest AS bytes FROM {table} WHERE evictable "
                f"WINDOW newest AS ({partition} ORDER BY updated DESC, id)) WHERE place > ? OR bytes > ?)",
                (MOST_ROWS[who], MOST_BYTES[who]),
            )
    connection.execute("PRAGMA incremental_vacuum").fetchall()


def remove_left_over(folder: Path, keep_s: float) -> None:
    """Removes the files of servers before this version, and those put aside, once all in them has expired. One that a
    server still has open stays.
    """
    for path in folder.glob("store-*"):
        older = re.fullmatch(r"store-(\d+)\.sqlite3", path.name)
        if not (older and int(older[1]) < _SCHEMA_VERSION) and ".damaged-" not in path.name:
            continue
        try:
            if _last_written(path) < time.time() - keep_s and (older is None or _left(path)):
                path.unlink(missing_ok=True)
                logger.info("%s was left over: removed", path)
        except (OSError, sqlite3.Error) as e:  # in use, or not ours to remove
            logger.debug("%s stays: %s", path, e)


def _last_written(path: Path) -> float:
    companion = Path(f"{path}-wal")
    return max(each.stat().st_mtime for each in (path, companion) if each.exists())


def _left(path: Path) -> bool:
    """Whether no process has the file open: to leave the WAL mode is given to nobody else. Its companions are gone
    then. Raises sqlite3.OperationalError where one has it open.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    return mode == "delete"
