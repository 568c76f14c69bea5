"""What a worker process may still do once it is up: compute, and read Python's own libraries and fonts.

Four layers, each of which may be absent on a given system:
- resource limits (POSIX);
- Landlock (Linux 5.13 and later): no file outside the interpreter's folders can be opened;
- a system call filter (Linux on x86-64 and arm64): no new socket or connection, no program started, no other process
  touched;
- always, the parent that watches time and memory and ends the process.
Numbers: linux/landlock.h, linux/seccomp.h, linux/bpf_common.h and the system call tables of both architectures.
"""

from __future__ import annotations

import ctypes
import errno
import os
import site
import struct
import sys
import sysconfig
from pathlib import Path

_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH = 1
_FS_READ_FILE, _FS_READ_DIR = 1 << 2, 1 << 3
# Rights each ABI knows how to take away: 13 with the first, then REFER, TRUNCATE and IOCTL_DEV.
_FS_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_FS_ALL_LATEST = (1 << 16) - 1
_NET_BIND_AND_CONNECT = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_BPF_LOAD_WORD, _BPF_JUMP_EQUAL, _BPF_JUMP_GE, _BPF_RETURN = 0x20, 0x15, 0x35, 0x06
_SECCOMP_ALLOW, _SECCOMP_ERRNO = 0x7FFF0000, 0x00050000
_X32_CALLS = 0x40000000  # x86-64 kernels take a second numbering from here on, which would go round the list
# socket, connect, bind, execve, execveat, ptrace, process_vm_readv, process_vm_writev, kill, tkill, io_uring_setup,
# io_uring_enter, pidfd_open, pidfd_getfd, pidfd_send_signal, by machine: (audit number, system calls). tgkill stays:
# abort() needs it, and it reaches only threads of this process once signals are scoped.
_REFUSED_CALLS = {
    "x86_64": (0xC000003E, (41, 42, 49, 59, 322, 101, 310, 311, 62, 200, 425, 426, 434, 438, 424)),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 281, 117, 270, 271, 129, 130, 425, 426, 434, 438, 424)),
}
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


def lock_away() -> None:
    """Takes from this process what no decoder needs. Before any thread starts: only later threads inherit it."""
    restrict_files()
    filter_system_calls()


def can_filter_system_calls() -> bool:
    return sys.platform == "linux" and os.uname().machine in _REFUSED_CALLS and sys.maxsize > 1 << 32


def filter_system_calls() -> bool:
    """Refuses the listed system calls with EPERM from now on; whether the kernel took the filter."""
    if not can_filter_system_calls():
        return False
    audit, refused = _REFUSED_CALLS[os.uname().machine]
    count = len(refused)
    # Each line: code, lines to skip if true, if false, operand. struct seccomp_data: number at 0, architecture at 4.
    program = [
        (_BPF_LOAD_WORD, 0, 0, 4),
        (_BPF_JUMP_EQUAL, 0, count + 3, audit),
        (_BPF_LOAD_WORD, 0, 0, 0),
        (_BPF_JUMP_GE, count + 1, 0, _X32_CALLS),
        *((_BPF_JUMP_EQUAL, count - at, 0, number) for at, number in enumerate(refused)),
        (_BPF_RETURN, 0, 0, _SECCOMP_ALLOW),
        (_BPF_RETURN, 0, 0, _SECCOMP_ERRNO | errno.EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0


def restrict_files() -> int:
    """Applies Landlock to this process; returns the ABI used, 0 where the kernel has none."""
    abi = landlock_abi()
    if abi == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    handled = _FS_ALL_BY_ABI.get(abi, _FS_ALL_LATEST)
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", _NET_BIND_AND_CONNECT)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
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
    rights = _FS_READ_FILE | (_FS_READ_DIR if path.is_dir() else 0)
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.syscall(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
