"""Dates as people write them, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, time

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), 1)
    for name in names.split()
}  # fmt: skip
_NAME = "|".join(sorted(_MONTHS, key=len, reverse=True))
_EDGE, _END = r"(?<![\w./-])", r"(?![\w/-]|\.\d)"
_YEAR_FIRST = re.compile(rf"{_EDGE}(\d{{4}})\s?(?:[-/.]|年)\s?(\d{{1,2}})\s?(?:[-/.]|月)\s?(\d{{1,2}})日?(?![\d/-])")
_NUMBERS = re.compile(rf"{_EDGE}(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_END}")
_MONTH_FIRST = re.compile(rf"\b({_NAME})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})\b", re.IGNORECASE)
_DAY_FIRST = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?[\s-](?:of\s+)?({_NAME})\.?,?[\s-](\d{{4}})\b", re.IGNORECASE
)
_TIME = re.compile(r"(?<![\d:.])(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]\.?m\b\.?)?", re.IGNORECASE)
# Two digits of a year, as POSIX reads them.
_CENTURY_TURNS = 69


def dates_in(text: str, day_first: bool | None) -> list[tuple[str, set[date]]]:
    """Each date in the text as written, and what it may mean: two days where nobody can tell day from month."""
    found: dict[tuple[int, int], tuple[str, set[date]]] = {}
    for start, end, days in (*_named(text), *_numbered(text, day_first)):
        if days and not any(a < end and start < b for a, b in found):
            found[start, end] = (text[start:end], days)
    return [found[place] for place in sorted(found)]


def day_comes_first(texts: Iterable[str]) -> bool | None:
    """Whether dates such as 10/11/2019 begin with the day here, as those tell that can be read in one way only."""
    votes: set[bool] = set()
    for text in texts:
        for match in _NUMBERS.finditer(text):
            first, second = int(match[1]), int(match[3])
            if match[2] != "." and (first > 12) != (second > 12):
                votes.add(first > 12)
    return votes.pop() if len(votes) == 1 else None


def times_in(text: str) -> list[time]:
    found: list[time] = []
    for match in _TIME.finditer(text):
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        half = (match[4] or "").lower()[:1]
        if half and 1 <= hour <= 12:
            hour = hour % 12 + (12 if half == "p" else 0)
        if hour < 24 and minute < 60 and second < 60:
            found.append(time(hour, minute, second))
    return found


def _named(text: str) -> Iterator[tuple[int, int, set[date]]]:
    for match in _MONTH_FIRST.finditer(text):
        yield (*match.span(), _days((int(match[3]), _MONTHS[match[1].lower()], int(match[2]))))
    for match in _DAY_FIRST.finditer(text):
        yield (*match.span(), _days((int(match[3]), _MONTHS[match[2].lower()], int(match[1]))))


def _numbered(text: str, day_first: bool | None) -> Iterator[tuple[int, int, set[date]]]:
    for match in _YEAR_FIRST.finditer(text):
        yield (*match.span(), _days((int(match[1]), int(match[2]), int(match[3]))))
    for match in _NUMBERS.finditer(text):
        one, other, year = int(match[1]), int(match[3]), int(match[4])
        if len(match[4]) == 2:
            year += 1900 if year >= _CENTURY_TURNS else 2000
        by_day, by_month = (year, other, one), (year, one, other)
        # With points the day comes first wherever dates are written so.
        first = True if match[2] == "." else day_first
        yield (*match.span(), _days(*{None: (by_day, by_month), True: (by_day,), False: (by_month,)}[first]))


def _days(*given: tuple[int, int, int]) -> set[date]:
    days: set[date] = set()
    for year, month, day in given:
        try:
            days.add(date(year, month, day))
        except ValueError:  # no such day: it was meant in another way, or is no date
            continue
    return days
