"""A server of another maker gives the answers of this machine's own generator, question by question."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.nano.evaluate import Answerer, Asked, Judged, drawn, judge
from tests.nano.tasks import messages
from tests.servers.asking import Far
from tests.servers.running import Running
from vision.chat.types import Ask, ImagePart, Message, TextPart

# Of a hundred answers, so many are the same to the letter.
_SAME = 0.99
_MARKS = re.compile("</?(?:ref|box|quad)>")
# Finite: a model that never learnt JSON must come to an end as well.
_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "sides": {"type": "integer", "minimum": 3, "maximum": 9}},
    "required": ["colour", "sides"],
    "additionalProperties": False,
}


# For the session: pytest comes back to this module with the next server.
@pytest.fixture(scope="session")
def asked() -> list[Asked]:
    return drawn(7, 4, "test")


@pytest.fixture(scope="session")
def here(nano: Path, asked: list[Asked]) -> list[Judged]:
    return judge(Answerer(nano), asked)


def test_the_answers_are_those_of_this_machine(
    server: Running, asked: list[Asked], here: list[Judged], record_property: Callable[[str, object], None]
) -> None:
    there = judge(Far(server), asked)
    pairs = [(one.task, _text(one.said), _text(own.said)) for one, own in zip(there, here, strict=True)]
    other = [(task, far, near) for task, far, near in pairs if far != near]
    same = 1 - len(other) / len(there)
    record_property("questions", len(there))
    record_property("same_answers", round(same, 4))
    record_property("right_there", sum(one.right for one in there))
    record_property("right_here", sum(one.right for one in here))
    assert same >= _SAME, f"{len(other)} of {len(there)} differ: {other[:12]}"


def _text(said: str) -> str:
    """These servers leave special tokens out of an answer, such as the marks around boxes."""
    return _MARKS.sub("", said)


def test_an_answer_keeps_to_its_schema(server: Running, asked: list[Asked]) -> None:
    if server.maker == "transformers":
        pytest.skip("transformers serve ignores response_format")
    shown = next(part for part in messages(*asked[0])[1].parts if isinstance(part, ImagePart))
    question = Message(role="user", parts=(shown, TextPart(text="What is it?")))
    said = anyio.run(Far(server).ask, Ask(messages=(question,), max_tokens=200, json_schema=_SCHEMA))
    found = json.loads(said)
    assert found.keys() == {"colour", "sides"}, said
    assert found["colour"] in ("red", "blue") and found["sides"] in range(3, 10), said
