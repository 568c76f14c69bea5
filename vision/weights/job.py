"""Downloads that a server has in hand: each in a process of its own, so that the server stays light and may end it.

The process gets the server's environment without our settings: it holds the hub's address and token and any proxy.
Servers that want the same repository start a process each; the second waits for the first, and goes on where it stopped
should it be ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from vision.child_environment import child_environment
from vision.errors import DownloadFailed
from vision.types import Frozen
from vision.weights.progress import Line, Progress, State

COMMAND = (sys.executable, "-P", "-m", "vision.weights")
_ENDS_WITHIN_S = 5.0
_LOG_TAIL = 500


class Download(Frozen):
    """How one download is. `done`, `total` in bytes, `rate` in bytes a second, `left_s` seconds at that rate.

    `folder` and `commit` once it is done; `error`: code, message and hint once it failed.
    """

    repository: str
    revision: str
    state: Literal[State, "failed", "stopped"] = "asking"
    done: int = 0
    total: int = 0
    rate: float | None = None
    left_s: float | None = None
    folder: Path | None = None
    commit: str | None = None
    error: tuple[str, str, str] | None = None

    @property
    def running(self) -> bool:
        return self.state not in ("done", "failed", "stopped")


class Downloads:
    """Nothing here waits but `wait`, `stop` and `close`; every method may be called from any thread."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def start(self, repository: str, revision: str = "main") -> Download:
        """Begins a download; one of the same repository that runs already is returned as it is.

        Raises DownloadFailed when no process can be started.
        """
        with self._lock:
            job = self._jobs.get(repository)
            if job is None or not job.read().running:
                job = self._jobs[repository] = _Job(self._command, repository, revision)
            return job.read()

    def status(self) -> tuple[Download, ...]:
        """Every download since the server started, the latest of each repository."""
        with self._lock:
            return tuple(job.read() for job in self._jobs.values())

    def of(self, repository: str) -> Download | None:
        with self._lock:
            job = self._jobs.get(repository)
        return job.read() if job else None

    def wait(self, repository: str, timeout_s: float) -> Download | None:
        """Blocks until the download has ended, or so long."""
        with self._lock:
            job = self._jobs.get(repository)
        return job.wait(timeout_s) if job else None

    def stop(self, repository: str) -> Download | None:
        """Ends a download; what has come stays, and the next one goes on from there."""
        with self._lock:
            job = self._jobs.get(repository)
        return job.stop() if job else None

    def close(self) -> None:
        """Ends them all; they stop side by side."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.leave()
        for job in jobs:
            job.stop()


class _Job:
    def __init__(self, command: tuple[str, ...], repository: str, revision: str) -> None:
        self._state = Download(repository=repository, revision=revision)
        self._lock = threading.Lock()
        self._stopping = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                [*command, repository, revision],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=child_environment(),
                text=True,
                encoding="utf-8",
            )
        except OSError as e:
            self._log.close()
            raise DownloadFailed(
                f"the download's process could not be started ({e.strerror})",
                "Free memory or processes, then try again.",
            ) from e
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._follow, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def read(self) -> Download:
        with self._lock:
            return self._state

    def wait(self, timeout_s: float) -> Download:
        self._reader.join(timeout_s)
        return self.read()

    def stop(self) -> Download:
        self.leave()
        self._reader.join(_ENDS_WITHIN_S)
        if self._reader.is_alive():
            self._process.kill()
            self._reader.join()
        return self.read()

    def leave(self) -> None:
        """Closes its standard input: it ends by itself when nobody is there any more."""
        self._stopping = True
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _follow(self, output: IO[str]) -> None:
        with output:
            for text in output:
                try:
                    self._take(Line.model_validate_json(text))
                except ValidationError:
                    continue  # a library that prints
        code = self._process.wait()
        with self._lock:
            if self._state.running:
                self._state = self._ended(code)
        self.leave()
        self._log.close()

    def _take(self, line: Line) -> None:
        with self._lock:
            if line.progress is not None and line.progress.state != "done":
                self._state = self._state.model_copy(update=_shown(line.progress))
            elif line.pulled is not None:
                there = {"folder": line.pulled.folder, "commit": line.pulled.commit}
                size = {"done": line.pulled.size, "total": line.pulled.size, "rate": None, "left_s": None}
                self._state = self._state.model_copy(update={"state": "done", **there, **size})
            elif line.error is not None:
                ended = {"state": "failed", "error": line.error, "rate": None, "left_s": None}
                self._state = self._state.model_copy(update=ended)

    def _ended(self, code: int) -> Download:
        """The process is gone without a last word."""
        quiet = {"rate": None, "left_s": None}
        if self._stopping:
            return self._state.model_copy(update={"state": "stopped", **quiet})
        self._log.seek(0)
        tail = self._log.read().decode(errors="replace").strip()[-_LOG_TAIL:]
        error = DownloadFailed(
            f"the download's process ended with {code}{f': {tail}' if tail else ''}",
            "Download again: it goes on where it stopped.",
        )
        told = (error.code, error.message, error.hint)
        return self._state.model_copy(update={"state": "failed", "error": told, **quiet})


def _shown(progress: Progress) -> dict[str, object]:
    return progress.model_dump()
