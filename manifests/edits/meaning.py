"""What an edit has to come to, as plain values: edits of text are held against it."""

from __future__ import annotations

from typing import Any

from manifests.edits.text import WrongType

Path = tuple[str, ...]


def found(values: Any, path: Path) -> Any:
    """What stands at a path; None where nothing does. Raises WrongType where a table on the way is something else."""
    for index, key in enumerate(path):
        if not isinstance(values, dict):
            raise WrongType(f'"{".".join(path[:index])}" is {_kind(values)}, not a table of servers')
        if key not in values:
            return None
        values = values[key]
    return values


def with_value(values: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    if not isinstance(values, dict):
        raise WrongType(f'"{path[0]}" would stand in {_kind(values)}')
    return {**values, path[0]: with_value(values.get(path[0], {}), path[1:], value)}


def without(values: Any, path: Path) -> Any:
    if not isinstance(values, dict) or path[0] not in values:
        return values
    if len(path) == 1:
        return {key: value for key, value in values.items() if key != path[0]}
    return {**values, path[0]: without(values[path[0]], path[1:])}


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")
