"""Looking for a value on the pages: where it stands that a model has told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import Any

from vision.extraction.layout import joined
from vision.schema.dates import dates_in
from vision.schema.numbers import numbers_in
from vision.schema.shape import Leaf
from vision.schema.values import folded
from vision.types import Box, TextLine

# A value may go over so many lines, such as an address.
_MOST_LINES = 6
_LEAST_FUZZY, _ALIKE = 6, 0.88
_LONGEST_FUZZY = 200


@dataclass(frozen=True)
class Place:
    """Where a value stands, and how surely it is that value."""

    text: str
    page: int
    box: Box
    confidence: float


def look_up(leaf: Leaf, value: Any, lines: Sequence[TextLine], day_first: bool | None) -> Place | None:
    """The line that holds the value, with the least beside it; None where none does, and for true and false."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _best(_with_number(float(value), lines), str(value))
    if leaf.format in ("date", "date-time") and leaf.enum is None:
        return _best(_with_date(value[:10], lines, day_first), value)
    wanted = folded(value)
    if not wanted:
        return None
    exact = _best(
        (Place(line.text, line.page, line.box, line.confidence) for line in lines if _in(wanted, line)), value
    )
    return exact or _over_lines(wanted, lines) or _nearly(wanted, lines)


def _best(places: Iterator[Place], value: str) -> Place | None:
    return min(places, key=lambda place: (len(place.text) - len(value), -place.confidence), default=None)


def _with_number(value: float, lines: Sequence[TextLine]) -> Iterator[Place]:
    for line in lines:
        if value in (*numbers_in(line.text), *(numbers_in(line.text, whole=True) if value == int(value) else ())):
            yield Place(line.text, line.page, line.box, line.confidence)


def _with_date(value: str, lines: Sequence[TextLine], day_first: bool | None) -> Iterator[Place]:
    try:
        wanted = date.fromisoformat(value)
    except ValueError:
        return
    for line in lines:
        if any(wanted in days for _, days in dates_in(line.text, day_first)):
            yield Place(line.text, line.page, line.box, line.confidence)


def _in(wanted: str, line: TextLine) -> bool:
    text = folded(line.text)
    return f" {wanted} " in f" {text} " if wanted.isascii() else wanted in text


def _over_lines(wanted: str, lines: Sequence[TextLine]) -> Place | None:
    """A value that goes on from line to line, in the order of reading."""
    for start, line in enumerate(lines):
        first = folded(line.text)
        if not first or not (wanted.startswith(first) or wanted.split()[0] in first.split()):
            continue
        run = [line]
        for further in lines[start + 1 : start + _MOST_LINES]:
            if further.page != line.page:
                break
            run.append(further)
            if f" {wanted} " in f" {folded(' '.join(part.text for part in run))} ":
                text, boxes = " ".join(part.text for part in run), [part.box for part in run]
                return Place(text, line.page, joined(boxes), min(part.confidence for part in run))
    return None


def _nearly(wanted: str, lines: Sequence[TextLine]) -> Place | None:
    """A line that the recogniser may have misread."""
    if not _LEAST_FUZZY <= len(wanted) <= _LONGEST_FUZZY or wanted.replace(" ", "").isdecimal():
        return None
    found: list[tuple[float, TextLine]] = []
    for line in lines:
        text = folded(line.text)
        if abs(len(text) - len(wanted)) <= max(2, len(wanted) // 8):
            found.append((SequenceMatcher(None, wanted, text).ratio(), line))
    ratio, line = max(found, key=lambda entry: entry[0], default=(0.0, None))
    if line is None or ratio < _ALIKE:
        return None
    return Place(line.text, line.page, line.box, round(ratio * line.confidence, 3))
