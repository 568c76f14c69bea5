"""Packs the npm package: the launcher and, inside, the wheel of the same version, the versions of its dependencies
that go together, and what the server answers to a client that connects.

Usage: .venv/bin/python scripts/build_npm.py FOLDER [--wheel FILE]      prints the path of the .tgz
Needs npm; the wheel's tools and uv (which resolves for all systems at once) come from PyPI into a scratch environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.raw_server import INFO, MODERN, RawServer
from manifests.rendering import npm
from manifests.rendering.source import ROOT, told

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
# What clients ask when they connect, and what has the same answer in every new environment.
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
SERVER = (str(Path(sys.executable).parent / "internvl-mcp"),)


def run(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What it printed. Raises SystemExit with its words when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build_tools(folder: Path, *packages: str) -> Path:
    """The folder of programs of a new environment that has these packages."""
    venv.create(folder, with_pip=True)
    bin_folder = folder / ("Scripts" if os.name == "nt" else "bin")
    run([bin_folder / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    return bin_folder


def build_wheel(folder: Path, uv: Path) -> Path:
    run([uv, "build", "--wheel", "--no-config", "--out-dir", folder, ROOT])
    return next(folder.glob("*.whl"))


def constraints(uv: Path) -> str:
    """The versions of all dependencies, for every system and Python at once."""
    words = ("--universal", "--python-version", "3.11", "--no-header", "--no-annotate", "--quiet", "--no-config")
    return run([uv, "pip", "compile", ROOT / "pyproject.toml", *words])


def answers(command: Sequence[str] = SERVER) -> dict[str, Any]:
    """What the server answers to a client that connects, in both eras."""
    with tempfile.TemporaryDirectory() as empty:
        where = Path(empty)
        with RawServer(command, cwd=where, era="legacy") as server:
            hello = {"protocolVersion": LEGACY[-1], "capabilities": {}, "clientInfo": INFO}
            initialize = server.request("initialize", hello, 60)["result"]
            server.notify("notifications/initialized")
            legacy = {method: server.request(method, {}, 60)["result"] for method in ("ping", *LISTS)}
        with RawServer(command, cwd=where, era="modern") as server:
            modern = {method: server.request(method, {}, 60)["result"] for method in ("server/discover", *LISTS)}
            refusal = server.request("initialize", hello, 60)["error"]
    stamp = {key: modern["server/discover"][key] for key in ("resultType", "_meta")}
    return {
        "legacy": {"versions": LEGACY, "initialize": initialize, "results": legacy},
        "modern": {"versions": [MODERN], "stamp": stamp, "refusal": refusal, "results": modern},
    }


def lay_out(folder: Path, wheel: Path, pins: str, recorded: dict[str, Any]) -> None:
    """The package as npm packs it. Its build's name changes with whatever is installed from it."""
    it = told()
    shutil.copytree(npm.FOLDER / "launcher", folder / "launcher")
    shutil.copy(ROOT / "LICENSE", folder)
    for path, text in npm.rendered().items():
        (folder / path.name).write_text(text, encoding="utf-8")
    inside = folder / "python"
    inside.mkdir()
    shutil.copy(wheel, inside)
    (inside / "constraints.txt").write_text(pins, encoding="utf-8")
    (inside / "answers.json").write_text(json.dumps(recorded, ensure_ascii=False), encoding="utf-8")
    built = {
        "version": it.version,
        "build": hashlib.sha256(wheel.read_bytes() + pins.encode()).hexdigest()[:16],
        "wheel": wheel.name,
        "downloadMb": it["download_mb"],
        "installedMb": it["installed_mb"],
    }
    (inside / "built.json").write_text(json.dumps(built), encoding="utf-8")


def pack(folder: Path, out: Path) -> Path:
    """`npm pack` of what lay_out made; the .tgz."""
    listed = json.loads(run(["npm", "pack", "--json", "--pack-destination", out], cwd=folder))
    entry = listed[0] if isinstance(listed, list) else next(iter(listed.values()))
    return out / entry["filename"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path, help="one that is built already")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-npm-") as scratch:
        place = Path(scratch)
        uv = build_tools(place / "tools", "uv") / "uv"
        wheel = options.wheel or build_wheel(place / "wheel", uv)
        lay_out(place / "package", wheel, constraints(uv), answers())
        print(pack(place / "package", options.folder.resolve()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
