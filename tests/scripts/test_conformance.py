"""How the suite's results are judged; the suite itself runs in scripts/check-clients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import conformance
from scripts.client_place import CheckFailed
from scripts.conformance import Found, judge, read_results

EXCUSED = {"it cannot": ("whole", "part:two")}
GOOD: Found = {"fine": {}, "whole": {"a": "no"}, "part": {"two": "no"}}


def wrong(*revisions: Found, number: int = 3) -> list[str]:
    found = {f"r{at}": each for at, each in enumerate(revisions)}
    return judge(found, EXCUSED, dict.fromkeys(found, number)).wrong


def test_all_is_well_when_only_what_is_listed_fails() -> None:
    assert judge({"r": GOOD}, EXCUSED, {"r": 3}) == (1, [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fine": {"b": "broken"}}, "fine:b: broken"),
        ({"part": {"two": "no", "one": "broken"}}, "part:one: broken"),
        ({"part": {}}, "part:two is on the list, and did not fail"),
        ({"whole": {}}, "whole passes now"),
        ({"new": {}}, "4 scenarios ran, not 3"),
        ({"new": {"b": "broken"}}, "new:b: broken"),
    ],
)
def test_whatever_differs_from_the_list_is_told(change: Found, says: str) -> None:
    assert any(says in line for line in wrong({**GOOD, **change}))


def test_what_fails_in_one_revision_and_passes_in_the_other_is_told() -> None:
    assert wrong(GOOD, {**GOOD, "whole": {}}) == ["r1: whole passes now: take it off the list"]


def test_a_check_that_only_one_revision_has_may_be_listed() -> None:
    assert wrong(GOOD, {**GOOD, "part": {}}) == []


def test_a_scenario_that_only_one_revision_has_may_be_listed() -> None:
    assert wrong(GOOD, {"fine": {}, "fine2": {}, "fine3": {}}) == []


def test_warnings_and_failures_are_complaints_and_nothing_else_is(tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-call-error-2026-11-23T09-29-21-014Z"
    folder.mkdir()
    statuses = ("SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO")
    checks = [{"id": status.lower(), "status": status, "errorMessage": "why"} for status in statuses]
    (folder / "checks.json").write_text(json.dumps(checks))
    assert read_results(tmp_path) == {"tools-call-error": {"failure": "why", "warning": "why"}}


def test_results_of_another_form_are_no_pass(tmp_path: Path) -> None:
    (tmp_path / "tools-call-error").mkdir()
    (tmp_path / "tools-call-error" / "checks.json").write_text("[]")
    with pytest.raises(CheckFailed, match="names its results otherwise"):
        read_results(tmp_path)


def test_nothing_is_listed_twice() -> None:
    for excused in (conformance.FIXTURE_EXCUSED, conformance.PRODUCT_EXCUSED):
        names = [name for each in excused.values() for name in each]
        assert len(names) == len(set(names))


def test_no_scenario_that_is_required_is_excused_for_the_fixture() -> None:
    """What the revisions require is scored; extensions and what the suite's authors still try out is not."""
    names = {name.partition(":")[0] for each in conformance.FIXTURE_EXCUSED.values() for name in each}
    assert all(name.startswith("tasks-") for name in names)
