"""Several schemas that shall hold at once, as one: what a schema says together with its $ref and allOf."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vision.errors import InvalidArgument
from vision.schema.patterns import require_linear
from vision.schema.shape import Kind, Limits

KINDS: tuple[Kind, ...] = ("string", "number", "integer", "boolean", "null")
TYPES = frozenset((*KINDS, "object", "array"))
# What would change which values are valid, and is not carried out here.
_UNSUPPORTED = (
    "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties", "propertyNames",
    "contains", "minContains", "maxContains", "prefixItems", "minProperties", "maxProperties", "unevaluatedItems",
    "$dynamicRef", "$recursiveRef",
)  # fmt: skip
_HINT = "Mend the schema there."


@dataclass
class Merged:
    """All that holds at one place; `closed`: the only names allowed, None for any. `alternatives`: keyword, schemas."""

    kinds: frozenset[str] = TYPES
    enum: list[Any] | None = None
    format: str | None = None
    patterns: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    properties: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    closed: frozenset[str] | None = None
    forbidden: frozenset[str] = frozenset()
    items: Any = None
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    alternatives: tuple[str, list[Any]] | None = None
    title: str = ""
    description: str = ""


def merge(schemas: Sequence[dict[str, Any]], where: str) -> Merged:
    """Raises InvalidArgument for what contradicts itself, is no schema, or is not supported."""
    merged = Merged()
    for schema in schemas:
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise InvalidArgument(
                    f"{keyword} at {where or '/'} is not supported", "Describe the values themselves: leave it out."
                )
        if "$id" in schema and where:
            raise InvalidArgument(f"$id at {where} is not supported", "Leave it out: only the whole schema has one.")
        _types(merged, schema, where)
        _values(merged, schema, where)
        _inner(merged, schema, where)
        for name in ("title", "description"):
            if not getattr(merged, name) and isinstance(schema.get(name), str):
                setattr(merged, name, schema[name])
    _require_possible(merged, where)
    return merged


def names_values(enum: list[Any], where: str) -> None:
    """Raises InvalidArgument where a value that is named is an object or array."""
    if any(isinstance(value, dict | list) for value in enum):
        raise InvalidArgument(
            f"the values named at {where or '/'} are not all texts, numbers, true, false or null", _HINT
        )


def _get(schema: dict[str, Any], keyword: str, where: str, fits: Callable[[Any], bool], what: str) -> Any:
    value = schema.get(keyword)
    if keyword in schema and not fits(value):
        raise InvalidArgument(f"{keyword} at {where or '/'} is not {what}", _HINT)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _types(merged: Merged, schema: dict[str, Any], where: str) -> None:
    given = schema.get("type")
    if "type" in schema:
        types = [given] if isinstance(given, str) else given
        if not isinstance(types, list) or not types or not all(isinstance(t, str) and t in TYPES for t in types):
            raise InvalidArgument(f"type at {where or '/'} names no type of JSON Schema", _HINT)
        wider = {*types, "integer"} if "number" in types else set(types)
        merged.kinds &= wider
    named = _get(schema, "enum", where, lambda v: isinstance(v, list) and bool(v), "a list of values")
    for values in (named, [schema["const"]] if "const" in schema else None):
        if values is not None:
            known = merged.enum
            merged.enum = list(values) if known is None else [v for v in known if _among(v, values)]


def _among(value: Any, values: list[Any]) -> bool:
    """Equality of JSON: 1 is 1.0, and not true."""
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)


def _values(merged: Merged, schema: dict[str, Any], where: str) -> None:
    pattern = _get(schema, "pattern", where, lambda v: isinstance(v, str), "a text")
    if pattern is not None and pattern not in merged.patterns:
        require_linear(pattern, f"pattern at {where or '/'}")
        merged.patterns.append(pattern)
    format_ = _get(schema, "format", where, lambda v: isinstance(v, str), "a text")
    if format_ is not None:
        if merged.format not in (None, format_):
            raise InvalidArgument(f"two formats at {where or '/'}: {merged.format}, {format_}", _HINT)
        merged.format = format_
    now = merged.limits
    number: dict[str, Any] = {
        name: _get(schema, name, where, _is_number, "a number")
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    }
    multiple = _get(schema, "multipleOf", where, lambda v: _is_number(v) and v > 0, "a number above zero")
    length = {name: _get(schema, name, where, _is_count, "a count") for name in ("minLength", "maxLength")}
    if multiple is not None and now.multiple_of not in (None, multiple):
        raise InvalidArgument(f"two multipleOf at {where or '/'} are not supported", _HINT)
    merged.limits = Limits(
        minimum=_most(now.minimum, number["minimum"]),
        maximum=_least(now.maximum, number["maximum"]),
        exclusive_minimum=_most(now.exclusive_minimum, number["exclusiveMinimum"]),
        exclusive_maximum=_least(now.exclusive_maximum, number["exclusiveMaximum"]),
        multiple_of=now.multiple_of if multiple is None else multiple,
        min_length=_most(now.min_length, length["minLength"]),
        max_length=_least(now.max_length, length["maxLength"]),
    )


def _inner(merged: Merged, schema: dict[str, Any], where: str) -> None:
    properties = _get(schema, "properties", where, lambda v: isinstance(v, dict), "an object") or {}
    for name, value in properties.items():
        merged.properties[name] = (*merged.properties.get(name, ()), value)
    names = _get(schema, "required", where, _is_names, "a list of names")
    merged.required.update(dict.fromkeys(names or ()))
    if schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False:
        merged.closed = frozenset(properties) if merged.closed is None else merged.closed & frozenset(properties)
    if "items" in schema:
        merged.items = schema["items"] if merged.items is None else {"allOf": [merged.items, schema["items"]]}
    most = _get(schema, "maxItems", where, _is_count, "a count")
    merged.min_items = max(merged.min_items, int(_get(schema, "minItems", where, _is_count, "a count") or 0))
    merged.max_items = _least(merged.max_items, None if most is None else int(most))
    merged.unique = merged.unique or schema.get("uniqueItems") is True
    for keyword in ("anyOf", "oneOf"):
        options = _get(schema, keyword, where, lambda v: isinstance(v, list) and bool(v), "a list of schemas")
        if options is not None:
            if merged.alternatives is not None:
                raise InvalidArgument(f"two sets of alternatives at {where or '/'} are not supported", _HINT)
            merged.alternatives = (keyword, options)


def _require_possible(merged: Merged, where: str) -> None:
    limits = merged.limits
    low = _most(limits.minimum, limits.exclusive_minimum)
    high = _least(limits.maximum, limits.exclusive_maximum)
    strict = (low is not None and low in (limits.exclusive_minimum,)) or high in (limits.exclusive_maximum,)
    why = None
    if not merged.kinds:
        why = "no type is left"
    elif merged.enum is not None and not merged.enum:
        why = "no value is left of those it names"
    elif merged.kinds <= {"number", "integer"} and low is not None and high is not None:
        why = _no_number(low, high, strict, merged)
    elif merged.kinds == {"string"} and (limits.min_length or 0) > (limits.max_length or math.inf):
        why = f"minLength {limits.min_length} is more than maxLength {limits.max_length}"
    elif merged.kinds == {"string"} and limits.max_length == 0 and (limits.min_length or 0) > 0:
        why = "maxLength is 0"
    elif merged.kinds == {"array"} and merged.max_items is not None and merged.min_items > merged.max_items:
        why = f"minItems {merged.min_items} is more than maxItems {merged.max_items}"
    if why is not None:
        raise InvalidArgument(f"no value can meet the schema at {where or '/'}: {why}", _HINT)


def _no_number(low: float, high: float, strict: bool, merged: Merged) -> str | None:
    if low > high or (low == high and strict):
        return f"nothing lies between {low:g} and {high:g}"
    step = merged.limits.multiple_of or (1 if "number" not in merged.kinds else None)
    if step is not None and math.floor(high / step) < math.ceil(low / step):
        return f"no multiple of {step:g} lies between {low:g} and {high:g}"
    return None


def _most(one: Any, other: Any) -> Any:
    return max((value for value in (one, other) if value is not None), default=None)


def _least(one: Any, other: Any) -> Any:
    return min((value for value in (one, other) if value is not None), default=None)
