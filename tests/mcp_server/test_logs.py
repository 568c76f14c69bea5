from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from mcp_server import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, http = logging.getLogger(), logging.getLogger("internvl_mcp.http")
    before = root.handlers[:], root.level, http.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    http.setLevel(before[2])


def tell() -> None:
    logging.getLogger("internvl_mcp.http").info("request", extra={"fields": {"tool": "say", "ms": 3}})


def test_requests_are_told_where_other_lines_of_their_level_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start("warning", "text")
    tell()
    assert capsys.readouterr().err == ""
    logs.tell_requests()
    tell()
    logging.getLogger("internvl_mcp").info("about a file")
    assert capsys.readouterr().err == "internvl-mcp: request tool=say ms=3\n"


def test_json_is_one_object_a_line_with_its_fields_and_the_trace_of_what_broke(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.start("info", "json")
    tell()
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("internvl_mcp").exception("broke")
    told, broke = map(json.loads, capsys.readouterr().err.splitlines())
    assert (told["message"], told["level"], told["tool"], told["ms"]) == ("request", "info", "say", 3)
    assert broke["level"] == "error" and "two\nlines" in broke["trace"]
