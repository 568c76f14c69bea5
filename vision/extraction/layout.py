"""Where lines stand to each other on a page: what is right of a label, what is below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vision.types import Box, TextLine

_ROW_SHARE = 0.5
_FARTHEST_RIGHT = 0.55
_FARTHEST_BELOW = 1.3
_ALIGNED = 1.5


@dataclass(frozen=True)
class Page:
    """A page's lines; `width` in the same units as their boxes."""

    number: int
    width: float
    lines: tuple[TextLine, ...]


def height(box: Box) -> float:
    return max(box[3] - box[1], 1.0)


def same_row(one: Box, other: Box) -> bool:
    shared = min(one[3], other[3]) - max(one[1], other[1])
    return shared >= _ROW_SHARE * min(height(one), height(other))


def row_right(page: Page, box: Box) -> list[TextLine]:
    """The lines right of a box in its row, from left to right."""
    found = [line for line in page.lines if line.box[0] >= box[2] - 0.3 * height(box) and same_row(box, line.box)]
    return sorted(found, key=lambda line: line.box[0])


def next_right(page: Page, box: Box) -> TextLine | None:
    """The nearest line right of a box, not more than about half a page away."""
    row = row_right(page, box)
    return row[0] if row and row[0].box[0] - box[2] <= _FARTHEST_RIGHT * page.width else None


def next_below(page: Page, box: Box) -> TextLine | None:
    """The line right below a box that begins where it begins, or lies within its width."""
    found = [line for line in page.lines if _below(box, line.box)]
    return min(found, key=lambda line: (line.box[1], abs(line.box[0] - box[0])), default=None)


def _below(box: Box, other: Box) -> bool:
    tall = height(box)
    near = -0.4 * tall <= other[1] - box[3] <= _FARTHEST_BELOW * tall and other[3] > box[3]
    aligned = abs(other[0] - box[0]) <= _ALIGNED * tall
    within = box[0] <= other[0] and other[2] <= box[2] + tall
    return near and (aligned or within) and not same_row(box, other)


def joined(boxes: Sequence[Box]) -> Box:
    """The box around all of them."""
    return (
        min(box[0] for box in boxes), min(box[1] for box in boxes),
        max(box[2] for box in boxes), max(box[3] for box in boxes),
    )  # fmt: skip
