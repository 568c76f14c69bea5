from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from vision.store import _SCHEMA_VERSION, Store

pytestmark = pytest.mark.anyio
KEEP_S = 1000.0


def older_store(folder: Path, version: int, age_s: float) -> Path:
    """The file that a server of that version has left behind."""
    folder.mkdir(exist_ok=True)
    path = folder / f"store-{version}.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE jobs (id TEXT)")
    aged(path, age_s)
    return path


def aged(path: Path, age_s: float) -> None:
    os.utime(path, (time.time() - age_s,) * 2)


def files(folder: Path) -> set[Path]:
    return set(folder.iterdir())


async def written(folder: Path) -> Path:
    """The file of a server of now, which has written something."""
    store = Store(folder, KEEP_S)
    await store.write(lambda connection: connection.execute("DELETE FROM jobs"))
    store.close()
    (path,) = (path for path in files(folder) if path.name.endswith(f"-{_SCHEMA_VERSION}.sqlite3"))
    return path


async def test_what_older_versions_left_is_removed_once_it_has_expired(tmp_path: Path) -> None:
    old, young = older_store(tmp_path, 1, KEEP_S + 60), older_store(tmp_path, 2, KEEP_S - 60)
    newer = older_store(tmp_path, 99, KEEP_S + 60)
    aside = tmp_path / "store-2.damaged-1700000000"
    aside.write_bytes(b"nonsense")
    aged(aside, KEEP_S + 60)
    here = await written(tmp_path)
    assert files(tmp_path) == {young, newer, here} and not old.exists()


async def test_what_an_older_server_has_open_stays(tmp_path: Path) -> None:
    path = older_store(tmp_path, 2, KEEP_S + 60)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("SELECT * FROM jobs").fetchall()
        await written(tmp_path)
        connection.execute("INSERT INTO jobs VALUES ('a')")
        assert connection.execute("SELECT id FROM jobs").fetchall() == [("a",)] and path.exists()


async def test_what_an_older_server_wrote_before_it_was_killed_is_as_young_as_that(tmp_path: Path) -> None:
    path = older_store(tmp_path, 2, 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO jobs VALUES ('a')")
        killed = {each.name: each.read_bytes() for each in files(tmp_path)}
    for name, content in killed.items():
        (tmp_path / name).write_bytes(content)
    aged(path, KEEP_S + 60)
    await written(tmp_path)
    assert path.exists()
    aged(Path(f"{path}-wal"), KEEP_S + 60)
    here = await written(tmp_path)
    assert files(tmp_path) == {here}


async def test_one_that_cannot_be_removed_keeps_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = older_store(tmp_path, 1, KEEP_S + 60)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert (await written(tmp_path)).exists() and path.exists()
