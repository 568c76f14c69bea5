"""Finds the model host for a spec, or starts it: one for all servers of a user, whoever comes first.

Everything that waits for files, locks or processes runs in a thread. When the call that began it is cancelled, waiting
ends with it; a host half started is finished all the same, and the lock is let go.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.from_thread
import anyio.to_thread

from vision.chat.client import ChatClient, HostSilent, host_endpoint
from vision.chat.host_spec import HostSpec
from vision.chat.record import Health, Launch, Record, StateFolder, host_key, read_record
from vision.child_environment import child_environment
from vision.errors import Busy, EngineUnavailable, ModelFailed, ModelLoading, VisionError
from vision.serving.types import ServingPlan

HOST_COMMAND = (sys.executable, "-P", "-m", "vision.host")
_READY = b"ready\n"
_START_S = 60.0
_LOCK_S = 120.0
# An older host finishes what it answers before it makes room.
_REPLACE_S = 60.0
# Between the removal of the record and the end of the process.
_EXIT_S = 2.0
# A host that ends a server of others kills it before this is over.
_SERVER_EXIT_S = 20.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class HostStatus:
    """A host that has a record; `health` is None when it does not answer."""

    record: Record
    health: Health | None


class HostKeeper:
    """`version`: of the package; a host of an older one is replaced. `command` starts a host."""

    def __init__(self, folder: StateFolder, version: str, command: tuple[str, ...] = HOST_COMMAND) -> None:
        self.folder = folder
        self.version = version
        self._command = command

    async def connect(self, spec: HostSpec) -> ChatClient:
        """A client of the running host for `spec`, which is started where there is none.

        The model may still be loading; the first question waits for it. Raises ModelFailed when the host cannot start,
        with the last lines of its log; EngineUnavailable when no process can be made; Busy when an older host still
        answers a question; ModelLoading when another server takes too long to start it.
        """
        self.folder.prepare()
        key = host_key(spec)
        record = read_record(self.folder.record(key))
        if record is not None and await self._is_usable(record):
            return _client(record)
        start = partial(self._find_or_start, spec, key)
        return _client(await anyio.to_thread.run_sync(start, abandon_on_cancel=True))

    async def status(self) -> tuple[HostStatus, ...]:
        """The hosts of this user on this machine."""
        self.folder.prepare()
        found = [record for path in sorted(self.folder.run.glob("*.json")) if (record := read_record(path))]
        return tuple([HostStatus(record, await _health_if_any(record)) for record in found])

    async def end(self, key: str) -> bool:
        """Asks a host to end once it has answered what it works on; False where there is none.

        Raises Busy when it is still at work a minute later.
        """
        self.folder.prepare()
        return await anyio.to_thread.run_sync(self._end, key, abandon_on_cancel=True)

    async def _is_usable(self, record: Record) -> bool:
        health = await _health(record, keep=True)
        return health is not None and health.state != "ending" and not _is_newer(self.version, health.version)

    # From here on in a thread.

    def _find_or_start(self, spec: HostSpec, key: str) -> Record:
        with self._locked(key):
            record = read_record(self.folder.record(key))
            if record is not None:
                if asyncio.run(self._is_usable(record)):
                    return record
                self._clear_away(record)
            return self._start(spec, key)

    def _end(self, key: str) -> bool:
        with self._locked(key):
            record = read_record(self.folder.record(key))
            if record is not None:
                self._clear_away(record)
            return record is not None

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        import filelock  # most servers never start a host

        lock = filelock.FileLock(self.folder.lock(key))
        deadline = time.monotonic() + _LOCK_S
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout as e:
                if time.monotonic() > deadline:
                    hint = "Call again a little later."
                    raise ModelLoading("another server is still starting the model host", hint) from e
                _wait()
        try:
            yield
        finally:
            lock.release()

    def _clear_away(self, record: Record) -> None:
        """Ends the host of a record and waits until its memory is back, or removes what a dead one left."""
        if asyncio.run(_told_to_end(record)):
            self._await_end(record)
        elif record.spec is not None and isinstance(record.spec.plan, ServingPlan):
            # It answers no more, and may still be ending its server, whose memory the next one needs.
            self._await_exit(record, _SERVER_EXIT_S)
        self.folder.record(record.key).unlink(missing_ok=True)
        if record.address.socket is not None:
            record.address.socket.unlink(missing_ok=True)

    def _await_end(self, record: Record) -> None:
        deadline = time.monotonic() + _REPLACE_S
        while _exists(record.pid) and read_record(self.folder.record(record.key)) == record:
            if time.monotonic() > deadline:
                raise Busy(
                    f"the model host (process {record.pid}) still answers a question", "Call again a little later."
                )
            _wait()
        self._await_exit(record, _EXIT_S)

    def _await_exit(self, record: Record, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while _exists(record.pid) and time.monotonic() < deadline:
            _wait()

    def _start(self, spec: HostSpec, key: str) -> Record:
        launch = Launch(
            spec=spec,
            key=key,
            version=self.version,
            secret=secrets.token_urlsafe(32),
            socket=self.folder.socket(key),
            record=self.folder.record(key),
            log=self.folder.log(key),
        )
        said = launch.log.with_suffix(".stderr")
        process = self._spawn(said)
        ready = _hand_over(process, launch)
        # Reaped as soon as it ends, for as long as this server lives; a zombie would look alive to other servers.
        threading.Thread(target=process.wait, name="reap-model-host", daemon=True).start()
        record = read_record(launch.record)
        if not ready or record is None:
            raise _not_started(process.wait(), said)
        return record

    def _spawn(self, said: Path) -> subprocess.Popen[bytes]:
        """A process on its own: it outlives this server, and Ctrl-C in a terminal does not reach it.

        Its settings come with the launch order, none of them by its environment.
        """
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        try:
            with said.open("wb") as stderr:
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=child_environment(),
                    cwd=self.folder.run,  # holds nothing that could be imported, and is never unmounted under it
                    start_new_session=True,
                    creationflags=flags,
                )
        except OSError as e:
            raise EngineUnavailable(
                f"the model host could not be started ({e.strerror})",
                "Free memory, disk space or processes, then try again.",
            ) from e


def _wait() -> None:
    """Waits a moment; ends the thread when nobody waits for it any more, as the server's exit would wait for it."""
    anyio.from_thread.check_cancelled()
    time.sleep(_LOOK_EVERY_S)


