"""The GitHub workflows: least permissions, pinned actions, one gate. scripts/check_manifests.py lints them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(path.name for path in FOLDER.glob("*.yml"))
# What each job may do beyond reading: sign itself in at an index, make a release.
ALLOWED = {
    "pypi": {"id-token"},
    "npm": {"id-token"},
    "release": {"contents"},
    "registry": {"id-token"},
}


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["jobs"]


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_to_a_version(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+\.\d+)?", action), action


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_may_write_only_what_they_are_for(name: str) -> None:
    whole = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))["permissions"]
    assert whole in ({}, {"contents": "read"})
    for title, job in jobs(name).items():
        writes = {what for what, how in job.get("permissions", {}).items() if how == "write"}
        assert writes == ALLOWED.get(title, set()), title


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_that_others_write_is_pasted_into_a_script(name: str) -> None:
    for step in steps(name):
        assert "${{" not in step.get("run", "")
        assert "secrets." not in str(step)


def test_ci_and_publishing_pass_the_one_gate() -> None:
    for name in WORKFLOWS:
        assert any(step.get("run") == ".ci/run" for step in steps(name)), name
    needs = {title: job.get("needs", []) for title, job in jobs("publish.yml").items()}
    assert needs["pypi"] == needs["npm"] == "build"
    assert set(needs["release"]) == set(needs["registry"]) == {"pypi", "npm"}


def test_what_npm_publishes_is_a_file_to_it() -> None:
    (command,) = [step["run"] for step in steps("publish.yml") if step.get("run", "").startswith("npm publish")]
    assert command.split()[-1].startswith("./"), "npm takes folder/name.tgz for a repository on GitHub"


def test_scripts_that_the_workflows_name_are_there() -> None:
    named = {
        path for name in WORKFLOWS for step in steps(name) for path in re.findall(r"scripts/\S+", step.get("run", ""))
    }
    assert named
    for path in named:
        assert (ROOT / path).is_file(), path
