"""What a model host does for a plan of somebody else's server: starts it, watches it, and ends it with itself.

To the host it is a generator like the one that runs a model, so that finding, sharing, idling, replacing and ending are
the host's own. Only its answer differs: where the server is. A question stays open for as long as its asker uses the
server; that is what keeps the host from being idle, and a killed asker's connection closes by itself.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from pathlib import Path

from vision.chat.types import Delta, Stage
from vision.errors import ModelFailed, VisionError
from vision.host.work import GeneratorState, Work
from vision.serving.commands import KEY_VARIABLE, local_steps, process_count
from vision.serving.installed import require_command
from vision.serving.process import LOOPBACK, ServerProcess, free_port, is_up
from vision.serving.servers import TITLES
from vision.serving.types import Served, ServingPlan

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.1
# The weights of the largest variants take their time; a server that needs longer hangs.
_START_S = 3600.0
# Nothing is fetched within a call, and nobody is told what runs here.
_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
_HINT = "The log (host-*.log in the state folder, see docs/serving.md) has all of it; call again to start it anew."


class Supervisor:
    """A `vision.host.work.Generator`. `folder`: the checkpoint, or where llama.cpp's files are."""

    def __init__(self, plan: ServingPlan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._title = TITLES[plan.server]
        self._key = secrets.token_urlsafe(32) if plan.server in KEY_VARIABLE else None
        self._lock = threading.Lock()
        self._leases: list[Work] = []
        self._processes: list[ServerProcess] = []
        self._ports: list[int] = []
        self._error: VisionError | None = None
        self._ready = False
        self._closed = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="supervise", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Work) -> None:
        with self._lock:
            self._tell(work)
            if self._error is None:
                self._leases.append(work)

    def state(self) -> GeneratorState:
        with self._lock:
            working = sum(not work.cancelled for work in self._leases)
            if (error := self._error) is not None:
                return GeneratorState(state="failed", error=(error.code, error.message, error.hint))
            return GeneratorState(
                state="ready" if self._ready else "loading", loaded=float(self._ready), working=working
            )

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _tell(self, work: Work) -> None:
        if self._error is not None:
            work.emit(self._error)
        elif self._ready:
            urls = tuple(f"http://{LOOPBACK}:{port}/v1" for port in self._ports)
            work.emit(Delta(text=Served(urls=urls, key=self._key).model_dump_json()))
        else:
            work.emit(Stage(name="starting", done=int(time.monotonic() - self._began), total=0))

    def _tell_all(self) -> None:
        with self._lock:
            self._leases = [work for work in self._leases if not work.cancelled]
            for work in self._leases:
                self._tell(work)

    # The thread.

    def _run(self) -> None:
        try:
            self._spawn()
            self._await_health()
            self._watch()
        except VisionError as e:
            self._fail(e)
        except Exception as e:  # noqa: BLE001 - the outermost handler of this thread: the askers need an end
            _log.exception("the server could not be watched")
            self._fail(ModelFailed(f"{self._title} could not be run ({type(e).__name__}: {e})", _HINT))
        finally:
            for process in self._processes:
                process.ask_to_end()
            for process in self._processes:
                process.end()
        if self._ready and not self._closed.is_set():
            # It was up, so whoever asks next finds no host, and starts one. A failed start is kept for a moment: those
            # who ask at the same time get the reason, and the host ends by itself.
            os.kill(os.getpid(), signal.SIGTERM)

    def _spawn(self) -> None:
        command = require_command(self._plan.server)
        self._ports = [free_port() for _ in range(process_count(self._plan))]
        key = {} if self._key is None else {KEY_VARIABLE[self._plan.server]: self._key}
        for step in local_steps(self._plan, self._folder, LOOPBACK, self._ports):
            argv = (command, *step.argv[1:])
            self._processes.append(ServerProcess(argv, _QUIET | step.env | key, self._folder, self._key))

    def _await_health(self) -> None:
        waiting, told = list(self._ports), 0
        while waiting and not self._closed.wait(_LOOK_EVERY_S):
            waiting = [port for port in waiting if not is_up(port)]
            self._require_all("while it started")  # the port of one that ended may be somebody else's by now
            seconds = int(time.monotonic() - self._began)
            if seconds > _START_S:
                raise ModelFailed(f"{self._title} was not up after {seconds} s", _HINT)
            if seconds > told:
                told = seconds
                self._tell_all()
        if not waiting:
            _log.info("%s is up after %.1f s", self._title, time.monotonic() - self._began)
            with self._lock:
                self._ready = True
            self._tell_all()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_EVERY_S):
            self._require_all("while it was in use")
            with self._lock:
                self._leases = [work for work in self._leases if not work.cancelled]

    def _require_all(self, when: str) -> None:
        """Raises ModelFailed when one of the processes has ended."""
        for process in self._processes:
            if (status := process.status()) is not None:
                raise ModelFailed(f"{self._title} ended {when} (status {status}): {process.last_words()}", _HINT)

    def _fail(self, error: VisionError) -> None:
        _log.error("%s", error.message)
        with self._lock:
            self._error = error
        self._tell_all()
        with self._lock:
            self._leases.clear()
