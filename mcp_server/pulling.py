"""What `internvl-mcp pull` does and shows: fetches a model's weights, the best for this machine unless one is named."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from vision.config import Settings
from vision.errors import UnknownVariant, VisionError
from vision.weights.progress import Line, Progress
from vision.weights.pull import Missing, Puller
from vision.weights.transfer import Stopped

_LINE_EVERY_S = 10.0  # where no terminal shows a line that changes
_INTERRUPTED = 130
_DOING = {
    "asking": "asking the hub",
    "waiting": "another process fetches it",
    "verifying": "looking it over",
    "done": "complete",
}


@dataclass(frozen=True)
class Wanted:
    """`why`: the reason for a choice nobody made by name."""

    name: str
    repository: str
    revision: str
    why: str = ""


def _best(settings: Settings) -> Wanted:
    """What the selector takes for this machine. Raises OutOfMemory, EngineUnavailable, ConfigError."""
    from vision.engine.local import policy_of
    from vision.variants.policy import request_from
    from vision.variants.probe import probe
    from vision.variants.selector import plan

    chosen = plan(probe(), policy_of(settings), request_from(settings))
    return Wanted(
        chosen.variant, chosen.repository, chosen.revision or "main", chosen.reasons[0] if chosen.reasons else ""
    )


def pull(
    options: argparse.Namespace,
    settings: Settings,
    make_puller: Callable[[], Puller] = Puller,
    choose: Callable[[Settings], Wanted] = _best,
) -> int:
    """0: the checkpoint is here and whole; 1: it is not; 2: no such variant; 130: interrupted."""
    say = _JsonReport() if options.json else _TextReport(sys.stdout)
    try:
        name = options.pulled_variant or settings.variant
        wanted = _named(name) if name else choose(settings)
        revision = options.revision or wanted.revision
        puller = make_puller()
        say.progress(Progress(state="asking"))
        missing = puller.look(wanted.repository, revision)
        say.begin(wanted, revision, missing)
        if missing.missing and not (options.json or options.yes or _agreed()):
            return 1
        say.end(Line(pulled=puller.pull(wanted.repository, revision, say.progress)))
    except UnknownVariant as e:
        say.end(Line(error=(e.code, e.message, e.hint)))
        return 2
    except VisionError as e:
        say.end(Line(error=(e.code, e.message, e.hint)))
        return 1
    except (KeyboardInterrupt, Stopped):
        say.end(Line(error=("interrupted", "interrupted", "What has come is kept: the next pull goes on from there.")))
        return _INTERRUPTED
    return 0


def _named(name: str) -> Wanted:
    from vision.variants.catalogue import variant_named

    try:
        variant = variant_named(name)
    except UnknownVariant:
        if "/" not in name:
            raise
        return Wanted(name, name, "main")  # a checkpoint of the user's own, in the native layout
    return Wanted(variant.name, variant.repository, variant.revision or "main")


def _agreed() -> bool:
    """Asks at a terminal; anywhere else the command itself was the wish."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):  # None: it was closed
        return True
    sys.stdout.write("Fetch it? [Y/n] ")
    sys.stdout.flush()
    return sys.stdin.readline().replace(" ", "").lower() in (
        "\n",
        "y\n",
        "yes\n",
    )  # nothing at all: the terminal is gone


class _JsonReport:
    """A `Line` of JSON for each report, as the download job of a server reads it."""

    def begin(self, wanted: Wanted, revision: str, missing: Missing) -> None:
        self.progress(Progress(state="asking", done=missing.size - missing.missing, total=missing.size))

    def progress(self, progress: Progress) -> None:
        self.end(Line(progress=progress))

    def end(self, line: Line) -> None:
        sys.stdout.write(line.json_line())
        sys.stdout.flush()


@dataclass
class _TextReport:
    """For people: one line that changes on a terminal, a line now and then elsewhere. Errors go to stderr."""

    out: TextIO
    started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)
    _open: bool = False

    def begin(self, wanted: Wanted, revision: str, missing: Missing) -> None:
        self._clear()
        if wanted.why:
            self.out.write(f"{wanted.name} is the choice for this machine: {wanted.why}\n")
        commit = "" if revision == missing.commit else f" (commit {missing.commit[:12]})"
        self.out.write(f"{wanted.repository} at {revision}{commit}: {size(missing.size)}\n")
        if missing.missing:
            there = "" if missing.missing == missing.size else f"{size(missing.size - missing.missing)} are here, "
            self.out.write(f"{there}{size(missing.missing)} to fetch into {missing.cache}, ")
            self.out.write(f"where {size(missing.free)} are free\n")
        self.out.flush()

    def progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if self.out.isatty():
            self.out.write(f"\r\x1b[K{progress_text(progress)}")
            self._open = True
        elif progress.state == "downloading" and now - self._last >= _LINE_EVERY_S:
            self.out.write(f"{progress_text(progress)}\n")
            self._last = now
        self.out.flush()

    def end(self, line: Line) -> None:
        self._clear()
        if line.error:
            self.out.flush()
            sys.stderr.write(f"internvl-mcp: {line.error[1]}\n{line.error[2]}\n")
        elif line.pulled and line.pulled.fetched:
            took = duration(time.monotonic() - self.started)
            self.out.write(f"Fetched {size(line.pulled.fetched)} in {took}: {line.pulled.folder}\n")
        elif line.pulled:
            self.out.write(f"It is here and whole: {line.pulled.folder}\n")
        self.out.flush()

    def _clear(self) -> None:
        if self._open:
            self.out.write("\r\x1b[K")
            self._open = False


def progress_text(progress: Progress) -> str:
    """Such as "42 %  7.1 GB of 17.0 GB  85.3 MB/s  1 min 56 s left"."""
    if progress.state != "downloading":
        return _DOING[progress.state]
    share = f"{progress.done / progress.total:.0%}".replace("%", " %") if progress.total else ""
    parts = [share, f"{size(progress.done)} of {size(progress.total)}"]
    if progress.rate:
        parts.append(f"{size(progress.rate)}/s")
    if progress.left_s is not None:
        parts.append(f"{duration(progress.left_s)} left")
    return "  ".join(parts)


def size(count: float) -> str:
    """Bytes in the decimal units that hubs and disks are sold in."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale * 0.9995:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
