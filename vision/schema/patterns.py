"""Regular expressions of strangers, in linear time: Rust's `regex` as pydantic carries it, never Python's own `re`."""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from vision.errors import InvalidArgument

_MOST_CHARACTERS = 2_000
_KEPT = 256


@lru_cache(_KEPT)
def _compiled(pattern: str) -> SchemaValidator:
    """Raises SchemaError for one that is broken, larger than 10 MiB compiled, or needs more than linear time."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def require_linear(pattern: str, where: str) -> None:
    """Raises InvalidArgument for a pattern that cannot be tried in linear time."""
    if len(pattern) > _MOST_CHARACTERS:
        raise InvalidArgument(
            f"{where}: the pattern has {len(pattern):,} characters, more than {_MOST_CHARACTERS:,}",
            "Give a shorter one, or none.",
        )
    try:
        _compiled(pattern)
    except SchemaError as e:
        reason = str(e).strip().splitlines()[-1].removeprefix("error: ").strip()
        raise InvalidArgument(
            f"{where}: this pattern cannot be used: {reason}",
            "Patterns may have no look-around and no back-references, and not be huge: leave it out, or simplify it.",
        ) from e


def matches(pattern: str, text: str) -> bool:
    """Whether it is found in the text, as JSON Schema means it: anywhere, unless it says ^ and $."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True
