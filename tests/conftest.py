"""What many tests need: sample files made by the project's own script, third-party media, a service."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vision.config import Settings
from vision.service import VisionService

ROOT = Path(__file__).parents[1]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _script(name: str) -> ModuleType:
    """A module of the folder scripts/."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds the weights or the model hosts of whoever runs it, in processes that it starts neither."""
    changed = pytest.MonkeyPatch()
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HF_HOME"):
        changed.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        changed.delenv(name, raising=False)
    yield
    changed.undo()


@pytest.fixture(scope="session")
def sample_maker() -> ModuleType:
    """`scripts/samples.py`, with the truth about what it makes."""
    return _script("samples")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of random checkpoints that `scripts/tiny_checkpoint.py` makes, each once: `tiny_checkpoint("qwen2")`.

    Read only: a test that damages one copies it first.
    """
    pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")
    maker = _script("tiny_checkpoint")
    folder = tmp_path_factory.mktemp("checkpoints")

    @functools.cache
    def made(text: str = "qwen3", image_size: int = 112, seed: int = 0) -> Path:
        return maker.make_checkpoint(
            folder / f"{text}-{image_size}-{seed}", text=text, image_size=image_size, seed=seed
        )

    return made


@pytest.fixture(scope="session")
def sample_files(sample_maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The demo's files."""
    return sample_maker.make_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def media() -> Path:
    """Third-party media with ground truth."""
    folder = os.environ.get("INTERNVL_MCP_MEDIA")
    if not folder:
        pytest.skip("INTERNVL_MCP_MEDIA is not set: no third-party media to test with")
    return Path(folder)


@pytest.fixture
def service(sample_files: Any) -> Iterator[VisionService]:
    """A service that may read the sample files."""
    folder = sample_files.report.parent
    with VisionService(Settings(roots=(folder,)), folder) as made:
        yield made
