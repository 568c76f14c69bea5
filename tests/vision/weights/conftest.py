"""The loopback hub, and what pulls from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vision.weights.site import REPOSITORY, UNWANTED, Site, checkpoint_files, serve
from vision.weights.hub import Hub
from vision.weights.layout import RepositoryFolder
from vision.weights.pull import Puller
from vision.weights.transfer import Patience


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield from serve(Site())


@pytest.fixture
def storage() -> Iterator[Site]:
    """A second server, that a hub redirects to."""
    yield from serve(Site())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def folder(cache: Path) -> RepositoryFolder:
    return RepositoryFolder.of(REPOSITORY, cache)


@pytest.fixture
def puller(site: Site, cache: Path) -> Callable[..., Puller]:
    """Makes a puller from the site; nothing waits."""

    def make(**changes: Any) -> Puller:
        return Puller(**{"cache": cache, "hub": Hub(site.url), "patience": Patience(waits=(0, 0))} | changes)

    return make


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A plain folder with a whole checkpoint."""
    place = tmp_path / "checkpoint"
    place.mkdir()
    for name, body in checkpoint_files().items():
        if name not in UNWANTED:
            (place / name).write_bytes(body)
    return place
