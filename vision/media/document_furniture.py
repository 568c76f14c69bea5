"""Running heads and feet, page numbers and margin notes of a printed page, told from its text. Pure code on boxes.

What stands apart at the edge of the page, and is repeated at the same place on a page beside it but for its numbers,
is furniture. Where there is no other page to compare with, it must be small, short, and near the edge of the paper.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from vision.media.document_order import by_rows
from vision.media.markdown import StyledLine, body_size, is_item
from vision.types import Box

_MOST_ROWS = 4
_FEWEST_ROWS = 6  # on a page with fewer nothing stands apart from the rest
_ZONE = 0.16  # share of the page's height from its edge in which repeated rows are furniture
_FAR = 0.19  # the same for a page number that stands well apart
_NUMBER_ZONE, _EDGE, _NEAR = 0.13, 0.05, 0.085  # the same for a page number, and for rows that nothing repeats
_SIDE = 0.08  # share of the width in which turned lines are margin notes
_MOST_CHARS = 160
_ALIKE = 0.85

_PAGE_NUMBER = re.compile(
    r"[-–—|\[(·•\s]*(?:(?:page|pg\.?|p\.|seite|第)\s*)?(?:\d{1,4}|[ivxlc]{1,7}|[A-Z\d]{1,3}[-–.]\d{1,4})"
    r"(?:\s*(?:of|/|von|de|sur|共)\s*\d{1,4})?\s*页?[-–—|\])·•\s]*",
    re.IGNORECASE,
)
_NUMBER_AT_AN_END = re.compile(
    r"^\d{1,4}(?:\s{2,}|\s*[|•·]\s*)\S|\S(?:\s{2,}|\s*[|•·]\s*)\d{1,4}$|\bpage \d{1,4}\b", re.I
)
_NOTE = re.compile(r"^(?:\d{1,3}\s*|[*†‡§¹²³⁴-⁹]\s*)[^\W\d]")
_CAPTION = re.compile(r"(?:fig(?:ure|\.)?|table|图|表)\s?\d", re.I)
_DIGITS = re.compile(r"\d+|\b[ivxlc]{1,7}\b")


@dataclass(frozen=True)
class Edges:
    """The rows near the upper and the lower edge of a page, from outside in: what other pages compare theirs with."""

    top: tuple[tuple[str, float], ...]
    bottom: tuple[tuple[str, float], ...]


def edges(lines: Sequence[StyledLine], frame: Box) -> Edges:
    """`frame`: the page, in the unit of the boxes. Each row as its text and its middle's share of the height."""
    rows = _rows(lines)
    height = max(1e-6, frame[3] - frame[1])

    def seen(row: list[StyledLine]) -> tuple[str, float]:
        return _text(row), (_middle(row) - frame[1]) / height

    # Furniture of a table's foot may be parted in more rows on one page than on the next.
    most = _MOST_ROWS + 1
    return Edges(tuple(map(seen, rows[:most])), tuple(map(seen, rows[: -most - 1 : -1])))


def furniture(
    lines: Sequence[StyledLine], turned: Sequence[StyledLine], frame: Box, beside: Sequence[Edges]
) -> list[StyledLine]:
    """The lines that belong to the sheet of paper, in the order of `lines`.

    `turned`: lines that do not run from left to right. `beside`: the edges of pages before and after, where known.
    """
    body = body_size(lines) or 10.0
    rows = _rows(lines)
    top = _peeled(rows, frame, body, [page.top for page in beside], below=True)
    bottom = _peeled(rows[::-1], frame, body, [page.bottom for page in beside], below=False)
    if top + bottom > len(rows):
        bottom = len(rows) - top
    found = {id(line) for row in (*rows[:top], *rows[len(rows) - bottom :]) for line in row}
    width = frame[2] - frame[0]
    aside = [
        line for line in turned if line.box[2] < frame[0] + _SIDE * width or line.box[0] > frame[2] - _SIDE * width
    ]
    return [line for line in lines if id(line) in found] + aside


