"""The generator: one thread that loads the model, then answers what is submitted, several questions side by side.

A question's pictures are cut in a helper thread; then it waits for the loop (`vision.host.loop`), which owns the model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vision.chat.host_spec import HostSpec
from vision.chat.types import Stage
from vision.errors import BY_CODE, ModelFailed, VisionError
from vision.host.admission import Prepared
from vision.host.grammar import Grammars
from vision.host.loop import Loop
from vision.host.model import Interrupted, Model, load
from vision.host.prompt import build
from vision.host.work import GeneratorState, Work

logger = logging.getLogger("internvl_mcp")

Loader = Callable[[HostSpec, Callable[[float], None]], Model]


class Scheduler:
    """See `vision.host.work.Generator`. `loader`: where the model comes from, as `vision.host.model.load`."""

    def __init__(self, spec: HostSpec, loader: Loader = load) -> None:
        self._spec = spec
        self._load = loader
        self._changed = threading.Condition()
        self._new: list[Work] = []
        self._preparing: list[Work] = []
        self._ready: deque[Prepared] = deque()
        self._state = GeneratorState(state="loading")
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._grammars = Grammars()  # the helper's

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Work) -> None:
        with self._changed:
            if self._state.state != "failed" and not self._closed:
                work.emit(self._waiting())
                self._new.append(work)
                self._changed.notify()
                return
        work.emit(self._failure())

    def state(self) -> GeneratorState:
        with self._changed:
            waiting = [*self._new, *self._preparing, *(prepared.work for prepared in self._ready)]
            return self._state.model_copy(update={"waiting": sum(not work.cancelled for work in waiting)})

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._fail(self._failure(), [])

    # For the loop

    @property
    def closed(self) -> bool:
        return self._closed

    def next(self, model: Model, wait: bool) -> Prepared | None:
        """The question that waits longest; None when there is none, after waiting for a change if `wait`."""
        with self._changed:
            while True:
                self._prepare(model)
                while self._ready:
                    prepared = self._ready.popleft()
                    if not prepared.work.cancelled:
                        return prepared
                if not wait or self._closed:
                    return None
                self._changed.wait()

    def publish(self, **state: int | None) -> None:
        """Figures for `state()`."""
        with self._changed:
            self._state = self._state.model_copy(update=state)

    def _prepare(self, model: Model) -> None:
        for work in self._new:
            self._preparing.append(work)
            self._helper.submit(self._cut, model, work, time.monotonic())
        self._new.clear()

    def _cut(self, model: Model, work: Work, since: float) -> None:
        outcome: Prepared | VisionError | None = None
        try:
            if not work.cancelled:
                wanted = work.ask.max_tiles or self._spec.own.max_tiles
                tiles = min(wanted, self._spec.own.max_tiles)
                schema = work.ask.json_schema
                grammar = None if schema is None else self._grammars.begin(schema, model)
                prompt = build(work.ask.messages, model.tokenizer, model.tile, tiles)
                outcome = Prepared(work, prompt, since, grammar)
        except VisionError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - the outermost handler of this thread: the question needs an end
            outcome = failed(error)
        with self._changed:
            if work not in self._preparing:
                return  # the generator has ended meanwhile, and this question with it
            self._preparing.remove(work)
            if isinstance(outcome, Prepared):
                self._ready.append(outcome)
                self._changed.notify()
        if isinstance(outcome, VisionError):
            work.emit(outcome)

    # The generator's thread

    def _run(self) -> None:
        loop: Loop | None = None
        try:
            model = self._load(self._spec, self._loaded)
            self.publish(device_bytes=model.device_bytes())
            with self._changed:
                self._state = self._state.model_copy(update={"state": "ready", "loaded": 1.0})
            loop = Loop(self, model, self._spec.own)
            loop.run()
            error = self._failure()
        except Interrupted:  # closed while it was loading
            error = self._failure()
        except VisionError as e:
            error = e
        except Exception as e:  # noqa: BLE001 - the outermost handler of this thread
            error = failed(e)
        self._fail(error, loop.in_hand if loop is not None else [])

    def _loaded(self, share: float) -> None:
        if self._closed:
            raise Interrupted
        with self._changed:
            before = round(self._state.loaded * 100)
            self._state = self._state.model_copy(update={"loaded": share})
            if round(share * 100) != before:
                for work in self._new:
                    work.emit(self._waiting())

    def _waiting(self) -> Stage:
        if self._state.state == "loading":
            return Stage(name="loading", done=round(self._state.loaded * 100), total=100)
        return Stage(name="queued", done=0, total=1)

    def _failure(self) -> VisionError:
        if self._state.error is None:
            return ModelFailed("the model host is ending", "Call again: a new one is started.")
        code, message, hint = self._state.error
        return BY_CODE[code](message, hint)

    def _fail(self, error: VisionError, in_hand: list[Work]) -> None:
        """Everybody gets the error, once the state says so too."""
        if not self._closed:
            logger.error("%s: %s", error.code, error.message)
        with self._changed:
            self._state = GeneratorState(state="failed", error=(error.code, error.message, error.hint))
            waiting = [*self._new, *self._preparing, *(prepared.work for prepared in self._ready)]
            for works in (self._new, self._preparing, self._ready):
                works.clear()
        for work in (*in_hand, *waiting):
            work.emit(error)
        self._helper.shutdown(cancel_futures=True)


def failed(error: Exception) -> ModelFailed:
    """What a client reads when the model broke in a way nobody foresaw; the log has the traceback."""
    logger.error("the model failed", exc_info=error)
    return ModelFailed(
        f"the model failed while it worked ({type(error).__name__})",
        "Call again; if it fails again, see the host's log (internvl-mcp doctor tells where).",
    )
