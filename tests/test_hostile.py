"""Hostile and damaged files, thrown at a running server: a small part of `benchmarks/hostile.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.hostile import hostile_files, run_trials, write_mutated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches memory through /proc")
COMMAND = str(Path(sys.executable).with_name("internvl-mcp"))


def test_damaged_files_cost_one_clear_error_each(tmp_path: Path) -> None:
    files = write_mutated(tmp_path, 30, seed=20)
    report = run_trials([COMMAND, "--root", str(tmp_path)], files, tmp_path)
    assert report.problems() == []
    assert len(report.trials) == 60
    assert report.exit_s < 1.0


def test_hostile_files_cost_one_clear_error_each(media: Path, tmp_path: Path) -> None:
    report = run_trials([COMMAND, "--root", str(media)], hostile_files(), tmp_path)
    assert report.problems() == []
    assert len(report.trials) >= 100
