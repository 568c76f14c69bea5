"""One loaded reader for all tests of this folder, and the third-party media."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vision.ocr.reader import TextReader


@pytest.fixture(scope="session")
def reader() -> TextReader:
    return TextReader(threads=2)


@pytest.fixture(scope="session")
def media() -> Path:
    folder = os.environ.get("INTERNVL_MCP_MEDIA")
    if not folder:
        pytest.skip("INTERNVL_MCP_MEDIA names no folder of test media")
    return Path(folder) / "text"
