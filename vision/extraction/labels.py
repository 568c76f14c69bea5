"""Labels on a page and the values that may belong to them, of which a schema's properties choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vision.extraction.layout import Page, next_below, next_right, row_right
from vision.types import Box, TextLine

_COLON = re.compile(r"(?<!\d)[:：](?!//)|(?<=\d)[:：](?!\d|//)")
_BLANK = re.compile(r"[\s_.…·:：\-–—]*")
_VALUE_LIKE = re.compile(r"\d|[$€£¥￥₹+−(#-]\s?\d|(?:[A-Z]{3}|No\.?|Nr\.?)\s?\d")
_SIGN_DIGIT = re.compile(r"(?<=[\u3400-\u9fff])(?=\d)")
_MOST_WORDS = 8
# As boxes of forms are numbered.
_NUMBERED = re.compile(r"\s*(?:\d{1,2}[a-z]?|[a-z])[.)]?\s+[A-Za-z]{2}")
_ONE_SIGN = re.compile(r"[\u3400-\u9fff]")
_ANSWERS = frozenset("男女是否有无")
_LONGEST_AFTER = 4
_FAR = 10.0
# How much a value is believed to be its label's, by where it stands.
_SURE = {"colon": 1.0, "prefix": 0.95, "right": 0.95, "below": 0.85}


@dataclass(frozen=True)
class Labelled:
    """A label, and a value that stands where its value would. `place`: which label it is on its page."""

    label: str
    value: str
    page: int
    place: tuple[int, int]
    label_box: Box
    box: Box
    confidence: float
    how: Literal["colon", "prefix", "right", "below"]

    @property
    def sure(self) -> float:
        return _SURE[self.how]


def labelled(page: Page, names: Callable[[str], bool]) -> Iterator[Labelled]:
    """All that may be a label with its value. `names`: whether a text is surely some property's label."""
    for number, line in enumerate(page.lines):
        text = line.text.strip()
        if not text or len(text) > 400:
            continue
        colons = list(_COLON.finditer(text))
        if colons:
            yield from _after_colons(page, number, line, text, names)
        else:
            yield from _after_words(number, line, text)
            if len(text.split()) <= _MOST_WORDS:
                yield from _beside(page, number, line, text, names, colon=False)


def _after_colons(
    page: Page, number: int, line: TextLine, text: str, names: Callable[[str], bool]
) -> Iterator[Labelled]:
    """`label: value`, and several of them in one line."""
    parts = _COLON.split(text)
    label = parts[0]
    for step, rest in enumerate(parts[1:], 1):
        value, following = rest, ""
        if step < len(parts) - 1:
            value, following = _before_label(rest, names)
        if len(label.split()) <= _MOST_WORDS:
            if _BLANK.fullmatch(value):
                if step == len(parts) - 1:
                    yield from _beside(page, number, line, label, names, colon=True)
            else:
                yield _made(line, number, step, label, value, line, "colon")
        label = following


def _before_label(text: str, names: Callable[[str], bool]) -> tuple[str, str]:
    """(value, the next label) of what stands between two colons."""
    words = text.split()
    for count in range(min(4, len(words)), 0, -1):
        if names(" ".join(words[-count:])):
            return " ".join(words[:-count]), " ".join(words[-count:])
    count = 0
    while count < min(3, len(words) - 1) and _opens_label(words[-count - 1]):
        count += 1
    count = max(1, count)
    return " ".join(words[:-count]), " ".join(words[-count:])


def _opens_label(word: str) -> bool:
    return word[:1].isupper() and not re.search(r"\d|,$", word)


def _after_words(number: int, line: TextLine, text: str) -> Iterator[Labelled]:
    """`label value` without a colon, where the value begins like a number, an amount or a code."""
    words = _SIGN_DIGIT.sub(" ", text).split()
    for count in range(1, min(_MOST_WORDS, len(words) - 1) + 1):
        rest = " ".join(words[count:])
        if len(words) - count > _LONGEST_AFTER:
            continue  # a sentence
        if _VALUE_LIKE.match(rest) and not _VALUE_LIKE.match(words[count - 1]):
            yield _made(line, number, count, " ".join(words[:count]), rest, line, "prefix")