def _hand_over(process: subprocess.Popen[bytes], launch: Launch) -> bool:
    """Sends the launch order; True once the host listens, False when it ended instead."""
    assert process.stdin is not None and process.stdout is not None
    too_slow = threading.Timer(_START_S, process.kill)
    too_slow.start()
    try:
        with process.stdout, process.stdin:
            process.stdin.write(launch.model_dump_json().encode())
            process.stdin.close()
            return process.stdout.readline() == _READY
    except BrokenPipeError:
        return False  # it ended before it read
    finally:
        too_slow.cancel()


def _not_started(status: int, said: Path) -> ModelFailed:
    lines = [line for line in said.read_text(errors="replace").splitlines() if line.strip()]
    last = "; ".join(line.strip() for line in lines[-3:]) or "it said nothing"
    error = ModelFailed(
        f"the model host ended while it started (status {status}): {last}",
        f"Check the installation of internvl-mcp[local]; the whole message is in {said}.",
    )
    error.add_note("\n".join(lines[-40:]))
    return error


def _client(record: Record) -> ChatClient:
    return ChatClient(host_endpoint(record.address, record.secret))


async def _health(record: Record, *, keep: bool = False) -> Health | None:
    """None when no host answers at the record's address. Raises ModelFailed when it hangs."""
    try:
        return await _client(record).health(keep=keep)
    except HostSilent as e:
        raise _hangs(record) from e
    except VisionError:
        return None  # refused, gone in between, or another program has the port by now


async def _health_if_any(record: Record) -> Health | None:
    try:
        return await _client(record).health()
    except VisionError:
        return None


async def _told_to_end(record: Record) -> bool:
    """False when no host answers at the record's address. Raises ModelFailed when it hangs."""
    try:
        await _client(record).shutdown()
    except HostSilent as e:
        raise _hangs(record) from e
    except VisionError:
        return False
    return True


def _hangs(record: Record) -> ModelFailed:
    return ModelFailed(f"the model host (process {record.pid}) does not answer", "End that process, then call again.")


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # no harmless way to ask; its record tells
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_newer(ours: str, theirs: str) -> bool:
    """Whether our version is the later one: an older server shares a newer host, or the two would replace for ever."""
    return _numbers(ours) > _numbers(theirs)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
