"""Whether data is valid under a schema's tree, and what in it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vision.schema.shape import Choice, Leaf, Node, Record, pointer
from vision.schema.values import misfit

NOT_NULL = "the schema wants a value here"


def complaints(node: Node, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(JSON Pointer, what is wrong there)."""
    if isinstance(node, Leaf):
        wrong = misfit(node, value)
        if wrong is not None:
            yield path, NOT_NULL if value is None else wrong
    elif value is None:
        if not node.nullable:
            yield path, NOT_NULL
    elif isinstance(node, Choice):
        if not any(not list(complaints(option, value, path)) for option in node.options):
            yield path, "it fits none of the alternatives"
    elif isinstance(node, Record):
        if not isinstance(value, dict):
            yield path, "it is no object"
            return
        for name, inner in node.properties:
            yield from complaints(inner, value.get(name), pointer(path, name))
    else:
        if not isinstance(value, list):
            yield path, "it is no array"
            return
        if len(value) < node.min_items:
            yield path, f"the schema wants at least {node.min_items}, and {len(value)} were found"
        if node.max_items is not None and len(value) > node.max_items:
            yield path, f"the schema allows at most {node.max_items}, and {len(value)} were found"
        if node.unique and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            yield path, "the schema wants each once, and some are there several times"
        for place, item in enumerate(value):
            yield from complaints(node.item, item, pointer(path, place))
