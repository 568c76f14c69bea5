"""Carries out a plan: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from manifests.clients.place import Place
from manifests.errors import InstallError
from manifests.install import files
from manifests.install.files import ChangedMeanwhile
from manifests.install.plan import Change
from manifests.install.receipts import Receipt, Receipts

_LOCK_S = 10
_TRIES = 3


def apply(place: Place, changes: Sequence[Change]) -> list[Path]:
    """Writes the files; returns where their bytes from before are kept. Raises InstallError: then nothing is changed.

    A client may write to its file between plan and yes: the same change is then made to what it wrote.
    """
    receipts = Receipts(place.state())
    done: list[tuple[Change, Receipt | None]] = []
    kept: list[Path] = []
    try:
        receipts.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(receipts.folder / "lock", timeout=_LOCK_S):
            for change in changes:
                earlier = receipts.find(change.file, change.entry)
                if change.writes:
                    kept += _carry_out(receipts, change, earlier, done)
                elif change.action == "absent":
                    receipts.forget(change.file, change.entry)
    except (OSError, Timeout, InstallError) as e:
        for change, earlier in reversed(done):
            _take_back(receipts, change, earlier)
        raise _told(e) from e
    return kept


def _carry_out(
    receipts: Receipts, change: Change, earlier: Receipt | None, done: list[tuple[Change, Receipt | None]]
) -> list[Path]:
    for _ in range(_TRIES):
        try:
            with files.claimed(change.path) if change.client.locks else nullcontext():
                change = _as_it_is_now(change)
                done.append((change, earlier))
                kept = _keep(receipts, change)
                _write(change, earlier)
        except ChangedMeanwhile:
            continue
        if not change.installs:
            receipts.forget(change.file, change.entry)
        return kept
    raise _changed(change)


def _write(change: Change, earlier: Receipt | None) -> None:
    if change.after is None:
        assert change.before is not None
        files.delete(change.file, change.before, earlier.folders if earlier else ())
    else:
        files.replace(change.file, change.before, change.after, private=change.scope == "user")


def _as_it_is_now(change: Change) -> Change:
    """The change for the file's bytes of this moment. Raises InstallError when it is another one by now."""
    now = files.read(change.file)
    if now == change.before or change.again is None:
        return change
    anew = change.again(now)
    if not anew.does_the_same(change):
        raise _changed(change)
    return anew


def _keep(receipts: Receipts, change: Change) -> list[Path]:
    kept: list[Path] = []
    if change.receipt is not None and change.installs:
        kept += receipts.keep(change.file, change.entry, change.receipt)
    if change.action in ("update", "remove") and change.before is not None:
        kept = [receipts.back_up(change.file, change.entry, change.before)]
    return kept


def _take_back(receipts: Receipts, change: Change, earlier: Receipt | None) -> None:
    """Puts a file back that this plan wrote, unless somebody has written it since."""
    folders = change.receipt.folders if change.receipt else ()
    try:
        if files.read(change.file) == change.after and change.writes:
            if change.before is None:
                files.delete(change.file, change.after or b"", folders)
            else:
                files.replace(change.file, change.after, change.before, private=change.scope == "user")
        elif change.before is None:
            files.remove_empty(folders)
        if earlier is not None:
            receipts.keep(change.file, change.entry, earlier)
        else:
            receipts.forget(change.file, change.entry)
    except (OSError, ChangedMeanwhile, InstallError) as e:
        raise InstallError(
            "write_failed",
            f"{change.file} was written, a later file could not be, and it cannot be put back: {e}",
            "Run `internvl-mcp uninstall` when the disk can be written again.",
        ) from e


def _changed(change: Change) -> InstallError:
    return InstallError(
        "changed_meanwhile", f"{change.path} was changed by another program meanwhile", "Run this again."
    )


def _told(error: OSError | Timeout | InstallError) -> InstallError:
    if isinstance(error, InstallError):
        return error
    if isinstance(error, Timeout):
        return InstallError("changed_meanwhile", "another installation is at work", "Wait for it, and run this again.")
    return InstallError(
        "write_failed",
        f"{error.filename or 'a file'} cannot be written: {error.strerror}; nothing was changed",
        "Check the disk and who may write there; XDG_STATE_HOME moves where backups are kept.",
    )
