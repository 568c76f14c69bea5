"""The schema that a model is held to, and what it wrote under it."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from vision.schema.shape import Choice, Leaf, Limits, Node, Record

_LAST_NUMBER = re.compile(r"[-+.\deE]+$")
# Of what models' servers are known to hold an answer to; others are looked at afterwards.
_HELD_FORMATS = frozenset({"date", "email", "uuid", "ipv4", "ipv6"})
_LOCAL_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|[+-]\d{2}:\d{2})?$"
# So that a text, or a table, that goes round in circles comes to an end.
_LONGEST_TEXT, _MOST_ITEMS = 1_000, 200


def held_schema(node: Node) -> dict[str, Any]:
    """The same shape with everything inlined, every property there, and null wherever a value may not be found.

    So a model need not make up what the pages do not hold.
    """
    if isinstance(node, Leaf):
        return _leaf(node)
    if isinstance(node, Choice):
        options = [held_schema(option) for option in node.options]
        return {"anyOf": [*options, *([{"type": "null"}] if node.nullable else [])]}
    if isinstance(node, Record):
        made: dict[str, Any] = {
            "type": "object",
            "properties": {name: held_schema(value) for name, value in node.properties},
            "required": [name for name, _ in node.properties],
            "additionalProperties": False,
        }
    else:
        most = _MOST_ITEMS if node.max_items is None else min(node.max_items, _MOST_ITEMS)
        made = {"type": "array", "items": held_schema(node.item), "maxItems": most}
    return {"anyOf": [made, {"type": "null"}]} if node.nullable else made


def _leaf(leaf: Leaf) -> dict[str, Any]:
    if leaf.enum is not None:
        return {"enum": [*(value for value in leaf.enum if value is not None), None]}
    kinds = sorted(leaf.kinds - {"null"} - ({"integer"} if "number" in leaf.kinds else frozenset()))
    if len(kinds) == 1:
        return {"type": [kinds[0], "null"], **_bounds(kinds[0], leaf)}
    return {"anyOf": [*({"type": kind, **_bounds(kind, leaf)} for kind in kinds), {"type": "null"}]}


def _bounds(kind: str, leaf: Leaf) -> dict[str, Any]:
    limits: Limits = leaf.limits
    if kind in ("number", "integer"):
        given = {
            "minimum": limits.minimum,
            "maximum": limits.maximum,
            "exclusiveMinimum": limits.exclusive_minimum,
            "exclusiveMaximum": limits.exclusive_maximum,
            "multipleOf": limits.multiple_of,
        }
        return {name: value for name, value in given.items() if value is not None}
    if kind != "string":
        return {}
    bounds: dict[str, Any] = {"minLength": limits.min_length} if limits.min_length else {}
    if leaf.format in _HELD_FORMATS:
        return {**bounds, "format": leaf.format}
    patterns = [*leaf.patterns, *([_LOCAL_TIME] if leaf.format == "date-time" else [])]
    if patterns:
        bounds["pattern"] = patterns[0]
    return {**bounds, "maxLength": _LONGEST_TEXT if limits.max_length is None else limits.max_length}


def said_values(text: str) -> Any:
    """The JSON that a model wrote, without the last value where it was cut off. Raises ValueError for no JSON."""
    text = text.strip()
    try:
        return from_json(text)
    except ValueError:
        # Of a number that was cut off nobody knows the rest.
        return from_json(_LAST_NUMBER.sub("", text), allow_partial=True)
