"""What the benchmark with hostile media calls good and bad, and that its files come out the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile import MEMORY_LIMIT, Report, Trial, judge, tools_for
from benchmarks.mutations import mutated, specimens


def _error(text: str) -> dict[str, Any]:
    return {"result": {"isError": True, "content": [{"type": "text", "text": text}]}}


def test_an_error_with_code_message_and_hint_is_clean() -> None:
    reply = _error(
        json.dumps({"error": {"code": "damaged_media", "message": "it is cut off", "hint": "send it whole"}})
    )
    assert judge(reply) == ("damaged_media", False, "it is cut off")


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last): …",
        json.dumps({"error": {"code": "damaged_media", "message": "it is cut off", "hint": ""}}),
        json.dumps({"error": {"code": "oops", "message": "it is cut off", "hint": "send it whole"}}),
        json.dumps([]),
    ],
)
def test_any_other_error_is_bad(text: str) -> None:
    assert judge(_error(text))[1]


def test_a_result_that_shows_another_file_is_a_leak() -> None:
    content = [{"type": "text", "text": '{"text": "root: x:0 :0:root:/root"}'}]
    assert judge({"result": {"content": content, "structuredContent": {"text": ""}}})[:2] == ("leak", True)


def test_a_protocol_error_is_bad() -> None:
    assert judge({"error": {"code": -32603, "message": "boom"}})[:2] == ("protocol error", True)


def test_memory_over_the_limit_and_processes_left_over_are_problems() -> None:
    fine = Trial("a.png", "extract_text", "result", False, 1.0, MEMORY_LIMIT)
    assert Report((fine,), 0.1, 0, 1.0).problems() == []
    assert len(Report((fine._replace(peak_bytes=MEMORY_LIMIT + 1),), 0.1, 1, 1.0).problems()) == 2


def test_every_kind_gets_a_tool_that_fits_and_one_that_does_not() -> None:
    for specimen in specimens():
        fitting, wrong = (name for name, _ in tools_for(specimen.name))
        assert fitting != wrong
        assert (fitting == "analyze_video") == (specimen.kind in ("mp4", "mkv", "ts"))


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = list(mutated(40)), list(mutated(40)), list(mutated(40, seed=1))
    assert first == again
    assert first != other
    sound = {specimen.kind: specimen.content for specimen in specimens()}
    assert sum(specimen.content == sound[specimen.kind] for specimen in first) <= 2
