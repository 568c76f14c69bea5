"""What doctor says of a model that somebody else serves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcp_server.cli import main
from tests.vision.remote.fake_server import FakeServer, refuses, serving

KEY = "sk-secret-0123456789"


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's own clients
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


def doctor(capfd: pytest.CaptureFixture[str], server: FakeServer, key_file: Path, *more: str) -> tuple[int, str]:
    flags = ["--endpoint", server.url, "--endpoint-key-file", str(key_file), "--log-level", "debug", *more]
    status = main(["doctor", *flags])
    said = "".join(capfd.readouterr())
    assert KEY not in said
    return status, said


def test_an_endpoint_that_is_well_is_shown_without_its_key(capfd: pytest.CaptureFixture[str], key_file: Path) -> None:
    with serving(FakeServer(key=KEY)) as server:
        status, said = doctor(capfd, server, key_file)
    assert status == 0
    assert f"ok      endpoint {server.url}: vllm, OpenGVLab/InternVL3_5-8B-HF, context 16384" in said
    assert "others may read" not in said


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_file_that_others_may_read_is_told_of(capfd: pytest.CaptureFixture[str], key_file: Path) -> None:
    key_file.chmod(0o644)
    with serving(FakeServer(key=KEY)) as server:
        status, said = doctor(capfd, server, key_file)
    assert status == 0 and f"others may read the key file {key_file}" in said and "chmod 600" in said


@pytest.mark.parametrize(("fallback", "status"), [("no", 1), ("yes", 0)])
def test_an_endpoint_that_fails_is_broken_unless_a_fallback_is_allowed(
    capfd: pytest.CaptureFixture[str], key_file: Path, fallback: str, status: int
) -> None:
    with serving(FakeServer(listing=refuses(500, f"bad {KEY}"), key=KEY)) as server:
        found, said = doctor(capfd, server, key_file, "--fallback", fallback)
    assert found == status and "bad ***" in said


@pytest.mark.skipif(os.name != "posix", reason="servers are started on POSIX systems")
def test_a_server_that_would_be_started_here_is_shown_and_what_it_lacks(
    capfd: pytest.CaptureFixture[str], key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = key_file.parent / "llama-server"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    status = main(["doctor", "--engine", "llama.cpp", "--variant", "3-1B"])
    said = "".join(capfd.readouterr())
    assert status == 1 and f"ok      llama.cpp: {program}" in said and "gguf_folder" in said
