"""Listening to a model: its events become progress messages, and what was heard so far."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from vision.call import Call
from vision.chat.types import ChatEvent, Delta, Finished, Stage

_SAY_EVERY_S = 0.5
_SHOWN_CHARACTERS = 100


class Hearing:
    """What came so far of one answer, for which there are `within_s` seconds. `starts`: what is started where it is not
    up, a server or the model itself; `remote`: somebody else serves it.
    """

    def __init__(self, call: Call, variant: str, within_s: float, *, starts: str = "", remote: bool = False) -> None:
        self._call = call
        self.within_s = within_s
        self.starts = starts or variant
        self.remote = remote
        self._variant = variant
        self._parts: list[str] = []
        self._said_at = float("-inf")
        self._tail = ""
        self.stage: Stage | None = None
        self.finished: Finished | None = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    async def listen(self, events: AsyncIterator[ChatEvent]) -> None:
        async for event in events:
            if isinstance(event, Finished):
                self.finished = event
                return
            if isinstance(event, Stage):
                changed = self.stage is None or self.stage.name != event.name
                self.stage = event
                await self._say(at_once=changed)
            elif isinstance(event, Delta):
                self._parts.append(event.text)
                self._tail = (self._tail + event.text)[-_SHOWN_CHARACTERS:]
                await self._say(at_once=len(self._parts) == 1)

    async def _say(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if at_once or now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            await self._call.progress(self._call.elapsed_s, None, self.state())

    def state(self) -> str:
        """In words, how far it is."""
        stage = self.stage
        if self._parts:
            return " ".join(self._tail.split())
        if stage is None:
            return f"waiting for {self._variant}" if self.remote else f"starting {self.starts}"
        if stage.name == "starting":
            return f"starting {self.starts}, {stage.done} s"
        if stage.name == "loading":
            return f"loading {self._variant}, {self.loaded_percent} %"
        if stage.name == "seeing":
            return f"tile {min(stage.done + 1, stage.total)} of {stage.total}"
        if stage.name == "prefill":
            return f"reading the prompt, {stage.done} of {stage.total} tokens"
        return "waiting for its turn"

    @property
    def loaded_percent(self) -> int:
        stage = self.stage
        if stage is None or stage.name != "loading" or not stage.total:
            return 0
        return min(100, round(100 * stage.done / stage.total))

    @property
    def starting(self) -> bool:
        """Whether a server was not up yet when last heard of."""
        return not self._parts and self.stage is not None and self.stage.name == "starting"

    @property
    def loading(self) -> bool:
        """Whether the model was not ready yet when last heard of."""
        return not self._parts and (self.stage is None or self.stage.name == "loading")