def _beside(
    page: Page, number: int, line: TextLine, label: str, names: Callable[[str], bool], *, colon: bool
) -> Iterator[Labelled]:
    """The values right of a label and below it, where neither looks like a label itself."""
    boxed = _in_its_box(page, line) if _NUMBERED.match(label) else None
    if boxed is not None:
        yield _made(line, number, 0, label, boxed.text, boxed, "below")
        return
    right, below = next_right(page, line.box), next_below(page, line.box)
    if right is not None and (_is_label(right, label, names) or not (colon or _is_value(page, line, right))):
        right = None
    if below is not None and (_is_label(below, label, names) or _opens_column(below, page)):
        below = None
    if right is not None and below is not None and not colon and _is_far(line, right) and _has_digits(below):
        return  # boxes of a form: nobody can tell which is meant
    if right is not None:
        yield _made(line, number, 0, label, right.text, right, "right")
    if below is not None and not (right is not None and colon):
        yield _made(line, number, 0, label, below.text, below, "below")


def _in_its_box(page: Page, label: TextLine) -> TextLine | None:
    """The only number or code in the box of a form: right of its label and below it, up to the next labels."""
    tall = label.box[3] - label.box[1]
    x, y = label.box[0] - tall, label.box[1] - 0.3 * tall
    values = [line for line in page.lines if _VALUE_LIKE.match(line.text) and not _NUMBERED.match(line.text)]
    others = [line for line in page.lines if line is not label and not any(line is value for value in values)]
    right = min(
        (o.box[0] for o in others if o.box[0] > label.box[2] and abs(o.box[1] - label.box[1]) <= 1.2 * tall),
        default=page.width,
    )
    bottom = min(
        (o.box[1] for o in others if o.box[1] >= label.box[3] - 0.3 * tall and o.box[0] < right and o.box[2] > x),
        default=float("inf"),
    )
    inside = [
        line for line in values
        if x <= line.box[0] < right and y <= line.box[1] and (line.box[1] + line.box[3]) / 2 < bottom
    ]  # fmt: skip
    return inside[0] if len(inside) == 1 else None


def _is_far(label: TextLine, right: TextLine) -> bool:
    return right.box[0] - label.box[2] > _FAR * (label.box[3] - label.box[1])


def _is_label(line: TextLine, label: str, names: Callable[[str], bool]) -> bool:
    """Whether what stands beside a label is one itself, or a unit."""
    text = line.text.strip()
    if _NUMBERED.match(label) and (_NUMBERED.match(text) or not _VALUE_LIKE.match(text)):
        return True
    if _ONE_SIGN.fullmatch(text) and text not in _ANSWERS:
        return True
    return bool(_COLON.search(text[-1:])) or names(text)


def _is_value(page: Page, label: TextLine, right: TextLine) -> bool:
    """Whether what is right of a label is its value and not the next head of a table."""
    if _VALUE_LIKE.match(right.text.strip()):
        return True
    if len(row_right(page, right.box)) > 0:
        return False
    under, beyond = next_below(page, label.box), next_below(page, right.box)
    return under is None or beyond is None or not _same_height(under, beyond)


def _same_height(one: TextLine, other: TextLine) -> bool:
    return abs(one.box[1] - other.box[1]) <= 0.5 * (one.box[3] - one.box[1])


def _opens_column(below: TextLine, page: Page) -> bool:
    """Whether what is below a label is the first of several values, in a list or table."""
    further = next_below(page, below.box)
    if further is None or abs(further.box[0] - below.box[0]) > 0.5 * (below.box[3] - below.box[1]):
        return False
    return _has_digits(further) == _has_digits(below) and not _COLON.search(further.text)


def _has_digits(line: TextLine) -> bool:
    return any(sign.isdecimal() for sign in line.text)


def _made(
    label: TextLine, number: int, step: int, name: str, value: str, at: TextLine,
    how: Literal["colon", "prefix", "right", "below"],
) -> Labelled:  # fmt: skip
    return Labelled(
        label=name.strip(), value=value.strip(" \t_|"), page=at.page, place=(number, step), label_box=label.box,
        box=at.box, confidence=min(label.confidence, at.confidence), how=how,
    )  # fmt: skip
