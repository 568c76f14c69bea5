"""What many tests need: sample files made by the project's own script, third-party media, a service."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def sample_maker() -> ModuleType:
    """`scripts/samples.py`, with the truth about what it makes."""
    spec = importlib.util.spec_from_file_location("sample_maker", ROOT / "scripts" / "samples.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = maker
    spec.loader.exec_module(maker)
    return maker


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
