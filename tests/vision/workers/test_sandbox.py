"""What a worker process may not do, tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vision.workers.sandbox import landlock_abi, readable_paths

needs_landlock = pytest.mark.skipif(landlock_abi() == 0, reason="this kernel has no Landlock")


def run_locked(code: str) -> str:
    """What `code` prints after the lock; it finds `attempt(call)`, which says "refused" or "allowed"."""
    script = (
        "import socket\n"
        "from vision.workers import sandbox\n"
        "sandbox.restrict_files_and_network()\n"
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


@pytest.mark.skipif(landlock_abi() < 4, reason="this kernel's Landlock does not cover the network")
def test_nothing_can_be_connected_to_or_listened_on() -> None:
    assert run_locked("print(attempt(lambda: socket.create_connection(('127.0.0.1', 9), 1)))") == "refused"
    assert run_locked("s = socket.socket(); print(attempt(lambda: s.bind(('127.0.0.1', 0))))") == "refused"


def test_the_readable_folders_never_hold_the_users_files() -> None:
    home = Path.home()
    for path in readable_paths():
        assert path not in (Path("/"), Path("/usr"), home)
        assert not home.is_relative_to(path)
