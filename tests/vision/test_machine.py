"""What this machine has, where a folder is not there or cannot be seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vision.machine import existing, free_bytes


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_what_is_around_it(tmp_path: Path) -> None:
    assert existing(tmp_path) == existing(tmp_path / "a" / "b") == tmp_path
    assert free_bytes(tmp_path / "a" / "b") > 0


def test_a_folder_that_cannot_be_seen_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    assert existing(tmp_path / ("x" * 300) / "b") == tmp_path


def test_a_drive_that_is_not_there_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda _: False)
    assert existing(tmp_path) is None
    assert free_bytes(tmp_path) == 0
