"""What a worker process may not do, tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vision.workers.sandbox import can_filter_system_calls, landlock_abi, readable_paths

needs_filter = pytest.mark.skipif(not can_filter_system_calls(), reason="no system call filter for this machine")
needs_landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")


def run_locked(code: str) -> str:
    """What `code` prints after the lock; it finds `attempt(call)`, which says "refused" or "allowed"."""
    script = (
        "import os, signal, socket, subprocess, sys\n"
        "from vision.workers import sandbox\n"
        "sandbox.lock_away()\n"
        "def attempt(call):\n"
        "    try:\n"
        "        call()\n"
        "    except PermissionError:\n"
        "        return 'refused'\n"
        "    except OSError as e:\n"
        "        return type(e).__name__\n"
        "    return 'allowed'\n"
    )
    done = subprocess.run([sys.executable, "-c", script + code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@needs_landlock
def test_no_file_outside_the_libraries_can_be_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    assert run_locked(f"print(attempt(lambda: open({str(secret)!r})))") == "refused"
    assert run_locked("print(attempt(lambda: open('/etc/passwd')))") == "refused"
    assert run_locked(f"print(attempt(lambda: open({str(tmp_path / 'new')!r}, 'w')))") == "refused"


@needs_landlock
def test_the_libraries_can_still_be_imported() -> None:
    assert run_locked("import pymupdf, PIL.Image, av, onnxruntime; print('up')") == "up"


@needs_filter
@pytest.mark.parametrize(
    "attempted",
    [
        "lambda: socket.create_connection(('127.0.0.1', 9), 1)",
        "lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "lambda: socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
        "lambda: os.kill(os.getppid(), 0)",
        "lambda: os.execv(sys.executable, ['python'])",
        "lambda: subprocess.run(['/bin/true'])",
    ],
)
def test_no_socket_no_program_and_no_other_process(attempted: str) -> None:
    assert run_locked(f"print(attempt({attempted}))") == "refused"


@needs_filter
def test_a_socket_that_was_open_still_works() -> None:
    script = (
        "import socket\n"
        "from vision.workers import sandbox\n"
        "one, two = socket.socketpair()\n"
        "sandbox.lock_away()\n"
        "one.sendall(b'still here')\n"
        "print(two.recv(20).decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "still here"


def test_the_readable_folders_never_hold_the_users_files() -> None:
    home = Path.home()
    for path in readable_paths():
        assert path not in (Path("/"), Path("/usr"), home)
        assert not home.is_relative_to(path)
