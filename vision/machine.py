"""What this machine has: cores and memory this process may use, room on its disks."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def available_cores() -> int:
    """Cores this process may run on: affinity where the system knows it, all cores elsewhere."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> tuple[int | None, int | None]:
    """(total, available) memory, within the control group's limit where there is one; None where unknown."""
    if sys.platform != "linux":
        return None, None
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total = int(fields["MemTotal"].split()[0]) * 1024
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None, None
    limit = _cgroup_number("memory.max")
    if limit is not None and limit < total:
        used = _cgroup_number("memory.current") or 0
        total, free = limit, min(free, max(0, limit - used))
    return total, free


def existing(folder: Path) -> Path | None:
    """The folder, or the nearest around it that is there and can be seen by this user; None on a drive that is not."""
    candidates = (folder.absolute(), *folder.absolute().parents)
    return next((at for at in candidates if os.path.exists(at)), None)  # noqa: PTH110 - never raises


def free_bytes(folder: Path) -> int:
    """Room for this user on the disk where a folder is, or would be made; 0 on a drive that is not there."""
    at = existing(folder)
    return shutil.disk_usage(at).free if at else 0


def _cgroup_number(name: str) -> int | None:
    """A figure of the control group (version 2) as seen from inside a container; None where there is none."""
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text())
    except (OSError, ValueError):  # absent, or the word "max"
        return None
