"""A place for the npm launcher, which needs node; without it those tests skip, loudly."""

from __future__ import annotations

import ensurepip
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.manifests.launcher_place import NODE, LauncherPlace


@pytest.fixture
def place(tmp_path: Path) -> LauncherPlace:
    if NODE is None:
        pytest.skip("the launcher was not tested: node is not installed (https://nodejs.org)")
    if sys.platform == "win32":
        pytest.skip("the launcher was not tested: these tests play uv and Python with scripts of the shell")
    return LauncherPlace(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip, for copies."""
    made = tmp_path_factory.mktemp("template") / "environment"
    venv.create(made, symlinks=True)
    # What ensurepip would install, without the seconds that it takes.
    bundled = next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    with zipfile.ZipFile(bundled) as archive:
        archive.extractall(next((made / "lib").glob("python3.*")) / "site-packages")
    return made
