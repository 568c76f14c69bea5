"""A model host with a generator of the tests' own: what it does stands in the question's last text.

echo TEXT     answers with TEXT, word by word
tiles         answers with the number of pictures and their sha256
wait          reports a stage, then waits until it is cancelled or the host ends; then writes `cancelled` to a file
hang FILE     the same, and does not answer before FILE exists
raise CODE    fails with that VisionError
The spec's plan decides how it loads: variant `fails-to-load` fails, `slow` loads until the file `go` is in its folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from pathlib import Path

from vision.chat.host_spec import HostSpec
from vision.chat.types import Delta, Finished, ImagePart, Stage, TextPart, Usage
from vision.errors import BY_CODE, ModelFailed, OutOfMemory, VisionError
from vision.host.__main__ import run
from vision.host.work import GeneratorState, Work


class FakeGenerator:
    """Loads in a thread of its own, then gives every work a thread."""

    def __init__(self, spec: HostSpec) -> None:
        self._spec = spec
        self._loaded = threading.Event()
        self._error: VisionError | None = None
        self._working = 0

    def start(self) -> None:
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        variant = self._spec.plan.variant
        if variant in ("slow", "fails-to-load"):
            wait_for(self._spec.folder / "go")
        if variant == "fails-to-load":
            self._error = OutOfMemory("no room for the weights", "Free memory.")
        self._loaded.set()

    def submit(self, work: Work) -> None:
        threading.Thread(target=self._work, args=(work,), daemon=True).start()

    def _work(self, work: Work) -> None:
        self._working += 1
        if not self._loaded.is_set():
            work.emit(Stage(name="loading", done=0, total=1))
        self._loaded.wait()
        try:
            work.emit(self._error) if self._error else self._answer(work)
        finally:
            self._working -= 1

    def _answer(self, work: Work) -> None:
        parts = [part for message in work.ask.messages for part in message.parts]
        text = next(part.text for part in reversed(parts) if isinstance(part, TextPart))
        pictures = [part.data for part in parts if isinstance(part, ImagePart)]
        word, _, rest = text.partition(" ")
        work.emit(Stage(name="seeing", done=0, total=len(pictures)))
        if word == "raise":
            work.emit(BY_CODE[rest]("it failed as told", "Ask for something else."))
            return
        if word in ("wait", "hang"):
            self._wait(work, rest)
            return
        answer = " ".join(hashlib.sha256(data).hexdigest() for data in pictures) if word == "tiles" else rest
        for piece in answer.split(" "):
            work.emit(Delta(text=piece + " "))
        usage = Usage(prompt_tokens=7, cached_tokens=3, completion_tokens=2, tiles=len(pictures), cached_tiles=1)
        work.emit(Finished(reason="repetition" if word == "repeat" else "stop", usage=usage))

    def _wait(self, work: Work, name: str) -> None:
        work.emit(Delta(text="waiting"))
        go = self._spec.folder / name
        while not (work.cancelled or (name and go.exists())):
            time.sleep(0.005)
        if work.cancelled:
            (self._spec.folder / "cancelled").write_text(str(time.monotonic()))
        else:
            work.emit(Finished(reason="stop", usage=Usage()))

    def state(self) -> GeneratorState:
        if self._error is not None:
            error = (self._error.code, self._error.message, self._error.hint)
            return GeneratorState(state="failed", error=error)
        ready = self._loaded.is_set()
        return GeneratorState(
            state="ready" if ready else "loading", loaded=float(ready), working=self._working, device_bytes=5
        )

    def close(self) -> None:
        """Its threads are daemons."""


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


def make(spec: HostSpec) -> FakeGenerator:
    if spec.plan.variant == "cannot-be-made":
        raise ImportError("No module named 'torch'")
    if spec.plan.variant == "broken":
        raise ModelFailed("broken", "Mend it.")
    with (spec.folder / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    return FakeGenerator(spec)


if __name__ == "__main__":
    if "die" in sys.argv:
        sys.exit("libmodel.so: cannot open shared object file")
    run(make)
