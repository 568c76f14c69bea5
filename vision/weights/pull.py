"""A whole checkpoint from a hub into the cache: `pull` is what the command and the download job do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vision.errors import DownloadFailed, WeightsUnusable
from vision.machine import free_bytes
from vision.types import Frozen
from vision.weights.hub import Hub, Listing
from vision.weights.layout import RepositoryFolder, hub_cache
from vision.weights.progress import Meter, Progress, Pulled
from vision.weights.snapshot import check_config, find_snapshot, verify
from vision.weights.transfer import Dropped, Patience, RemoteFile, digest_of, fetch

_SPARE_BYTES = 512 << 20  # left free beside what is fetched
_REPORT_EVERY_S = 0.5
_AT_ONCE = 4
_QUESTION_RETRIES = 2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Report = Callable[[Progress], None]


class Missing(Frozen):
    """What a pull would do: bytes in all, bytes still to come, bytes free where they go."""

    repository: str
    commit: str
    size: int
    missing: int
    free: int
    cache: Path


def _silent(_: Progress) -> None:
    """For callers that do not listen."""


@dataclass(frozen=True)
class Puller:
    """Serves one pull. `cache`: the hub's cache; `free_bytes(folder)`: room on the disk where that folder will be."""

    cache: Path = field(default_factory=hub_cache)
    hub: Hub = field(default_factory=Hub)
    patience: Patience = field(default_factory=Patience)
    free_bytes: Callable[[Path], int] = free_bytes

    def look(self, repository: str, revision: str) -> Missing:
        """What a pull would fetch. Raises DownloadFailed."""
        if there := self._without_the_hub(repository, revision):
            return Missing(
                repository=repository,
                commit=there.name,
                size=verify(there).size,
                missing=0,
                free=self.free_bytes(self.cache),
                cache=self.cache,
            )
        listing = self._listing(repository, revision)
        folder = RepositoryFolder.of(repository, self.cache)
        missing = sum(file.size - _present(folder, listing, file) for file in listing.files)
        return Missing(
            repository=repository,
            commit=listing.commit,
            size=listing.size,
            missing=missing,
            free=self.free_bytes(self.cache),
            cache=self.cache,
        )

    def pull(self, repository: str, revision: str = "main", report: Report = _silent) -> Pulled:
        """Fetches what is missing of a revision and looks the checkpoint over.

        A commit is fetched as it is; a branch or tag is resolved now, and what it stood for is kept in `refs/`.
        Raises DownloadFailed, WeightsUnusable when what the repository holds cannot be used, Stopped.
        """
        report(Progress(state="asking"))
        if there := self._without_the_hub(repository, revision):
            size = verify(there).size
            report(Progress(state="done", done=size, total=size))
            return Pulled(folder=there, repository=repository, commit=there.name, size=size, fetched=0)
        listing = self._listing(repository, revision)
        folder = RepositoryFolder.of(repository, self.cache)
        meter = Meter(listing.size)
        with _disk_errors(listing, self.cache):
            for place in (folder.path / "blobs", folder.snapshot(listing.commit), folder.locks):
                place.mkdir(parents=True, exist_ok=True)
            with self._alone(folder.locks / "internvl-mcp.lock", lambda: report(_seen(folder, listing, meter))):
                try:
                    fetched = self._fetch(folder, listing, meter, report)
                except WeightsUnusable:
                    if not self._drop_damaged(folder, listing):
                        raise
                    fetched = self._fetch(folder, listing, meter, report)
                _keep_ref(folder.ref(revision), revision, listing.commit)
        report(meter.read("done"))
        return Pulled(
            folder=folder.snapshot(listing.commit),
            repository=repository,
            commit=listing.commit,
            size=listing.size,
            fetched=fetched,
        )

    def _without_the_hub(self, repository: str, revision: str) -> Path | None:
        """What is here when nothing may be asked for."""
        return find_snapshot(repository, revision, self.cache) if self.hub.offline else None

    def _listing(self, repository: str, revision: str) -> Listing:
        """Asked for a few times only: somebody who mistyped an address should not wait long."""
        waits = self.patience.waits[:_QUESTION_RETRIES]
        for attempt in range(len(waits) + 1):
            try:
                return self.hub.listing(repository, revision)
            except Dropped as dropped:
                if attempt == len(waits):
                    raise self._out_of_reach(dropped, repository, revision) from dropped
                self.patience.before(attempt, dropped)
        raise AssertionError("the last attempt returns or raises")

    def _out_of_reach(self, dropped: Dropped, repository: str, revision: str) -> DownloadFailed:
        hint = "Check the network, any proxy (HTTPS_PROXY) and HF_ENDPOINT, then pull again."
        there = find_snapshot(repository, revision, self.cache)
        if there is not None and _is_whole(there):
            hint = f"{hint} The copy that is here is whole and can be used: {there}"
        return DownloadFailed(f"the hub cannot be asked: {dropped.why}", hint)

    def _fetch(self, folder: RepositoryFolder, listing: Listing, meter: Meter, report: Report) -> int:
        """Fetches what is missing and looks the checkpoint over; returns the bytes that came."""
        present = {file: _present(folder, listing, file) for file in listing.files}
        for file, size in present.items():
            meter.have(file.name, size)
        missing = listing.size - sum(present.values())
        self._check_room(listing, missing)
        wanted = [file for file in listing.files if not _is_here(folder.snapshot(listing.commit) / file.name, file)]
        # The configuration first: gigabytes of a checkpoint that cannot be used should not come.
        configuration = [file for file in wanted if file.name == "config.json"]
        for file in configuration:
            self._bring(file, folder, listing, meter)
        check_config(folder.snapshot(listing.commit))
        self._bring_all([file for file in wanted if file not in configuration], folder, listing, meter, report)
        report(meter.read("verifying"))
        verify(folder.snapshot(listing.commit))
        return missing

    def _drop_damaged(self, folder: RepositoryFolder, listing: Listing) -> int:
        """Reads every file and removes those whose content is not what the hub states; returns how many."""
        dropped = 0
        for file in listing.files:
            pointer = folder.snapshot(listing.commit) / file.name
            if pointer.exists() and digest_of(pointer, file, self.patience) != file.digest:
                pointer.unlink()
                folder.blob(file.digest).unlink(missing_ok=True)
                dropped += 1
        return dropped

    def _bring_all(
        self, files: list[RemoteFile], folder: RepositoryFolder, listing: Listing, meter: Meter, report: Report
    ) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as threads:
            begun: list[Future[None]] = [threads.submit(self._bring, f, folder, listing, meter) for f in files]
            left: set[Future[None]] = set(begun)
            try:
                while left:
                    done, left = wait(left, _REPORT_EVERY_S, return_when=FIRST_EXCEPTION)
                    report(meter.read())
                    for future in done:
                        future.result()
            finally:
                if left:  # one failed, or the user interrupted: the others stop too
                    self.patience.stopped.set()
                    for future in left:
                        future.cancel()

    def _bring(self, file: RemoteFile, folder: RepositoryFolder, listing: Listing, meter: Meter) -> None:
        blob = folder.blob(file.digest)
        # The lock that huggingface_hub takes for the same file.
        with self._alone(folder.locks / f"{file.digest}.lock"):
            if not _is_here(blob, file):
                fetch(file, blob, lambda f, start: self.hub.open(listing, f, start), meter, self.patience)
        meter.have(file.name, file.size)
        _link(folder.snapshot(listing.commit) / file.name, blob, file)

    def _check_room(self, listing: Listing, missing: int) -> None:
        free = self.free_bytes(self.cache)
        if missing and free < missing + _SPARE_BYTES:
            raise DownloadFailed(
                f"{listing.repository} needs {_gb(missing)} more in {self.cache}, and {_gb(free)} are free",
                f"Free {_gb(missing + _SPARE_BYTES - free)}, or set HF_HOME to a folder on a larger disk.",
            )

    @contextmanager
    def _alone(self, path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Holds a lock between processes; `waiting` is called now and then while another one holds it."""
        from filelock import FileLock, Timeout

        lock = FileLock(path)
        while True:
            self.patience.check()
            try:
                lock.acquire(timeout=_REPORT_EVERY_S)
                break
            except Timeout:
                waiting()
        try:
            yield
        finally:
            lock.release()


def _present(folder: RepositoryFolder, listing: Listing, file: RemoteFile) -> int:
    """Bytes of a file that are there, whole or in part."""
    for whole in (folder.snapshot(listing.commit) / file.name, folder.blob(file.digest)):
        if _is_here(whole, file):
            return file.size
    try:
        part = folder.blob(f"{file.digest}.incomplete").stat().st_size
    except OSError:
        return 0
    return part if part <= file.size else 0


def _is_here(path: Path, file: RemoteFile) -> bool:
    try:
        return path.stat().st_size == file.size
    except OSError:
        return False


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except WeightsUnusable:
        return False
    return True


def _seen(folder: RepositoryFolder, listing: Listing, meter: Meter) -> Progress:
    """How far another process is, by what lies on the disk."""
    for file in listing.files:
        meter.have(file.name, _present(folder, listing, file))
    return meter.read("waiting").model_copy(update={"rate": None, "left_s": None})


def _link(pointer: Path, blob: Path, file: RemoteFile) -> None:
    """A file of a snapshot: a link to its content, or the content itself where links are not allowed (Windows)."""
    if _is_here(pointer, file):
        return
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        blob.replace(pointer)


def _keep_ref(ref: Path, revision: str, commit: str) -> None:
    if revision == commit:
        return
    ref.parent.mkdir(parents=True, exist_ok=True)
    fresh = ref.with_name(f"{ref.name}.{os.getpid()}")
    fresh.write_text(commit, encoding="ascii")
    fresh.replace(ref)


@contextmanager
def _disk_errors(listing: Listing, cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise DownloadFailed(
                f"the disk of {cache} is full: {listing.repository} has {_gb(listing.size)}",
                "Free some room, or set HF_HOME to a folder on a larger disk, then pull again: it goes on from there.",
            ) from e
        raise DownloadFailed(
            f"{e.filename or cache} cannot be written ({e.strerror or e})",
            "Set HF_HOME to a folder that this account may write to.",
        ) from e


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{max(0.1, size / 1e6):.1f} MB"