def _peeled(
    rows: list[list[StyledLine]], frame: Box, body: float, beside: list[tuple[tuple[str, float], ...]], *, below: bool
) -> int:
    """How many rows, from the edge inwards, are furniture; `below`: the page lies below this edge."""
    height = max(1e-6, frame[3] - frame[1])
    edge = frame[1] if below else frame[3]
    gaps = sorted(_gap(rows, at, below) for at in range(1, len(rows)))
    usual = gaps[len(gaps) // 2] / body if gaps else 0.2
    likeness = [max((_likeness(row, frame, page) for page in beside), default=0.0) for row in rows[: _MOST_ROWS + 1]]
    best = 0
    for count in range(1, min(_MOST_ROWS, len(rows)) + 1):
        depth = abs(_middle(rows[count - 1]) - edge) / height
        if depth > _FAR:
            break
        gap = _gap(rows, count, below) / body
        if min(likeness[:count]) >= _ALIKE and depth <= _ZONE:
            # Entries of a list are alike from page to page too, and stand as far apart as each from the next.
            same = likeness[count - 1] == 1 and depth <= _NEAR and min(likeness) < _ALIKE
            if gap > (0.4 if same else max(0.0, usual) + 0.25):
                best = count
        elif count <= best + 2:
            looks = {"alone": not beside, "sparse": len(rows) < _FEWEST_ROWS, "below": below}
            # OCR's boxes overlap where a text layer's leave a fifth of a line between them.
            apart = gap + 0.2 - min(0.5, max(-0.2, usual))
            if _stands_apart(rows[best:count], rows[0], depth, apart, body, **looks):
                best = count
    return best


def _stands_apart(
    rows: list[list[StyledLine]],
    edgemost: list[StyledLine],
    depth: float,
    gap: float,
    body: float,
    *,
    alone: bool,
    sparse: bool,
    below: bool,
) -> bool:
    """Whether rows that no other page repeats are furniture by their looks alone."""
    numbered = any(_is_numbered(row) for row in rows)
    if numbered and len(rows) == 1 and _PAGE_NUMBER.fullmatch(_text(rows[0])):
        return gap > (0.3 if depth <= _NUMBER_ZONE else 1.0)
    if sparse or gap == float("inf") or any(not _is_slight(row, body) for row in rows):
        return False
    if not numbered and any(is_item(row[0].text) for row in rows):
        return False
    # Two rows are one foot where they stand closer together than to the text.
    if len(rows) == 2 and max(_gap(rows, 1, below), 0.3 * body) / body > 0.7 * gap:
        return False
    if not below and any(_NOTE.match(_text(row)) and (row is not edgemost or not numbered) for row in rows):
        return False
    if numbered:
        return depth <= _NUMBER_ZONE and gap >= 0.6
    if any(line.bold for row in rows for line in row) and depth > _EDGE:
        return False
    if not alone:
        return depth <= _EDGE and gap >= 0.9
    return (depth <= _NEAR and gap >= 0.8) or (depth <= 1.3 * _NEAR and gap >= 1.8)


def _is_slight(row: list[StyledLine], body: float) -> bool:
    """Short, and no larger than the text: of OCR lines, capitals and digits fill their boxes more than letters do."""
    text = _text(row)
    if _CAPTION.match(text) or len(text) > _MOST_CHARS:
        return False
    words = [line for line in row if not _PAGE_NUMBER.fullmatch(line.text.strip())]
    return all(line.size <= (1.3 if line.text.isupper() else 1.15) * body for line in words)


def _is_numbered(row: list[StyledLine]) -> bool:
    ends = (row[0].text, row[-1].text)
    return any(_PAGE_NUMBER.fullmatch(text.strip()) for text in ends) or bool(_NUMBER_AT_AN_END.search(_text(row)))


def _likeness(row: list[StyledLine], frame: Box, page: tuple[tuple[str, float], ...]) -> float:
    """How much this row is like one at this place of a page beside, numbers aside: 1 is the same."""
    text = _DIGITS.sub("#", _text(row).casefold())
    place = (_middle(row) - frame[1]) / max(1e-6, frame[3] - frame[1])
    likest = 0.0
    for other, at in page:
        if abs(place - at) > 0.012:
            continue
        known = _DIGITS.sub("#", other.casefold())
        if text == known:
            return 1.0
        if len(text) > 8:
            matcher = SequenceMatcher(None, text, known)
            if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= _ALIKE:
                likest = max(likest, 0.999 * matcher.ratio())
    return likest


def _rows(lines: Sequence[StyledLine]) -> list[list[StyledLine]]:
    return [[lines[at] for at in row] for row in by_rows(range(len(lines)), [line.box for line in lines])]


def _gap(rows: list[list[StyledLine]], count: int, below: bool) -> float:
    """From the innermost of `count` rows to the next row inwards; infinite where there is none."""
    if count >= len(rows):
        return float("inf")
    outer, inner = rows[count - 1], rows[count]
    if below:
        return min(line.box[1] for line in inner) - max(line.box[3] for line in outer)
    return min(line.box[1] for line in outer) - max(line.box[3] for line in inner)


def _middle(row: list[StyledLine]) -> float:
    return sum((line.box[1] + line.box[3]) / 2 for line in row) / len(row)


def _text(row: list[StyledLine]) -> str:
    return "  ".join(line.text.strip() for line in row)
