"""Settings files of others: read whole, checked before anything is planned, replaced at once or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manifests.errors import InstallError

MOST_BYTES = 64 << 20
# Claude Code holds its lock for milliseconds, and takes over one of this age.
_CLAIM_S, _POLL_S, _STALE_S = 5.0, 0.05, 30
_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class ChangedMeanwhile(Exception):
    """The file is no longer what the plan was made for."""


def real(path: Path) -> Path:
    """The file that is meant, behind links: a link stays one, its target is written."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as e:
        raise InstallError("file_unreadable", f"{path} is a link that leads nowhere", "Remove the link.") from e


def read(path: Path) -> bytes | None:
    """Its bytes; None where there is no file. Raises InstallError (file_unreadable)."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InstallError(
                "file_unreadable", f"{path} is a folder", "A settings file should be there: move it away."
            )
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise InstallError("file_unreadable", f"{path} is no settings file", "Move it away.")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise InstallError(
            "file_unreadable", f"{path} cannot be read: {e.strerror}", "Make it a file that you may read."
        ) from e


def require_writable(path: Path) -> None:
    """Raises InstallError (file_read_only) where the file, or the folder it is in or would be in, may not be written.

    The permission bits count as well as what the system would allow: root may write what its owner has locked.
    """
    for one in (path, _existing_folder(path)):
        try:
            mode = one.stat().st_mode
        except FileNotFoundError:
            continue
        if one != path and not stat.S_ISDIR(mode):
            raise InstallError("file_unreadable", f"{one} is not a folder, but {path} should be in it", "Move it away.")
        # On Windows the bit says something else of a folder.
        locked = not mode & _ANY_WRITE and (one == path or os.name == "posix")
        if locked or not os.access(one, os.W_OK):
            raise InstallError(
                "file_read_only",
                f"{one} is read-only",
                "If it is managed by something else, add the server there; else make it writable and run this again.",
            )


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Holds the lock that a client takes for its own file: a folder beside it (npm's proper-lockfile).

    One that was left behind is taken over. Raises ChangedMeanwhile while the client keeps it, OSError.
    """
    lock = path.with_name(f"{path.name}.lock")
    until = time.monotonic() + _CLAIM_S
    while True:
        try:
            lock.mkdir()
            break
        except FileNotFoundError:  # the folder is still to be made: no client is at work in it
            yield
            return
        except FileExistsError:
            with suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > _STALE_S:
                    lock.rmdir()
                    continue
        if time.monotonic() >= until:
            raise ChangedMeanwhile(path)
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            lock.rmdir()


def missing_folders(path: Path) -> tuple[Path, ...]:
    """The folders that would have to be made for this file, outermost first."""
    existing = _existing_folder(path)
    return tuple(reversed([folder for folder in path.parents if existing in folder.parents]))


def replace(path: Path, before: bytes | None, after: bytes, private: bool) -> None:
    """Writes the file if it still holds `before`; a reader sees the old bytes or the new ones. Keeps mode and owner.

    `private`: a new file is for its owner alone. Raises ChangedMeanwhile, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        _like(path, temporary, private)
        _require_same(path, before)
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def delete(path: Path, before: bytes, folders: tuple[Path, ...]) -> None:
    """Removes the file if it still holds `before`, and of `folders` those that are empty then."""
    _require_same(path, before)
    path.unlink()
    remove_empty(folders)


def remove_empty(folders: tuple[Path, ...]) -> None:
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except OSError:
            return  # something is in it by now


def _require_same(path: Path, before: bytes | None) -> None:
    try:
        now = path.read_bytes()
    except FileNotFoundError:
        now = None
    if now != before:
        raise ChangedMeanwhile(path)


def _like(path: Path, temporary: Path, private: bool) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        if not private and os.name == "posix":
            mask = os.umask(0o077)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
        return
    temporary.chmod(stat.S_IMODE(found.st_mode))
    if os.name == "posix" and (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(PermissionError):  # only root can; the file is then ours, as any file that we save
            os.chown(temporary, found.st_uid, found.st_gid)


def _existing_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.exists() or folder.is_symlink())
