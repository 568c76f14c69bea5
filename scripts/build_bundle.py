"""Packs the .mcpb bundle: manifests/mcpb, the wheel of the same version, the licence.

Usage: .venv/bin/python scripts/build_bundle.py FOLDER [--wheel FILE] [--mcpb COMMAND]
FOLDER gets internvl-mcp-VERSION.mcpb. Without --wheel one is built (pip, from this checkout). --mcpb is the packer of
npm's @anthropic-ai/mcpb, which scripts/check-clients pins; without it npx fetches that version.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from manifests.rendering import mcpb
from manifests.rendering.source import ROOT, told
from scripts.check_clients import PACKAGES

_PACKER = "@anthropic-ai/mcpb"
_FILES = ("manifest.json", "pyproject.toml", "server.py", "icon.png", ".mcpbignore")


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built into the folder. Raises CalledProcessError."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return folder / mcpb.wheel_name(told())


def stage(folder: Path, wheel: Path) -> None:
    """Everything that the bundle holds, in the folder. Raises ValueError for a wheel of another version."""
    if wheel.name != mcpb.wheel_name(told()):
        raise ValueError(f"{wheel.name} is not the wheel that the bundle names: {mcpb.wheel_name(told())}")
    for name in _FILES:
        shutil.copy(mcpb.FOLDER / name, folder / name)
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    shutil.copy(wheel, folder / wheel.name)


def pack(staged: Path, folder: Path, packer: list[str], *, quiet: bool = False) -> Path:
    """The bundle's file. Raises CalledProcessError."""
    bundle = folder / f"{told()['name']}-{told().version}.mcpb"
    subprocess.run(
        [*packer, "pack", str(staged), str(bundle)], check=True, stdout=subprocess.DEVNULL if quiet else None
    )
    return bundle


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--mcpb", type=shlex.split, default=["npx", "-y", f"{_PACKER}@{PACKAGES[_PACKER]}"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-bundle-") as scratch:
        staged = Path(scratch) / "bundle"
        staged.mkdir()
        stage(staged, options.wheel or build_wheel(Path(scratch)))
        print(pack(staged, options.folder.resolve(), options.mcpb))
    return 0


if __name__ == "__main__":
    sys.exit(main())
