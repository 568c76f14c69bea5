"""What a text becomes under a schema's value: a number, a date, one of those named; or why it becomes none."""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from vision.schema.dates import dates_in, times_in
from vision.schema.numbers import numbers_in
from vision.schema.patterns import matches
from vision.schema.shape import Kind, Leaf

_TRUE = frozenset(["yes", "true", "y", "on", "x", "[x]", "(x)", "✓", "✔", "☑", "☒", "是", "有", "真", "对", "checked"])
_FALSE = frozenset(["no", "false", "n", "off", "[]", "()", "☐", "□", "否", "无", "無", "假", "unchecked"])
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s]+", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHOWN = 60


@dataclass(frozen=True)
class Misfit:
    """Why a text is not the value that is wanted."""

    reason: str


def value_from(leaf: Leaf, text: str, day_first: bool | None = None) -> Any:
    """The value, of the leaf's types and within its limits, or a Misfit. `day_first`: how 10/11/2019 is meant."""
    text = " ".join(text.split())
    shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
    if leaf.enum is not None:
        return _named(leaf, text, shown)
    tries: list[Any] = []
    for kind in _order(leaf, text):
        value = _of_kind(leaf, kind, text, day_first, shown)
        if not isinstance(value, Misfit) and (reason := misfit(leaf, value)) is not None:
            value = Misfit(f"{shown} was read, but {reason}")
        if not isinstance(value, Misfit):
            return value
        tries.append(value)
    return tries[0] if tries else Misfit(f"{shown} was read, but only null is allowed")


def _order(leaf: Leaf, text: str) -> list[Kind]:
    """A text that is all number is tried as one first, where a text would do too."""
    kinds: list[Kind] = ["boolean", "integer", "number", "string"]
    if "string" in leaf.kinds and not re.fullmatch(r"[-−+]?\d[\d.,]*", text):
        kinds = ["string"]
    return [kind for kind in kinds if kind in leaf.kinds]


def _of_kind(leaf: Leaf, kind: Kind, text: str, day_first: bool | None, shown: str) -> Any:
    if kind == "string":
        return _text(leaf, text, day_first, shown)
    if kind == "boolean":
        word = text.casefold().replace(" ", "").strip(".")
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        return Misfit(f"{shown} was read, which is neither yes nor no")
    found = numbers_in(text, whole=kind == "integer")
    if len(found) != 1:
        return Misfit(f"{shown} was read, which is no number" if not found else f"{shown} holds several numbers")
    if kind == "integer" and not isinstance(found[0], int):
        return Misfit(f"{shown} was read, which is no whole number")
    return found[0]


def _text(leaf: Leaf, text: str, day_first: bool | None, shown: str) -> Any:
    if leaf.format in ("date", "date-time"):
        return _date(leaf.format, text, day_first, shown)
    if leaf.format == "time":
        times = times_in(text)
        return times[0].isoformat() if len(times) == 1 else Misfit(f"{shown} was read, which is no time of day")
    search = {"email": _EMAIL, "uri": _URI}.get(leaf.format or "")
    if search is not None:
        found = search.findall(text)
        return found[0] if len(found) == 1 else Misfit(f"{shown} was read, which is no {leaf.format}")
    if leaf.patterns and not _matching(leaf, text):
        # "No. 3139" for four digits: the word that fits, where there is one.
        words = {word for word in text.split() if _matching(leaf, word)}
        if len(words) == 1:
            return words.pop()
    return text


def _matching(leaf: Leaf, text: str) -> bool:
    return all(matches(pattern, text) for pattern in leaf.patterns)


def _date(format_: str, text: str, day_first: bool | None, shown: str) -> Any:
    dates = dates_in(text, day_first)
    if len(dates) != 1:
        return Misfit(f"{shown} was read, which is no date" if not dates else f"{shown} holds several dates")
    ((_, days),) = dates
    if len(days) > 1:
        one, other = sorted(days)
        return Misfit(f"{shown} may be {one} or {other}")
    day = days.pop().isoformat()
    if format_ == "date":
        return day
    times = times_in(text)
    return f"{day}T{times[0].isoformat()}" if len(times) == 1 else Misfit(f"{shown} was read, which has no time of day")


def _named(leaf: Leaf, text: str, shown: str) -> Any:
    """The one value that the text is, or that alone stands in it as a word."""
    plain = folded(text)
    values = [value for value in leaf.enum or () if value is not None]
    same = [value for value in values if folded(_said(value)) == plain and plain]
    if not same:
        same = [value for value in values if (word := folded(_said(value))) and _holds(f" {plain} ", word)]
        same = [v for v in same if not any(v is not w and folded(_said(v)) in folded(_said(w)) for w in same)]
    if len(same) == 1:
        return same[0]
    return Misfit(f"{shown} was read, which is none of the values allowed")


def _holds(text: str, word: str) -> bool:
    return word in text if not word.isascii() else f" {word} " in text


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def folded(text: str) -> str:
    """For comparing: compatible signs as one, small letters, words parted by single blanks, no punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w%€$£¥#]+", " ", plain.replace("_", " ")).split())


def misfit(leaf: Leaf, value: Any) -> str | None:
    """Why a value is not valid under the leaf; None when it is."""
    if not _is_of(leaf.kinds, value):
        return f"it is not {' or '.join(sorted(leaf.kinds))}"
    if leaf.enum is not None:
        known = any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in leaf.enum)
        return None if known else "it is none of the values allowed"
    if isinstance(value, str):
        return _text_misfit(leaf, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_misfit(leaf, value)
    return None


def _is_of(kinds: frozenset[Kind], value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in kinds
    if isinstance(value, str):
        return "string" in kinds
    if isinstance(value, int | float):
        return "number" in kinds or ("integer" in kinds and math.isfinite(value) and value == int(value))
    return False


def _number_misfit(leaf: Leaf, value: float) -> str | None:
    limits = leaf.limits
    if limits.minimum is not None and value < limits.minimum:
        return f"it is below the minimum {limits.minimum:g}"
    if limits.maximum is not None and value > limits.maximum:
        return f"it is above the maximum {limits.maximum:g}"
    if limits.exclusive_minimum is not None and value <= limits.exclusive_minimum:
        return f"it is not above {limits.exclusive_minimum:g}"
    if limits.exclusive_maximum is not None and value >= limits.exclusive_maximum:
        return f"it is not below {limits.exclusive_maximum:g}"
    step = limits.multiple_of
    if step is not None and not math.isclose(value / step, round(value / step), rel_tol=1e-9, abs_tol=1e-9):
        return f"it is no multiple of {step:g}"
    return None


def _text_misfit(leaf: Leaf, value: str) -> str | None:
    limits = leaf.limits
    if len(value) < (limits.min_length or 0):
        return f"it is shorter than {limits.min_length} characters"
    if limits.max_length is not None and len(value) > limits.max_length:
        return f"it is longer than {limits.max_length} characters"
    if not _matching(leaf, value):
        return "it does not match the pattern"
    return None if _well_formed(leaf.format, value) else f"it is no {leaf.format}"


def _well_formed(format_: str | None, value: str) -> bool:
    """Formats that are not known here hold anything, as JSON Schema has it."""
    try:
        if format_ == "date":
            return bool(_DATE.fullmatch(value)) and bool(dates_in(value, None))
        if format_ == "email":
            return bool(_EMAIL.fullmatch(value))
        if format_ == "uri":
            return bool(_URI.fullmatch(value))
        if format_ == "uuid":
            return bool(UUID(value))
        if format_ in ("ipv4", "ipv6"):
            return ipaddress.ip_address(value).version == int(format_[-1])
    except ValueError:
        return False
    return True
