"""A stand-in for vLLM that is found by its name, and hosts that start it; whatever was started is ended."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vision.chat.conftest import state_of_a_test, wait_until
from tests.vision.serving.test_selection import planned
from tests.vision.variants.machines import machine
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import StateFolder
from vision.serving.types import ServerName

STUB = Path(__file__).with_name("stub_server.py")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with state_of_a_test(tmp_path / "state") as made:
        yield made


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the PATH with the stand-in under both names."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("vllm", "llama-server"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {STUB} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The folder that the server runs in."""
    made = tmp_path / "weights"
    made.mkdir()
    return made


@pytest.fixture
def spec(weights: Path, programs: Path) -> Callable[..., HostSpec]:
    def make(server: ServerName = "vllm", idle_unload_s: float = 60.0) -> HostSpec:
        return HostSpec(plan=planned(server, machine(23.5)), folder=weights, idle_unload_s=idle_unload_s)

    return make


@pytest.fixture
def keeper(folder: StateFolder) -> HostKeeper:
    return HostKeeper(folder, "1.0.0")


def started(weights: Path) -> list[dict[str, object]]:
    """What each server that was started said of itself."""
    file = weights / "started"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def exists(pid: int) -> bool:
    """Whether a process runs: one that is dead and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends while it is looked at
        return False


def ended(weights: Path) -> None:
    """Waits until every server that was started is gone, with its helpers."""
    for one in started(weights):
        wait_until(lambda one=one: not exists(int(str(one["pid"]))) and not exists(int(str(one["helper"]))), 30)
