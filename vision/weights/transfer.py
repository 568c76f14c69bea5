"""One file from a hub to the disk: continued where it stopped, checked against its digest.

huggingface_hub (2.4) keeps nothing of a file whose download was interrupted, and a shard of a model has gigabytes.
So the bytes are moved here, into `DIGEST.incomplete`; the hub says what there is, and opens the connection.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from vision.errors import DownloadFailed
from vision.weights.progress import Meter

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """`digest` in hexadecimal: the SHA-256 of a large file (64 digits), git's blob SHA-1 of a small one (40)."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Body:
    """An open reply: `start` is the position in the file of its first byte; `chunks` may raise Dropped."""

    start: int
    chunks: Iterator[bytes]


class Dropped(Exception):
    """The connection or the hub failed in a way that may pass; `wait_s` where the hub said how long to wait."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s


class Stopped(Exception):
    """Whoever asked for the download wants it no more; what has come stays for the next time."""


class RangeRefused(Exception):
    """The hub has no bytes from that position on."""


@dataclass(frozen=True)
class Patience:
    """Seconds to wait before each further attempt; `stopped` ends waiting and working."""

    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_s: float = 60.0
    stopped: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def before(self, attempt: int, dropped: Dropped) -> None:
        """Waits before the next of several attempts that brought nothing. Raises DownloadFailed after the last."""
        if attempt >= len(self.waits):
            raise DownloadFailed(
                f"the download broke off: {dropped.why}",
                "Check the network and any proxy (HTTPS_PROXY), then pull again: it goes on where it stopped.",
            ) from dropped
        wait = self.waits[attempt] if dropped.wait_s is None else min(dropped.wait_s, self.longest_s)
        self.stopped.wait(wait)
        self.check()


Open = Callable[[RemoteFile, int], AbstractContextManager[Body]]


def fetch(file: RemoteFile, blob: Path, open_body: Open, meter: Meter, patience: Patience) -> None:
    """Brings one file to `blob`. Raises DownloadFailed, Stopped, or OSError when it cannot be written."""
    partial = _Partial(file, blob.with_name(f"{blob.name}.incomplete"), patience)
    attempt = -1
    damaged = False
    while True:
        before = partial.size
        meter.have(file.name, before)
        try:
            _receive(file, partial, open_body, meter, patience)
        except Dropped as dropped:
            attempt = 0 if partial.size > before else attempt + 1
            patience.before(attempt, dropped)
            continue
        if partial.digest() == file.digest:
            partial.path.replace(blob)
            return
        partial.discard()
        if damaged:
            raise DownloadFailed(
                f"{file.name} came damaged twice: its digest is not the one the hub states",
                "A proxy or mirror may change files on the way: try without it (HF_ENDPOINT, HTTPS_PROXY).",
            )
        damaged = True


def digest_of(path: Path, file: RemoteFile, patience: Patience) -> str:
    """The digest of what is there, of the kind that the hub states for this file."""
    hasher = _hasher(file)
    with path.open("rb") as there:
        while chunk := there.read(_READ_BYTES):
            patience.check()
            hasher.update(chunk)
    return hasher.hexdigest()


def _hasher(file: RemoteFile) -> hashlib._Hash:
    if len(file.digest) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)


def _receive(file: RemoteFile, partial: _Partial, open_body: Open, meter: Meter, patience: Patience) -> None:
    while partial.size < file.size:
        patience.check()
        try:
            with open_body(file, partial.size) as body, partial.path.open("ab", buffering=0) as out:
                if body.start != partial.size:  # the whole file, although a part was asked for
                    partial.restart()
                    out.truncate(0)
                    meter.have(file.name, 0)
                for chunk in body.chunks:
                    if partial.size + len(chunk) > file.size:
                        raise Dropped(f"more bytes came than {file.name} has")
                    _write(out, chunk)
                    partial.took(chunk)
                    meter.receive(file.name, len(chunk))
                    patience.check()
        except RangeRefused:
            partial.discard()
            raise Dropped(f"the hub would not continue {file.name}") from None
        if partial.size < file.size:
            raise Dropped(f"{file.name} ended after {partial.size} of {file.size} bytes")


def _write(out: FileIO, chunk: bytes) -> None:
    # Unbuffered, so that what is counted is on the disk; a raw file may take less than it is given.
    view = memoryview(chunk)
    while view:
        view = view[out.write(view) :]


class _Partial:
    """The part of a file that is here, with the digest so far: what was there before is read once."""

    def __init__(self, file: RemoteFile, path: Path, patience: Patience) -> None:
        self.path = path
        self._file = file
        self.restart()
        if path.exists():
            with path.open("rb") as there:
                while chunk := there.read(_READ_BYTES):
                    patience.check()
                    self.took(chunk)
        if self.size > file.size or not self.size:
            self.discard()

    def restart(self) -> None:
        self.size = 0
        self._hash = _hasher(self._file)

    def took(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._hash.update(chunk)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def discard(self) -> None:
        """An empty file again."""
        self.restart()
        self.path.write_bytes(b"")
