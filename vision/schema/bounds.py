"""How large a schema may be, looked at before anything else is done with it, without recursion."""

from __future__ import annotations

from typing import Any

from vision.errors import InvalidArgument, LimitExceeded

_MOST_CHARACTERS = 100_000
_MOST_PARTS = 10_000
_DEEPEST = 60
_LARGE = "Ask for fewer values at a time, or without what does not describe them."


def require_bounded(schema: Any) -> None:
    """Raises LimitExceeded for a schema that is too long, too deep or has too many parts; InvalidArgument for what is
    not JSON.
    """
    todo: list[tuple[Any, int]] = [(schema, 0)]
    characters = parts = 0
    while todo:
        value, depth = todo.pop()
        parts += 1
        if depth > _DEEPEST:
            raise LimitExceeded(f"the schema is nested deeper than {_DEEPEST} levels", "Give one that is flatter.")
        if isinstance(value, dict):
            characters += sum(len(key) for key in value if isinstance(key, str))
            if not all(isinstance(key, str) for key in value):
                raise InvalidArgument("the schema is not JSON: a name is no text", "Send the schema as JSON.")
            todo += ((part, depth + 1) for part in value.values())
        elif isinstance(value, list | tuple):
            todo += ((part, depth + 1) for part in value)
        elif isinstance(value, str):
            characters += len(value)
        elif not isinstance(value, bool | int | float | None):
            raise InvalidArgument("the schema is not JSON", "Send the schema as JSON.")
        if characters > _MOST_CHARACTERS:
            raise LimitExceeded(f"the schema is longer than {_MOST_CHARACTERS:,} characters", _LARGE)
        if parts + len(todo) > _MOST_PARTS:
            raise LimitExceeded(f"the schema has more than {_MOST_PARTS:,} parts", _LARGE)
