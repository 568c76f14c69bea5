from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from vision.access.opened import open_source
from vision.access.policy import AccessPolicy
from vision.errors import InvalidArgument, LimitExceeded, VisionError


def opened(source: str, cwd: Path, max_bytes: int = 1000) -> tuple[bytes, str, int, str]:
    async def run() -> tuple[bytes, str, int, str]:
        with await open_source(source, AccessPolicy(roots=(cwd,), max_bytes=max_bytes), cwd) as result:
            assert result.file.seekable()
            os.fstat(result.file.fileno())
            return result.file.read(), result.name, result.size, result.sha256

    return anyio.run(run)


def test_a_file_comes_with_its_name_size_and_hash(tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture" * 1000)
    data, name, size, sha256 = opened("@a.png", tmp_path)
    assert (data, name, size) == (b"picture" * 1000, "a.png", 7000)
    assert sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("data:image/png;base64," + base64.b64encode(b"\xfb\xff\xfe picture").decode(), b"\xfb\xff\xfe picture"),
        ("data:;base64," + base64.urlsafe_b64encode(b"\xfb\xff\xfe?").decode().rstrip("="), b"\xfb\xff\xfe?"),
        ("data:image/png;base64,cGlj\ndHVy\r\nZQ%3D%3D", b"picture"),
        ("data:image/svg+xml;charset=utf-8,%3Csvg/%3E", b"<svg/>"),
        ("data:image/svg+xml,<svg>,</svg>", b"<svg>,</svg>"),
    ],
)
def test_data_uris_are_decoded(tmp_path, source, data):
    assert opened(source, tmp_path)[:3] == (data, "data:", len(data))


@pytest.mark.parametrize("payload", ["!!!!", "AAAAA", "AA=A", "", "ä"])
def test_bad_base64_is_an_invalid_argument(tmp_path, payload):
    with pytest.raises(InvalidArgument):
        opened(f"data:image/png;base64,{payload}", tmp_path)


def test_data_uris_over_the_limit_are_refused(tmp_path):
    assert opened("data:;base64," + base64.b64encode(bytes(1000)).decode(), tmp_path)[2] == 1000
    for payload in (";base64," + base64.b64encode(bytes(1001)).decode(), "," + "a" * 1001, "," + "%20" * 1001):
        with pytest.raises(LimitExceeded):
            opened("data:" + payload, tmp_path)


def test_a_refused_source_leaves_no_descriptor_open(tmp_path):
    if sys.platform != "linux":
        pytest.skip("counts descriptors through /proc")
    opened("data:,x", tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for source in ("absent.png", "data:;base64,!", "data:," + "a" * 2000, "/etc/passwd", "ftp://h/"):
        with pytest.raises(VisionError):
            opened(source, tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_opening_a_file_brings_neither_the_http_client_nor_numpy():
    code = (
        "import sys, vision.access.opened\n"
        "print([m for m in ('httpx2', 'httpcore2', 'h11', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_imports_where_posix_flags_are_missing():
    code = (
        "import os, sys\n"
        "for name in ('O_NONBLOCK', 'O_NOFOLLOW', 'O_CLOEXEC', 'O_NOCTTY', 'O_DIRECTORY', 'O_PATH', 'mkfifo'):\n"
        "    delattr(os, name)\n"
        "sys.modules['fcntl'] = sys.modules['pwd'] = sys.modules['grp'] = None\n"
        "import vision.access.policy, vision.access.source, vision.access.files"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
