"""One worker process, seen from the server: start it, exchange frames with it, watch it, end it.

Everything here blocks; `vision.workers.pool` calls it from threads. Ending the process is how work is stopped: native
decoders cannot be interrupted in any other way, and a fresh process is up again in well under a second.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vision.errors import BY_CODE, EngineUnavailable, LimitExceeded, VisionError, WorkerFailed
from vision.types import Frozen
from vision.workers.jobs import Job, Role, memory_exceeded
from vision.workers.wire import Header, WireBroken, can_pass_files, receive_frame, send_frame

_WATCH_EVERY_S = 0.05
# glibc keeps freed memory for threads and for large blocks unless told not to; that was half of what a reader held.
_RUNTIME = {
    "ORT_DISABLE_TELEMETRY": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
    "PYTHONUTF8": "1",
}
# Loading a process's libraries takes seconds on a busy machine.
_START_S = 60.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
# By so much less than the server's is a worker's priority: who asks for something light need not wait for a decoder.
_NICER = 10
# Room for mapped libraries and reserved stacks above what may be resident; the watch on resident memory is the limit.
_ADDRESS_SPACE_FACTOR = 3


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker may use: `memory_mb` resident MiB, `timeout_s` between two frames."""

    role: Role
    memory_mb: int
    timeout_s: float
    threads: int = 0
    extra_address_space_mb: int = 1024


@dataclass(frozen=True)
class Item:
    """One validated result, with the raw bytes that came beside it."""

    value: Frozen
    blob: bytearray


class WorkerProcess:
    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.idle_since = time.monotonic()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._sock, child_sock = socket.socketpair()
        self._exchange = threading.Lock()  # held while a thread uses the socket, so that close() cannot pull it away
        self._ready = False
        lifeline_read, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                self._command(child_sock.fileno(), lifeline_read),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=_environment(),
                cwd=tempfile.gettempdir(),
                **_inherit(child_sock.fileno(), lifeline_read),
            )
        except OSError as e:
            self._sock.close()
            os.close(self._lifeline)
            self._log.close()
            raise EngineUnavailable(
                f"a decoder process could not be started ({e.strerror})", "Free memory or processes, then try again."
            ) from e
        finally:
            child_sock.close()
            os.close(lifeline_read)
        _lower_priority(self._process.pid)

    def _command(self, sock_fd: int, lifeline_fd: int) -> list[str]:
        spec = self.spec
        address_space = (spec.memory_mb * _ADDRESS_SPACE_FACTOR + spec.extra_address_space_mb) << 20
        numbers = [sock_fd, lifeline_fd, address_space, spec.threads]
        return [sys.executable, "-P", "-E", "-m", "vision.workers.child", spec.role, *map(str, numbers)]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, job: Job, params: Frozen, file: BinaryIO | None, blob: bytes | bytearray | memoryview) -> None:
        """Sends a job; `file` is shared with the child, whose reads move its position."""
        header = Header(kind="job", job=job.name, value=params.model_dump(mode="json"))
        fd: int | None = None
        if file is not None:
            file.seek(0)
            if can_pass_files():
                fd = file.fileno()
            else:
                header = header.model_copy(update={"file_path": str(Path(file.name).resolve())})
        with self._exchange:
            try:
                self._await_ready()
                self._sock.settimeout(self.spec.timeout_s)
                send_frame(self._sock, header, memoryview(blob), fd)
            except (WireBroken, OSError, ValueError) as e:
                raise self._failure() from e

    def _await_ready(self) -> None:
        """A fresh process says so when its libraries are loaded: starting does not count as decoding time."""
        if not self._ready:
            self._await_frame(time.monotonic() + _START_S, _START_S)
            self._sock.settimeout(_START_S)
            receive_frame(self._sock)
            self._ready = True

    def next(self, job: Job, timeout_s: float) -> Item | None:
        """The next frame of the job: a result, or None at its end. Errors of the job are raised.

        Raises LimitExceeded when it takes longer than timeout_s or grows over its memory, WorkerFailed when the
        process ends; both leave the process dead.
        """
        with self._exchange:
            try:
                self._await_frame(time.monotonic() + timeout_s, timeout_s)
                self._sock.settimeout(timeout_s)
                header, blob, fd = receive_frame(self._sock)
                if fd is not None:  # a child has no business sending files
                    os.close(fd)
                return _frame_value(job, header, blob)
            except (WireBroken, OSError, ValueError) as e:
                raise self._failure() from e

    def _await_frame(self, deadline: float, timeout_s: float) -> None:
        self._sock.settimeout(_WATCH_EVERY_S)
        while True:
            try:
                self._sock.recv(1, socket.MSG_PEEK)
                return
            except TimeoutError:
                self._check_limits(deadline, timeout_s)

    def _check_limits(self, deadline: float, timeout_s: float) -> None:
        if self.resident_bytes() > self.spec.memory_mb << 20:
            self.kill()
            raise memory_exceeded()
        if time.monotonic() > deadline:
            self.kill()
            raise LimitExceeded(
                f"decoding took longer than {timeout_s:.0f} s and was stopped",
                "Ask for fewer pages, a shorter segment or a region, or raise decode_timeout_s.",
            )

    def resident_bytes(self) -> int:
        """Resident memory of the process; 0 where the system does not tell (the address space limit remains)."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def _failure(self) -> VisionError:
        self.kill()
        status = self._process.returncode
        failure = WorkerFailed(
            f"the decoder process ended unexpectedly (status {status}); the file may be damaged or hostile",
            "Try again once; if it happens again, convert the file with another program first.",
        )
        failure.add_note(self.log_tail())
        return failure

    def log_tail(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4000))
        return self._log.read().decode(errors="replace")

    def kill(self) -> None:
        """Ends the process at once and waits for it; may be called again, and from another thread."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        with self._exchange:  # a thread still waiting for a frame wakes up now that the other end is gone
            self._sock.close()
            os.close(self._lifeline)
            self._log.close()


def _frame_value(job: Job, header: Header, blob: bytearray) -> Item | None:
    value = header.value
    if header.kind == "item":
        return Item(job.item.model_validate(value), blob)
    if header.kind == "done":
        return None
    raise _error_from(value)


def _inherit(*fds: int) -> dict[str, Any]:
    if sys.platform != "win32":
        return {"pass_fds": fds}
    for fd in fds:
        os.set_handle_inheritable(fd, True)
    return {"close_fds": False}


def _lower_priority(pid: int) -> None:
    if sys.platform != "win32":
        # It has no threads yet; those it begins get the same. One that has ended already, or a sandbox that forbids the
        # call, is no reason to fail: the worker works as well without, and its end is told where it is used.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + _NICER))


def _environment() -> dict[str, str]:
    """The little that an interpreter needs; the user's own variables may hold secrets and stay here."""
    keep = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "HOME", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    return {**env, **_RUNTIME}


def _error_from(value: dict[str, str]) -> VisionError:
    kind = BY_CODE.get(value.get("code", ""))
    if kind is None:
        error: VisionError = WorkerFailed(
            f"reading the file failed in a way nobody foresaw ({value.get('message', 'no reason given')})",
            "The file may be damaged, or this is a bug: the server's log (stderr) tells where it happened.",
        )
    else:
        error = kind(value["message"], value["hint"])
    error.add_note(value.get("traceback", ""))
    return error
