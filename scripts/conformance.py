"""MCP's conformance suite against the server, over HTTP: what it asks for, and what of that this server does not have.

It runs twice over: against the fixture in tests/conformance, which is the product with the suite's `test_*` tools laid
over it, and against the product. All that runs has to pass without a warning, except what is named here with its
reason; and what is named has to fail, so that a list is never longer than the truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from scripts.client_place import CheckFailed, Place

PACKAGE, VERSION = "@modelcontextprotocol/conformance", "0.2.0-alpha.12"
_SUITE = f"node_modules/{PACKAGE}/dist/index.js"
# How many scenarios the suite runs for each revision of the protocol: another number is a reason to look at the lists.
REVISIONS = {"2025-11-25": 33, "2026-07-28": 50}
_FOLDER = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\dZ.-]+")

Found = Mapping[str, Mapping[str, str]]
"""By scenario: what its checks complain of, by check; nothing where it passed."""

Excused = Mapping[str, tuple[str, ...]]
"""By reason: scenarios, or `scenario:check` where only that check of it cannot be passed."""

# Every scenario passes. What a new version of the suite brings may be named here until the fixture has it.
FIXTURE_EXCUSED: Excused = {}
PRODUCT_EXCUSED: Excused = {
    "the tasks extension: calls slow tools of the suite's own server": (
        "tasks-lifecycle",
        "tasks-capability-negotiation",
        "tasks-wire-fields",
        "tasks-request-state-removal",
        "tasks-mrtr-input",
        "tasks-request-headers",
        "tasks-dispatch-and-envelope",
        "tasks-required-task-error",
        "tasks-mrtr-composition",
    ),
    "calls a test_* tool, which no product has": (
        "server-sse-polling:server-sse-disconnect-resume",
        "tools-call-simple-text",
        "tools-call-image",
        "tools-call-audio",
        "tools-call-embedded-resource",
        "tools-call-mixed-content",
        "tools-call-error",
        "tools-call-with-progress",
        "tools-call-sampling",
        "tools-call-elicitation",
        "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums",
        "json-schema-2020-12",
        "input-required-result-basic-elicitation",
        "input-required-result-basic-sampling",
        "input-required-result-basic-list-roots",
        "input-required-result-request-state",
        "input-required-result-multiple-input-requests",
        "input-required-result-multi-round",
        "input-required-result-missing-input-response",
        "input-required-result-result-type",
        "input-required-result-tampered-state",
        "input-required-result-capability-check",
        "input-required-result-ignore-extra-params",
        "server-stateless:sep-2575-server-rejects-undeclared-capability",
        "server-stateless:sep-2575-missing-capability-http-400",
        "server-stateless:sep-2575-http-server-no-independent-requests-on-stream",
        "server-stateless:sep-2575-server-no-log-without-loglevel",
    ),
    "gets a test_* prompt, or completes its arguments": (
        "completion-complete",
        "prompts-get-simple",
        "prompts-get-with-args",
        "prompts-get-embedded-resource",
        "prompts-get-with-image",
        "input-required-result-non-tool-request",
    ),
    "reads a test:// resource": ("resources-read-text", "resources-read-binary", "resources-templates-read"),
    "a result does not change once it is there: nothing to subscribe to is declared": (
        "resources-subscribe",
        "resources-unsubscribe",
    ),
    "log messages to clients are deprecated in the protocol and not declared: the log goes to standard error": (
        "logging-set-level",
        "tools-call-with-logging",
    ),
    "no tool wants one of its arguments as an HTTP header": ("http-custom-header-server-validation",),
}


class Judged(NamedTuple):
    """`passed`: scenarios without a complaint; `wrong`: what contradicts the lists, nothing when all is well."""

    passed: int
    wrong: list[str]


def conformance(place: Place, url: str, excused: Excused) -> str:
    """Both revisions' scenarios against the server at `url`. Raises CheckFailed with all that is wrong."""
    found = {revision: run_suite(place, url, revision) for revision in REVISIONS}
    again = {revision: _again(place, url, revision, found[revision], excused) for revision in REVISIONS}
    judged = judge(again, excused, REVISIONS)
    if judged.wrong:
        raise CheckFailed("\n".join(judged.wrong))
    total = sum(REVISIONS.values())
    return f"{judged.passed} of {total} scenarios pass, the others are known not to apply"


def run_suite(place: Place, url: str, revision: str) -> Found:
    """What the scenarios of a revision complain of."""
    return _run(place, url, revision, "--requirements", revision)


def _again(place: Place, url: str, revision: str, found: Found, excused: Excused) -> Found:
    """Those that fail unexpectedly once more: the suite gives some answers half a second, on a busy machine too."""
    listed = _names(excused)
    failed = [name for name, complaints in found.items() if _unexcused(name, complaints, listed)]
    again = [_run(place, url, revision, "--spec-version", revision, "--scenario", name) for name in failed]
    return {**found, **{name: complaints for each in again for name, complaints in each.items()}}


def _run(place: Place, url: str, revision: str, *words: str) -> Found:
    out = place.home / f"conformance-{revision}-{len(list(place.home.iterdir()))}"
    command = [place.node, str(place.clients / _SUITE), "server", "--url", url, "--output-dir", str(out), *words]
    place.run(command, expect=None, timeout_s=300)  # its exit status knows nothing of what is excused here
    if not out.is_dir():
        raise CheckFailed(f"{' '.join(command)} left no results")
    return read_results(out)


def read_results(folder: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for file in sorted(folder.glob("*/checks.json")):
        name = _FOLDER.fullmatch(file.parent.name)
        if name is None:
            raise CheckFailed(f"the suite names its results otherwise now: {file.parent.name}")
        checks = json.loads(file.read_text(encoding="utf-8"))
        complaints = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
        found[name[1]] = {check["id"]: check.get("errorMessage") or "no reason given" for check in complaints}
    return found


def judge(found: Mapping[str, Found], excused: Excused, expected: Mapping[str, int]) -> Judged:
    """What ran, by revision, against the list of what need not pass."""
    listed = _names(excused)
    wrong: list[str] = []
    passed = 0
    failed: set[str] = set()
    for revision, scenarios in found.items():
        if len(scenarios) != expected[revision]:
            wrong.append(f"{revision}: {len(scenarios)} scenarios ran, not {expected[revision]}: are there new ones?")
        for scenario, complaints in scenarios.items():
            passed += not complaints
            if complaints:
                failed |= {scenario, *(f"{scenario}:{check}" for check in complaints)}
            elif scenario in listed:
                wrong.append(f"{revision}: {scenario} passes now: take it off the list")
            unexcused = _unexcused(scenario, complaints, listed)
            wrong += [f"{revision}: {scenario}:{check}: {why[:500]}" for check, why in unexcused.items()]
    wrong += [f"{name} is on the list, and did not fail" for name in sorted(listed - failed)]
    return Judged(passed, wrong)


def _names(excused: Excused) -> set[str]:
    return {name for names in excused.values() for name in names}


def _unexcused(scenario: str, complaints: Mapping[str, str], listed: set[str]) -> dict[str, str]:
    if scenario in listed:
        return {}
    return {check: why for check, why in complaints.items() if f"{scenario}:{check}" not in listed}
