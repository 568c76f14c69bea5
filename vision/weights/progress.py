"""How far a download is, and how one process tells another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from vision.types import Frozen

_RATE_OVER_S = 10.0

State = Literal["asking", "waiting", "downloading", "verifying", "done"]


class Progress(Frozen):
    """`done` and `total` in bytes, `done` with what was there before; `rate` in bytes a second over the last ten.

    `left_s`: seconds left at that rate. `waiting`: another process fetches the same repository.
    """

    state: State
    done: int = 0
    total: int = 0
    rate: float | None = None
    left_s: float | None = None


class Pulled(Frozen):
    """`size` of the checkpoint and what of it was `fetched` now, in bytes; `commit` is what the revision stood for."""

    folder: Path
    repository: str
    commit: str
    size: int
    fetched: int


class Line(Frozen):
    """One line of a download's report, as JSON: progress, and at the end what was pulled or the error
    (code, message, hint).
    """

    progress: Progress | None = None
    pulled: Pulled | None = None
    error: tuple[str, str, str] | None = None

    def json_line(self) -> str:
        return self.model_dump_json(exclude_none=True) + "\n"


class Meter:
    """Counts bytes from several threads. `done` never goes back, also where a damaged file is fetched again."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._lock = threading.Lock()
        self._have: dict[str, int] = {}
        self._shown = 0
        self._received = 0
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def have(self, name: str, size: int) -> None:
        """So many bytes of a file are there already."""
        with self._lock:
            self._have[name] = size

    def receive(self, name: str, size: int) -> None:
        """So many bytes came in addition."""
        with self._lock:
            self._have[name] = self._have.get(name, 0) + size
            self._received += size

    def read(self, state: State = "downloading") -> Progress:
        with self._lock:
            now = self._clock()
            self._marks.append((now, self._received))
            while len(self._marks) > 2 and now - self._marks[1][0] >= _RATE_OVER_S:
                self._marks.popleft()
            since, before = self._marks[0]
            self._shown = max(self._shown, min(self._total, sum(self._have.values())))
            rate = (self._received - before) / (now - since) if now > since else 0.0
            left = (self._total - self._shown) / rate if rate > 0 else None
            return Progress(state=state, done=self._shown, total=self._total, rate=rate, left_s=left)
