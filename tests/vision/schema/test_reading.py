"""What a schema asks for; and one clear error, at once, for one that is hostile or cannot be met."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vision.errors import InvalidArgument, LimitExceeded, VisionError
from vision.schema.holding import held_schema, said_values
from vision.schema.reading import read_schema
from vision.schema.shape import Choice, Leaf, Record, Rows
from vision.schema.validity import complaints


def of(schema: Any, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, **others}


def nested(levels: int) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    inner = whole
    for _ in range(levels):
        inner["properties"] = {"a": {}}
        inner = inner["properties"]["a"]
    return whole


def fanning(levels: int, keyword: str) -> dict[str, Any]:
    """A few lines that write out to 2 ** levels."""
    both = [lambda to: {"properties": {"x": to, "y": to}}, lambda to: {keyword: [to, to]}][keyword != "properties"]
    steps = {f"d{i}": both({"$ref": f"#/$defs/d{i + 1}"}) for i in range(levels)}
    return {"$defs": steps | {f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def read(schema: Any) -> Any:
    node = read_schema(schema)
    assert isinstance(node, Record)
    return dict(node.properties)


HOSTILE = {
    "deep": (nested(10_000), "nested deeper"),
    "deep text": ('{"properties":{"a":' * 10_000 + "{}" + "}}" * 10_000, "nested too deeply"),
    "a megabyte in one": (of({"type": "string", "description": "x" * 1_000_000}), "longer than"),
    "a megabyte in parts": (
        {"properties": {f"p{i}": {"description": "x" * 100} for i in range(10_000)}},
        "than",
    ),
    "many parts": ({"properties": {f"p{i}": True for i in range(20_000)}}, "than"),
    "many values": ({"properties": {f"p{i}": {} for i in range(1_000)}}, "more than 500 values"),
    "fans out": (fanning(20, "properties"), "levels deep"),
    "fans out in place": (fanning(30, "allOf"), "too many parts"),
    "fans out in alternatives": (fanning(30, "anyOf"), "levels deep"),
    "recursive": (of({"$ref": "#"}), "recursive"),
    "recursive and nullable": (of({"anyOf": [{"$ref": "#"}, {"type": "null"}]}), "recursive"),
    "refers to itself": ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "recursive"),
    "elsewhere": (of({"$ref": "https://127.0.0.1:9/s.json"}), "leads out"),
    "a file": (of({"$ref": "file:///etc/passwd"}), "leads out"),
    "dynamic": (of({"$dynamicRef": "#a"}), "$dynamicRef"),
    "looks around": (of({"type": "string", "pattern": "^(?=(a+)+b)"}), "look-around"),
    "looks back": (of({"type": "string", "pattern": r"(a+)\1+$"}), "backreferences"),
    "huge when compiled": (of({"type": "string", "pattern": "((a{100}){100}){100}"}), "size limit"),
    "brackets without end": (of({"type": "string", "pattern": "(" * 1_000}), "pattern"),
    "a long pattern": (of({"type": "string", "pattern": "a" * 100_000}), "longer than"),
}
UNMET = {
    "two types": of({"allOf": [{"type": "string"}, {"type": "integer"}]}),
    "two types by reference": of({"$ref": "#/$defs/s", "type": "integer"}, **{"$defs": {"s": {"type": "string"}}}),
    "false": of(False, required=["a"]),
    "not allowed": of({}, required=["b"], additionalProperties=False),
    "range": of({"type": "number", "minimum": 3, "maximum": 1}),
    "open range": of({"type": "number", "exclusiveMinimum": 3, "maximum": 3}),
    "no whole number": of({"type": "integer", "minimum": 0.2, "maximum": 0.8}),
    "no multiple": of({"type": "number", "multipleOf": 7, "minimum": 8, "maximum": 13}),
    "length": of({"type": "string", "minLength": 3, "maxLength": 2}),
    "items": of({"type": "array", "items": {}, "minItems": 3, "maxItems": 2}),
    "unique": of({"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 3, "uniqueItems": True}),
    "named and typed": of({"type": "integer", "enum": ["x", "y"]}),
    "named twice": of({"allOf": [{"enum": ["x"]}, {"enum": ["y"]}]}),
    "constant and pattern": of({"const": "x", "pattern": "^y$"}),
    "no alternative": of({"type": "string", "anyOf": [{"type": "integer"}, {"type": "null"}]}),
}
NO_SCHEMA = {
    "no object": "[1]", "no JSON": "{", "type": of({"type": "text"}), "type of another": of({"type": 5}),
    "properties": {"properties": []}, "pattern": of({"type": "string", "pattern": 5}), "inside": of("string"),
    "required": of({}, required="a"), "minimum": of({"minimum": "3"}), "not a number": of({"minimum": float("nan")}),
    "no name": of({"$ref": "#/$defs/x"}), "enum": of({"enum": []}), "nothing named": {"type": "object"},
    "not": of({"not": {"type": "string"}}), "if": of({"if": {}}), "objects named": of({"enum": [{}]}),
    "two formats": of({"allOf": [{"format": "date"}, {"format": "email"}]}),
}  # fmt: skip


def refused(schema: Any) -> VisionError:
    began = time.monotonic()
    with pytest.raises((InvalidArgument, LimitExceeded)) as error:
        read_schema(schema)
    assert time.monotonic() - began < 2 and error.value.hint and len(error.value.message) < 500
    return error.value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_gets_one_error_at_once(name: str) -> None:
    schema, says = HOSTILE[name]
    assert says in refused(schema).message


@pytest.mark.parametrize("name", UNMET)
def test_a_schema_that_nothing_can_meet_is_told_so_with_the_place(name: str) -> None:
    error = refused(UNMET[name])
    assert error.message.startswith("no value can meet the schema at /")


@pytest.mark.parametrize("name", NO_SCHEMA)
def test_what_is_no_schema_or_is_not_supported_is_refused(name: str) -> None:
    assert isinstance(refused(NO_SCHEMA[name]), InvalidArgument)


def test_nested_objects_arrays_and_references_are_written_out() -> None:
    money = {"type": "number", "minimum": 0, "description": "in francs"}
    line = {"type": "object", "properties": {"what": {"type": "string"}, "price": {"$ref": "#/$defs/money"}}}
    whole = {"properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}, "to": line}}
    found = read({**whole, "$defs": {"money": money, "line": line}})
    assert isinstance(found["lines"], Rows) and isinstance(found["lines"].item, Record)
    price = dict(found["lines"].item.properties)["price"]
    assert isinstance(price, Leaf) and price.kinds == {"number", "integer"} and price.limits.minimum == 0
    assert (price.words.name, price.words.description) == ("price", "in francs")
    assert isinstance(found["to"], Record)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/s"}]},
    ],
    ids=str,
)
def test_all_ways_to_say_nullable_are_one(schema: dict[str, Any]) -> None:
    found = read(of(schema, **{"$defs": {"s": {"type": "string"}}}))["a"]
    assert isinstance(found, Leaf) and found.nullable and found.kinds == {"string", "null"}


def test_alternatives_of_plain_types_are_one_value_and_of_objects_a_choice() -> None:
    plain = read(of({"anyOf": [{"type": "string"}, {"type": "integer"}]}))["a"]
    assert isinstance(plain, Leaf) and plain.kinds == {"string", "integer"}
    named = read(of({"oneOf": [{"const": "x"}, {"const": "y", "title": "why"}]}))["a"]
    assert isinstance(named, Leaf) and named.enum == ("x", "y")
    chosen = read(of({"anyOf": [{"properties": {"b": {}}}, {"properties": {"c": {}}}, {"type": "null"}]}))["a"]
    assert isinstance(chosen, Choice) and len(chosen.options) == 2 and chosen.nullable


def test_schemas_that_shall_hold_at_once_are_one() -> None:
    first = {"properties": {"b": {"type": "number", "minimum": 2}}, "required": ["b"]}
    found = read(of({"allOf": [first, {"properties": {"b": {"maximum": 9}, "c": {}}}]}))["a"]
    b = dict(found.properties)["b"]
    assert (b.limits.minimum, b.limits.maximum, found.required) == (2, 9, {"b"})


def test_a_schema_may_come_as_text() -> None:
    assert read(json.dumps(of({"type": "boolean"})))["a"].kinds == {"boolean"}


def test_a_model_may_say_null_for_what_the_page_does_not_hold() -> None:
    schema = of({"type": "string", "format": "date"}, required=["a"])
    schema["properties"] |= {"b": {"enum": [1, 2]}, "c": {"type": "array", "items": {"type": "integer"}, "minItems": 2}}
    held = Draft202012Validator(held_schema(read_schema(schema)))
    held.validate({"a": None, "b": None, "c": []})
    held.validate({"a": "2024-10-28", "b": 2, "c": [None, 5]})
    for wrong in ({}, {"a": 5, "b": None, "c": []}, {"a": None, "b": 3, "c": []}, {"a": None, "b": 1, "c": [], "d": 1}):
        assert not held.is_valid(wrong), wrong


def test_what_was_cut_off_is_left_out_of_what_a_model_said() -> None:
    assert said_values('{"a": "2024-1') == {} and said_values('{"a": 1, "b": [{"c": 2}, {"c": 3') == {
        "a": 1,
        "b": [{"c": 2}, {}],
    }
    with pytest.raises(ValueError):
        said_values("It is seven.")


def test_data_is_told_where_it_is_not_valid() -> None:
    node = read_schema(of({"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True}))
    assert list(complaints(node, {"a": [1, 2, 3]})) == []
    wrong = dict(complaints(node, {"a": [1, None]}))
    assert wrong.keys() == {"/a", "/a/1"} and "at least 3" in wrong["/a"]
    assert "several times" in dict(complaints(node, {"a": [1, 1, 2]}))["/a"]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "properties", "a", "items", "anyOf", "allOf", "enum", "$ref", "required", "minimum", "#", "string", "pattern"]), inner, max_size=4), max_leaves=20)  # fmt: skip # noqa: E501


@given(JSON)
def test_whatever_comes_is_read_or_refused(schema: Any) -> None:
    try:
        read_schema(schema)
    except VisionError as error:
        assert error.hint
