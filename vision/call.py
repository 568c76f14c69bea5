"""One call of a tool: how long it may take, how it says how far it is, and what its client lets it read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

ProgressCallback = Callable[[float, float | None, str], Awaitable[None]]


async def _silent(done: float, total: float | None, message: str) -> None:
    """For callers that do not listen."""


async def _no_roots() -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True)
class Call:
    """`progress(done, total, message)`; `client_roots()` asks the client which folders it works in."""

    reply_within_s: float
    progress: ProgressCallback = _silent
    client_roots: Callable[[], Awaitable[tuple[Path, ...]]] = _no_roots
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Seconds until the reply is due; not below zero."""
        return max(0.0, self.reply_within_s - self.elapsed_s)
