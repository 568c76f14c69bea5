"""What a worker process may still do once it is up: compute, and read Python's own libraries and fonts.

Limits come in three layers, each of which may be absent on a given system: resource limits (POSIX), Landlock (Linux
5.13+: no file outside the interpreter's folders can be opened, and with ABI 4 no TCP connection), and, always, the
parent that watches time and memory and ends the process. Landlock's numbers: linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import site
import struct
import sys
import sysconfig
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH = 1
_FS_EXECUTE, _FS_READ_FILE, _FS_READ_DIR = 1 << 0, 1 << 2, 1 << 3
# Rights each ABI knows how to take away: 13 with the first, then REFER, TRUNCATE and IOCTL_DEV.
_FS_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_FS_ALL_LATEST = (1 << 16) - 1
_NET_BIND_AND_CONNECT = 0b11
_SYSTEM_READABLE = (
    "/usr/lib",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/usr/share/fonts",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
)


def limit_resources(address_space_bytes: int) -> None:
    """Caps address space, and forbids core files and written files beyond 1 MiB. Nothing on Windows."""
    if sys.platform == "win32":
        return
    import resource

    # macOS knows RLIMIT_AS but refuses to lower it; the parent's watch on resident memory remains there.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def landlock_abi() -> int:
    """The kernel's Landlock ABI, 0 where it has none."""
    if sys.platform != "linux":
        return 0
    return max(0, ctypes.CDLL(None, use_errno=True).syscall(_SYS_CREATE_RULESET, None, 0, 1))


def restrict_files_and_network() -> int:
    """Applies Landlock to this process; returns the ABI used, 0 where the kernel has none."""
    abi = landlock_abi()
    if abi == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    handled = _FS_ALL_BY_ABI.get(abi, _FS_ALL_LATEST)
    attributes = struct.pack("=QQ", handled, _NET_BIND_AND_CONNECT) if abi >= 4 else struct.pack("=Q", handled)
    ruleset = libc.syscall(_SYS_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return 0
    try:
        for path in readable_paths():
            _allow_reading(libc, ruleset, path)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return abi if libc.syscall(_SYS_RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def readable_paths() -> tuple[Path, ...]:
    """Folders a worker may read: the interpreter, its libraries, this package, system libraries and fonts."""
    ours = Path(__file__).resolve().parents[1]
    paths = {Path(sys.prefix), Path(sys.base_prefix), ours, *map(Path, _SYSTEM_READABLE)}
    paths |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    if site.ENABLE_USER_SITE:
        paths.add(Path(site.getusersitepackages()))
    # A prefix of / or /usr would open the whole disk; its library folders are listed one by one anyway.
    return tuple(sorted(p for p in paths if p not in (Path("/"), Path("/usr")) and p.exists()))


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    rights = _FS_READ_FILE | (_FS_READ_DIR | _FS_EXECUTE if path.is_dir() else 0)
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.syscall(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
