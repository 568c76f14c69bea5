"""A generator that is still being made: importing torch takes seconds, and the host answers from its first moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from vision.chat.types import Stage
from vision.errors import EngineUnavailable, ModelFailed, VisionError
from vision.host.work import Generator, GeneratorState, Work

_log = logging.getLogger(__name__)


class LateGenerator:
    """Makes the generator in a thread of its own; until it is there, work waits here in order."""

    def __init__(self, make: Callable[[], Generator]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._waiting: list[Work] = []
        self._made: Generator | None = None
        self._error: VisionError | None = None
        self._closed = False

    def start(self) -> None:
        # A daemon: the process may end while libraries are still being loaded.
        threading.Thread(target=self._run, name="make-generator", daemon=True).start()

    def _run(self) -> None:
        try:
            made = self._make()
        except VisionError as e:
            self._fail(e)
        except (ImportError, OSError) as e:
            _log.exception("the model's libraries cannot be loaded")
            self._fail(
                EngineUnavailable(
                    f"the libraries that run models cannot be loaded ({e})",
                    "Install them with the extra [local]: uv pip install 'internvl-mcp[local]', or reinstall torch.",
                )
            )
        except Exception as e:  # noqa: BLE001 - the outermost handler of this thread: its waiters must hear of it
            _log.exception("the generator could not be made")
            self._fail(ModelFailed(f"the model host could not start ({type(e).__name__}: {e})", "See the host's log."))
        else:
            self._hand_over(made)

    def _fail(self, error: VisionError) -> None:
        with self._lock:
            self._error = error
            waiting, self._waiting = self._waiting, []
        for work in waiting:
            work.emit(error)

    def _hand_over(self, made: Generator) -> None:
        with self._lock:
            if self._closed:
                return
            made.start()
            for work in self._waiting:
                made.submit(work)
            self._waiting.clear()
            self._made = made

    def submit(self, work: Work) -> None:
        with self._lock:
            if self._made is not None:
                self._made.submit(work)
            elif self._error is not None:
                work.emit(self._error)
            else:
                work.emit(Stage(name="loading", done=0, total=100))
                self._waiting.append(work)

    def state(self) -> GeneratorState:
        with self._lock:
            if self._made is not None:
                return self._made.state()
            if (error := self._error) is not None:
                return GeneratorState(state="failed", error=(error.code, error.message, error.hint))
            return GeneratorState(state="loading", waiting=len(self._waiting))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            made = self._made
        if made is not None:
            made.close()
