"""One call of a tool: how long it may take, how it says how far it is, and what its client lets it read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.conversations import Conversation

ProgressCallback = Callable[[float, float | None, str], Awaitable[None]]


async def _silent(done: float, total: float | None, message: str) -> None:
    """For callers that do not listen."""


async def _no_roots() -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True)
class Digest:
    """What a source held. `size`: in bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Asked:
    """The tool that is called, and its arguments as JSON values: what a conversation begins with. `before`: the
    conversation that the call goes on with; None: it begins one.
    """

    tool: str
    arguments: dict[str, Any] = field(repr=False)
    before: Conversation | None = None


@dataclass(frozen=True)
class Call:
    """`within_s`: how long the work may take, whenever its client gets a reply. `progress(done, total, message)`.
    `client_roots()` asks the client which folders it works in. `owner`: whose it is; conversations are kept apart by
    it. `working_directory`: where relative paths start; None: the service's own. `asked`: None where no conversation
    shall come of it. `expects`: what a source, by what it is opened as, must still hold; `opened`: what each source
    held that was opened so far.
    """

    within_s: float
    progress: ProgressCallback = _silent
    client_roots: Callable[[], Awaitable[tuple[Path, ...]]] = _no_roots
    owner: str = "local"
    working_directory: Path | None = None
    asked: Asked | None = None
    expects: Mapping[str, Digest] = field(default_factory=dict)
    opened: dict[str, Digest] = field(default_factory=dict, repr=False)
    started: float = field(default_factory=time.monotonic)

    def made_with(self, arguments: dict[str, Any]) -> Call:
        """The call, whose conversation begins with these arguments instead of those that its client wrote."""
        return self if self.asked is None else replace(self, asked=replace(self.asked, arguments=arguments))

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float:
        """Seconds that the work may still take; not below zero."""
        return max(0.0, self.within_s - self.elapsed_s)
