"""Answers held to a JSON Schema: a random model can write nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.vision.host.conftest import Asker, noise, user
from vision.errors import InvalidArgument

QUESTION = user(noise(224, 112, 3), "What is it?")
SCHEMAS: dict[str, dict[str, Any]] = {
    "object": {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "blue", "红"]},
            "sides": {"type": ["integer", "null"], "minimum": 3, "maximum": 9},
            "flat": {"type": "boolean"},
        },
        "required": ["colour", "sides", "flat"],
        "additionalProperties": False,
    },
    "array": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date"},
                "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
            },
            "required": ["day", "code"],
            "additionalProperties": False,
        },
        "minItems": 2,
        "maxItems": 3,
    },
    "choice": {"anyOf": [{"const": "none"}, {"type": "integer", "minimum": 10, "maximum": 99}]},
}  # fmt: skip
# Python's own engine takes for ever with these.
SLOW = ("^(a+)+$", "^(a|a)*b{3}$", "(x?){500}x{500}$")


def object_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"it": schema}, "required": ["it"], "additionalProperties": False}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 5.0, "seed": 1}, {"temperature": 5.0, "seed": 2}], ids=str)
def test_an_answer_is_valid_under_its_schema(asker: Asker, name: str, sampling: dict[str, Any]) -> None:
    said = asker.submit(QUESTION, json_schema=SCHEMAS[name], max_tokens=300, **sampling)
    assert said.finished.reason == "stop"
    Draft202012Validator(SCHEMAS[name]).validate(json.loads(said.text))


def test_other_answers_beside_it_are_as_they_would_be_alone(made: Callable[..., Asker], plain: Any) -> None:
    asked = made("qwen3")
    held = asked.submit(QUESTION, json_schema=SCHEMAS["array"], max_tokens=300)
    free = [asked.submit(user(noise(100, 100, seed), "What is it?")) for seed in range(3)]
    again = asked.submit(QUESTION, json_schema=SCHEMAS["array"], max_tokens=300)
    for seed, answer in enumerate(free):
        assert answer.text == plain("qwen3", user(noise(100, 100, seed), "What is it?"))
    assert held.text == again.text and json.loads(held.text)
    assert asked(QUESTION) == plain("qwen3", QUESTION), "and after it, from what it left in the caches"


def test_an_answer_that_was_cut_off_is_the_start_of_a_valid_one(asker: Asker) -> None:
    whole = asker(QUESTION, json_schema=SCHEMAS["array"], max_tokens=300)
    part = asker.submit(QUESTION, json_schema=SCHEMAS["array"], max_tokens=10)
    assert part.finished.reason == "length"
    assert whole.startswith(part.text) and len(part.text) < len(whole)


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "pattern": "^[A-Z]{3}$", "maxLength": 2},
        {"type": "string", "pattern": "(?=a)b"},
        {"$ref": "https://localhost:9/schema.json"},
    ],
    ids=str,
)
def test_a_schema_that_no_answer_can_be_held_to_is_refused(asker: Asker, schema: dict[str, Any]) -> None:
    refused = asker.submit(QUESTION, json_schema=object_of(schema))
    assert refused.ended.wait(60)
    assert isinstance(refused.error, InvalidArgument) and "schema" in refused.error.message
    assert asker(QUESTION), "the next question is answered"


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_others_choke_on_holds_nobody_up(asker: Asker, pattern: str) -> None:
    began = time.monotonic()
    said = asker.submit(QUESTION, json_schema=object_of({"type": "string", "pattern": pattern}), max_tokens=40)
    assert said.ended.wait(60) and time.monotonic() - began < 20
    assert said.error is None and said.text.startswith('{"it": "')
