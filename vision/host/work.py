"""What the host's HTTP side hands to its generator, and what it gets back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

from vision.chat.types import Ask, ChatEvent
from vision.errors import VisionError
from vision.types import Frozen


class Work:
    """One question in the generator's hands.

    `emit` is called from the generator's thread: stages and deltas, and at the end exactly one Finished or one
    VisionError; it must not raise. After `cancel()` nothing more need come; the generator drops the work within 0.3 s.
    """

    def __init__(self, ask: Ask, emit: Callable[[ChatEvent | VisionError], None]) -> None:
        self.ask = ask
        self.emit = emit
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


class GeneratorState(Frozen):
    """`loaded`: share of the weights that are in place, 0 to 1. `error`: code, message and hint when loading failed."""

    state: Literal["loading", "ready", "failed"]
    loaded: float = 0.0
    error: tuple[str, str, str] | None = None
    working: int = 0
    waiting: int = 0
    device_bytes: int | None = None
    feature_cache_bytes: int = 0
    prefix_cache_bytes: int = 0


class Generator(Protocol):
    """Loads the model in a thread of its own after `start`, then works on what is submitted, several at a time."""

    def start(self) -> None: ...

    def submit(self, work: Work) -> None:
        """Takes the work; it waits while the model loads. After a failed load the work gets that error."""
        ...

    def state(self) -> GeneratorState: ...

    def close(self) -> None:
        """Ends the thread; work in hand gets ModelFailed."""
        ...
