"""The servers of other makers, the nano checkpoint, and asking it in this process for comparison."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")

from tests.nano.drawing import SIDE
from tests.nano.evaluate import CHECKPOINT
from tests.servers.running import VLLM_PYTHON, Maker, Running, served
from vision.remote import capabilities

# vLLM takes long to start, and the two others have nothing to do with it.
MAKERS: tuple[Maker, ...] = ("vllm",) if os.environ.get(VLLM_PYTHON) else ("llama.cpp", "transformers")


@pytest.fixture(scope="module", autouse=True)
def _tiles_of_the_nano_model() -> Iterator[None]:
    """Every published InternVL has tiles of 448 pixels, and these servers do not tell; nano's have 112."""
    changed = pytest.MonkeyPatch()
    changed.setattr(capabilities, "TILE_SIDE", SIDE)
    yield
    changed.undo()


@pytest.fixture(scope="session")
def nano() -> Path:
    """The checkpoint's folder, for reading only."""
    if not (CHECKPOINT / "model.safetensors").exists():
        pytest.skip("tests/nano/checkpoint is not here")
    return CHECKPOINT


@pytest.fixture(scope="session", params=MAKERS)
def server(request: pytest.FixtureRequest, nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(request.param, nano, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module", params=MAKERS)
def endless(request: pytest.FixtureRequest, nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose answers do not end by themselves."""
    with served(request.param, nano, tmp_path_factory.mktemp("endless"), endless=True) as running:
        yield running
