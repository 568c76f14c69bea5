"""Open a local file that the policy allows, without ever blocking on it and without a race between check and open."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from vision.access.policy import AccessPolicy
from vision.access.source import FileSource
from vision.errors import AccessDenied, SourceNotFound, SourceUnreadable, VisionError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(source: FileSource, policy: AccessPolicy, cwd: Path) -> BinaryIO:
    """The file, opened for reading at its start. Blocks on the disk only: run it in a thread.

    Raises AccessDenied, SourceNotFound, SourceUnreadable, for the last reading of the path when none opens.
    """
    failure: VisionError | None = None
    for candidate in source.candidates:
        try:
            root, path = policy.resolve(cwd / candidate, source.shown)
            return _open_regular(root, path, source.shown)
        except (AccessDenied, SourceNotFound) as error:
            failure = error
    if failure is None:
        raise SourceNotFound("the path is empty", "Give the path of a file.")
    raise failure


def _open_regular(root: Path, path: Path, shown: str) -> BinaryIO:
    try:
        descriptor = _descriptor(root, path)
    except OSError as error:
        raise _explain(error, shown) from error
    file = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        _require_regular(status, shown)
        # Files of /proc-like file systems say they are empty, wherever these are mounted.
        if status.st_size == 0:
            raise SourceUnreadable(f"{shown} is empty", "Check that the file was written completely.")
    except BaseException:
        file.close()
        raise
    return file


def _descriptor(root: Path, path: Path) -> int:
    """Open `path`, known to be free of symlinks and under `root`, so that a symlink put there since is not followed.

    O_NONBLOCK: opening a named pipe must not wait for its writer.
    """
    if sys.platform == "win32":
        return os.open(path, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
    leaf_flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
    # O_PATH (Linux) needs no permission to list the folders on the way.
    folder_flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
    *folders, leaf = path.relative_to(root).parts or (".",)
    folder = os.open(root, folder_flags)
    try:
        for name in folders:
            inner = os.open(name, folder_flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        _refuse_by_kind(os.stat(leaf, dir_fd=folder, follow_symlinks=False))
        return os.open(leaf, leaf_flags, dir_fd=folder)
    finally:
        os.close(folder)


class _NotRegular(OSError):
    """Carries what the thing is, from before the open: some devices act when they are opened."""


def _refuse_by_kind(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        raise _NotRegular(_kind(status))


def _require_regular(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(_kind(status), shown)


def _kind(status: os.stat_result) -> str:
    return next((name for test, name in _KINDS if test(status.st_mode)), "no regular file")


def _not_regular(kind: str, shown: str) -> AccessDenied:
    return AccessDenied(f"{shown} is {kind}", "Give the path of a picture, document or video file.")


def _explain(error: OSError, shown: str) -> VisionError:
    if isinstance(error, _NotRegular):
        return _not_regular(str(error), shown)
    if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
        return SourceNotFound(
            f"{shown}: no such file", "Check the path; relative paths start at the working directory."
        )
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return SourceNotFound(f"{shown}: a part of the path is not a folder", "Check the path.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SourceUnreadable(f"{shown}: permission denied", "Let the user who runs the server read the file.")
    return SourceUnreadable(f"{shown}: {os.strerror(error.errno or 0)}", "Check the disk, or copy the file elsewhere.")
