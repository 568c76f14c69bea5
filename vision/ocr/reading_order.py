"""Reading order of lines on a page of columns, panels, tables and forms.

Fragments that stand on one baseline and belong to one row become a unit; units are sorted by Breuel's rules ("High
performance document layout analysis", 2003): one comes before another when they overlap in x and it stands higher, or
when it stands wholly to the left and nothing between them in height spans both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vision.ocr.lines import Line
from vision.types import Box

_ROW = 0.45  # centres closer than this share of the line height stand on one baseline
_NEAR = 1.2  # gaps below this many line heights lie within one line
_PROSE_WIDTH = 8.0  # line heights; lines of running text are at least this wide
_PROSE_WORDS = 4  # and have at least this many words, where words are divided by spaces
_FOLLOWS = 2.6  # line heights between centres up to which lines stack into a column
_MOST = 600  # units; the rules compare them in threes (0.3 s), beyond this rows are read across


@dataclass(frozen=True)
class _Item:
    """A line's place with x along the line and y down the page (also for vertical text, turned)."""

    index: int
    box: Box
    text: str

    @property
    def height(self) -> float:
        return max(1.0, self.box[3] - self.box[1])

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]


def in_reading_order(lines: list[Line]) -> list[Line]:
    if len(lines) < 2:
        return list(lines)
    tall = sum(max(line.box[3] - line.box[1], 1) for line in lines if line.tall)
    flat = sum(max(line.box[2] - line.box[0], 1) for line in lines if not line.tall)
    items = [
        _Item(index, _turned(line.box) if tall > flat else line.box, line.text) for index, line in enumerate(lines)
    ]
    items.sort(key=lambda item: (item.middle, item.box[0]))
    units = _rows(items) if len(items) > 4 * _MOST else _units(items)
    order = _breuel([_around(unit) for unit in units]) if len(units) <= _MOST else list(range(len(units)))
    return [lines[item.index] for position in order for item in units[position]]


def _turned(box: Box) -> Box:
    """Vertical text is read down its columns, and these from right to left: as lines of a page turned to the left."""
    return (box[1], -box[2], box[3], -box[0])


def _rows(items: list[_Item]) -> list[list[_Item]]:
    """Everything on one baseline, left to right."""
    rows: list[list[_Item]] = []
    for item in items:
        if rows and _on_one_row(rows[-1][-1], item):
            rows[-1].append(item)
        else:
            rows.append([item])
    return [sorted(row, key=lambda item: item.box[0]) for row in rows]


def _on_one_row(one: _Item, two: _Item) -> bool:
    low, high = sorted((one.height, two.height))
    return abs(one.middle - two.middle) < _ROW * low or (high < 2.5 * low and abs(one.middle - two.middle) < 0.3 * high)


def _units(items: list[_Item]) -> list[list[_Item]]:
    """Rows broken up where columns of prose or panels that are not aligned stand side by side."""
    columns = _columns(items)
    of = {item.index: number for number, column in enumerate(columns) for item in column}
    together: dict[tuple[int, int], bool] = {}
    units: list[list[_Item]] = []
    for row in _rows(items):
        unit = [row[0]]
        for left, right in pairwise(row):
            near = right.box[0] - left.box[2] < _NEAR * min(left.height, right.height)
            pair = (of[left.index], of[right.index])
            if pair not in together:
                together[pair] = _side_by_side(columns[pair[0]], columns[pair[1]])
            if (near and not _both_prose(columns[pair[0]], columns[pair[1]])) or together[pair]:
                unit.append(right)
            else:
                units.append(unit)
                unit = [right]
        units.append(unit)
    return units


def _columns(items: list[_Item]) -> list[list[_Item]]:
    """Stacks of lines: each follows the nearest one above that it shares most of its width with, and only that."""
    last: list[list[_Item]] = []
    for item in items:
        above = [
            column
            for column in last
            if item.middle - column[-1].middle < _FOLLOWS * max(item.height, column[-1].height)
            and not _on_one_row(column[-1], item)
            and _shared(column[-1].box, item.box) > 0.3 * min(column[-1].width, item.width)
        ]
        if len(above) == 1:
            above[0].append(item)
        else:
            last.append([item])
    return last


def _shared(one: Box, two: Box) -> float:
    return min(one[2], two[2]) - max(one[0], two[0])


def _side_by_side(one: list[_Item], two: list[_Item]) -> bool:
    """Whether two neighbouring stacks are columns of one table or form: their lines stand on the same baselines."""
    if _both_prose(one, two):
        return False
    top = max(one[0].box[1], two[0].box[1])
    bottom = min(one[-1].box[3], two[-1].box[3])
    beside = [[item for item in stack if item.box[3] > top and item.box[1] < bottom] for stack in (one, two)]
    few, many = sorted(beside, key=len)
    aligned = sum(any(_on_one_row(item, other) for other in many) for item in few)
    return bool(few) and aligned >= 0.7 * len(few)


def _both_prose(one: list[_Item], two: list[_Item]) -> bool:
    return _is_prose(one) and _is_prose(two)


def _is_prose(stack: list[_Item]) -> bool:
    """Whether a stack of lines is running text: three or more, long, and most of them filling the column."""
    if len(stack) < 3:
        return False
    widths = np.array([item.width for item in stack])
    if np.median(widths) < _PROSE_WIDTH * np.median([item.height for item in stack]):
        return False
    spaced = [len(item.text.split()) for item in stack if item.text.isascii()]
    if len(spaced) > len(stack) / 2 and np.median(spaced) < _PROSE_WORDS:
        return False
    # Percentiles, because a headline over several columns may have ended up in the stack of the first.
    full = np.percentile([item.box[2] for item in stack], 80) - np.percentile([item.box[0] for item in stack], 20)
    return bool(np.mean(widths > 0.75 * full) >= 0.5)


def _around(unit: list[_Item]) -> Box:
    boxes = np.array([item.box for item in unit])
    return (boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max())


def _breuel(boxes: list[Box]) -> list[int]:
    """Indices of boxes, which come sorted by height, in an order that keeps Breuel's rules."""
    place = np.array(boxes, dtype=np.float64)
    left, top, right, bottom = place.T
    slack = 0.2 * np.minimum.outer(right - left, right - left)
    middle = (top + bottom) / 2
    shared = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    over = shared > np.minimum(slack, 0.5 * np.median(bottom - top))
    before = over & (middle[:, None] < middle[None, :])
    for one in range(len(boxes)):
        beside = np.flatnonzero(~over[one] & (left[one] < left))
        low = np.minimum(middle[one], middle[beside])[:, None]
        high = np.maximum(middle[one], middle[beside])[:, None]
        spanned = (middle > low) & (middle < high) & over[one] & over[beside]
        before[one, beside] = ~spanned.any(axis=1)
    return _sorted(before)


def _sorted(before: np.ndarray) -> list[int]:
    """Topological order; always the leftmost-listed that nothing waiting must precede, and on a cycle the first."""
    waiting = before.sum(axis=0).astype(int)
    left = list(range(len(before)))
    order = []
    while left:
        free = next((index for index in left if waiting[index] <= 0), left[0])
        left.remove(free)
        order.append(free)
        waiting -= before[free]
    return order
