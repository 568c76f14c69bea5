"""Conversations over real server processes that are killed: they go on where their sources are still the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mcp_server.test_jobs_stdio import Server, pytestmark, start
from tests.vision.remote.fake_server import FakeServer, says, serving

__all__ = ["pytestmark", "start"]
Start = Callable[..., Server]


@pytest.fixture
def endpoint() -> Iterator[FakeServer]:
    with serving(FakeServer(replies=[says("A chart."), says("Blue."), says("Red.")])) as served:
        yield served


@pytest.fixture
def folder(sample_files: Any, tmp_path: Path) -> Path:
    """With a picture of its own."""
    made = tmp_path / "pictures"
    made.mkdir()
    (made / "chart.png").write_bytes(sample_files.chart.read_bytes())
    return made


def with_model(endpoint: FakeServer) -> dict[str, str]:
    return {"engine": "remote", "endpoints": endpoint.url}


def test_what_the_model_said_goes_on_after_a_kill_with_the_same_picture(
    start: Start, folder: Path, endpoint: FakeServer
) -> None:
    server = start(folder, **with_model(endpoint))
    first = server.whole("answer_chart", {"source": "chart.png", "question": "What is it?"})
    assert first["answer"] == "A chart."
    asked = {"conversation_id": first["conversation_id"], "question": "Which colour?"}
    server.kill()
    second = start(folder, **with_model(endpoint)).whole("ask_followup", asked)
    assert (second["answer"], second["turn"], second["conversation_id"]) == ("Blue.", 2, first["conversation_id"])
    before, after = endpoint.asked[0]["messages"], endpoint.asked[1]["messages"]
    assert after[: len(before)] == before and len(after) == len(before) + 2
    assert "A chart." in str(after[len(before)])


def test_without_a_model_the_same_tool_looks_again_after_a_kill_and_a_model_that_came_since_answers(
    start: Start, folder: Path, endpoint: FakeServer
) -> None:
    server = start(folder)
    first = server.whole("answer_chart", {"source": "chart.png"})
    asked = {"conversation_id": first["conversation_id"], "question": "Which colour?"}
    server.kill()
    server = start(folder)
    second = server.whole("ask_followup", asked)
    assert (second["answer"], second["turn"], second["readings"]) == (None, 2, first["readings"])
    server.kill()
    third = start(folder, **with_model(endpoint)).whole("ask_followup", asked)
    assert (third["answer"], third["turn"], third["conversation_id"]) == ("A chart.", 3, first["conversation_id"])


@pytest.mark.parametrize("modelled", [False, True], ids=["embedded", "model"])
@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "source_unreadable", "has changed since"),
        (lambda path: path.unlink(), "source_not_found", "no such file"),
    ],
    ids=["changed", "gone"],
)
def test_a_file_that_is_another_or_gone_after_a_kill_is_one_clear_error(
    start: Start,
    folder: Path,
    endpoint: FakeServer,
    modelled: bool,
    change: Callable[[Path], Any],
    code: str,
    told: str,
) -> None:
    settings = with_model(endpoint) if modelled else {}
    server = start(folder, **settings)
    first = server.whole("describe_image", {"sources": ["chart.png"], "question": "What is it?"})
    server.kill()
    change(folder / "chart.png")
    asked = {"conversation_id": first["conversation_id"], "question": "Which colour?"}
    error = start(folder, **settings).whole("ask_followup", asked)["error"]
    assert error["code"] == code and told in error["message"] and error["hint"]
    assert len(endpoint.asked) == int(modelled)


def test_a_conversation_expires(start: Start, folder: Path) -> None:
    server = start(folder)
    first = server.whole("extract_text", {"source": "chart.png"})
    server.kill()
    asked = {"conversation_id": first["conversation_id"], "question": "And?"}
    error = start(folder, keep_results_h=1e-7).whole("ask_followup", asked)["error"]
    assert error["code"] == "invalid_argument" and "no conversation" in error["message"]
    assert "new conversation_id" in error["hint"]
