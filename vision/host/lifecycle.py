"""Who works in this host, since when nobody does, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from vision.chat.types import Ask, ChatEvent, Finished
from vision.errors import ModelFailed, VisionError
from vision.host.work import Generator, Work

_log = logging.getLogger(__name__)
# After a load that failed the next call should load anew: the memory may be free by then. Those who ask at the same
# moment still get the reason.
_END_AFTER_FAILED_LOAD_S = 2.0


class Question:
    """One question at work, with what came back and nobody has read yet."""

    def __init__(self, ask: Ask, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[ChatEvent | VisionError] = asyncio.Queue()
        self.work = Work(ask, self._emit)
        self.answered = False

    def _emit(self, event: ChatEvent | VisionError) -> None:
        """Called from the generator's thread."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop is closed: the process ends, and nobody reads any more
            self.work.cancel()

    def fail(self, error: VisionError) -> None:
        """Called on the event loop: the reader gets `error` next."""
        self._events.put_nowait(error)

    async def next(self, timeout_s: float | None = None) -> ChatEvent | VisionError | None:
        """The next event, in order; None when there was none for `timeout_s` seconds."""
        try:
            event = await asyncio.wait_for(self._events.get(), timeout_s)
        except TimeoutError:
            return None
        self.answered = isinstance(event, Finished | VisionError)
        return event


class Lifecycle:
    """Used on one event loop. `stop` is called when nothing keeps the process any more, possibly twice."""

    def __init__(self, generator: Generator, idle_unload_s: float, stop: Callable[[], None]) -> None:
        self.generator = generator
        self.idle_unload_s = idle_unload_s
        self.ending = False
        self._stop = stop
        self._questions: set[Question] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_hand(self) -> int:
        return len(self._questions)

    def begin(self, ask: Ask) -> Question:
        """Hands a question to the generator. Raises ModelFailed when the host is about to end."""
        if self.ending:
            raise ending()
        question = Question(ask, asyncio.get_running_loop())
        self._questions.add(question)
        self._cancel_timer()
        self.generator.submit(question.work)
        return question

    def done(self, question: Question) -> None:
        """The answer is out, or nobody waits for it any more: then its work is cancelled."""
        if not question.answered:
            question.work.cancel()
        self._questions.discard(question)
        if self._questions:
            return
        if self.ending:
            self._stop()
        elif self.generator.state().state == "failed":
            self._arm(min(_END_AFTER_FAILED_LOAD_S, self.idle_unload_s))
        else:
            self.keep()

    def keep(self) -> None:
        """Starts the idle time anew: a question is about to come, or the last one is answered."""
        if not self._questions and not self.ending:
            self._arm(self.idle_unload_s)

    def end_when_done(self) -> None:
        """Takes no more questions, and stops when those in hand are answered."""
        self.ending = True
        self._cancel_timer()
        if not self._questions:
            self._stop()

    def end_now(self) -> None:
        """Stops; the questions in hand get ModelFailed."""
        self.ending = True
        self._cancel_timer()
        for question in self._questions:
            question.work.cancel()
            question.fail(ending())
        self._stop()

    def _arm(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._idle)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _idle(self) -> None:
        if self.generator.state().state == "loading":
            self._arm(self.idle_unload_s)  # loaded ahead of the first question: idle only once it is there
            return
        _log.info("no question for a while: ending, which gives all memory back")
        self.end_when_done()


def ending() -> VisionError:
    return ModelFailed("the model host is ending", "Call again: it is started anew.")
