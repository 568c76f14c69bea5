"""Whether a process of this machine is still there: it holds a lock on a file of its own, which ends with it."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Living:
    """This process, under a name that no other process ever has. Raises OSError where the lock cannot be made."""

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(8)
        self._path = _path(folder, self.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        _lock(self._descriptor)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def lives(folder: Path, name: str) -> bool:
    """Whether the process of that name is still there. Its file is removed when it is not. Raises OSError."""
    path = _path(folder, name)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        _lock(descriptor)
    except OSError:  # somebody holds it: the process, or another one that asks just now, and then asks again
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


def _path(folder: Path, name: str) -> Path:
    return folder / f"server-{name}.lock"
