"""Reading order from the places of the lines alone. Pure code on boxes, y down.

Columns: a gutter is a strip that (nearly) no line crosses, with running text on both sides. What crosses it (a title, a
wide table) parts the page into bands; inside a band the left side is read before the right, each searched again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from vision.types import Box

Item = TypeVar("Item")

MAX_ORDERED = 4000
"""Beyond so many pieces on a page (drawings, hostile files) the file's own order stands: gutters cost n² to find."""

_MAX_DEPTH = 8
_MIN_COLUMN_LINES = 4
_CROSSING_SHARE = 0.15
_MAX_CANDIDATES = 12
_MAX_PEELED = 3


def in_reading_order(items: Sequence[Item], box_of: Callable[[Item], Box], size: float) -> list[list[Item]]:
    """Regions in reading order (a column, a title over columns), each with its items by row, then from left to right.

    `size` is the body's font size in the unit of the boxes.
    """
    if len(items) > MAX_ORDERED:
        return [list(items)]
    boxes = [box_of(item) for item in items]
    rows = by_rows(range(len(items)), boxes)
    head, foot = _peeled(rows, boxes, size), _peeled(rows[::-1], boxes, size)
    if head + foot >= len(rows):
        head = foot = 0
    body = [index for row in rows[head : len(rows) - foot] for index in row]
    regions = [*rows[:head], *_regions(body, boxes, size, 0), *rows[len(rows) - foot :]]
    return [[items[index] for index in region] for region in regions if region]


def _peeled(rows: list[list[int]], boxes: Sequence[Box], size: float) -> int:
    """How many rows from this end stand apart from the rest: running heads and feet, which belong to no column."""
    for count in range(1, min(_MAX_PEELED, len(rows) - 1) + 1):
        near, rest = rows[:count], rows[count:]
        top, bottom = _extent(near, boxes)
        rest_top, rest_bottom = _extent(rest, boxes)
        if rest_top - bottom > 0.8 * size or top - rest_bottom > 0.8 * size:
            return count
    return 0


def _extent(rows: list[list[int]], boxes: Sequence[Box]) -> tuple[float, float]:
    members = [boxes[index] for row in rows for index in row]
    return min(box[1] for box in members), max(box[3] for box in members)


def by_rows(indices: Sequence[int], boxes: Sequence[Box]) -> list[list[int]]:
    """Indices in rows from top to bottom: two boxes share a row when they overlap by half the lower one's height."""
    rows: list[list[int]] = []
    spans: list[tuple[float, float]] = []
    for index in sorted(indices, key=lambda index: (boxes[index][1] + boxes[index][3], boxes[index][0])):
        top, bottom = boxes[index][1], boxes[index][3]
        if rows:
            row_top, row_bottom = spans[-1]
            overlap = min(bottom, row_bottom) - max(top, row_top)
            if overlap > 0.5 * min(bottom - top, row_bottom - row_top):
                rows[-1].append(index)
                continue
        rows.append([index])
        spans.append((top, bottom))
    return [sorted(row, key=lambda index: boxes[index][0]) for row in rows]


def _regions(indices: list[int], boxes: list[Box], size: float, depth: int) -> list[list[int]]:
    gutter = _gutter(indices, boxes, size) if depth < _MAX_DEPTH else None
    if gutter is None:
        return [[index for row in by_rows(indices, boxes) for index in row]]
    crossing = [index for index in indices if boxes[index][0] < gutter < boxes[index][2]]
    crossing.sort(key=lambda index: boxes[index][1])
    beside = [index for index in indices if not boxes[index][0] < gutter < boxes[index][2]]
    regions: list[list[int]] = []
    for row in [*by_rows(crossing, boxes), []]:
        middle = min((_middle(boxes[index]) for index in row), default=float("inf"))
        band = [index for index in beside if _middle(boxes[index]) < middle]
        beside = [index for index in beside if _middle(boxes[index]) >= middle]
        for side in (
            [index for index in band if boxes[index][2] <= gutter],
            [index for index in band if boxes[index][0] >= gutter],
        ):
            if side:
                regions.extend(_regions(side, boxes, size, depth + 1))
        if row and regions and regions[-1] and all(index in crossing for index in regions[-1]):
            regions[-1].extend(row)
        elif row:
            regions.append(list(row))
    return regions


def _gutter(indices: list[int], boxes: list[Box], size: float) -> float | None:
    """x of the middle of the best gutter, or None. Fewest crossings first, then the widest."""
    if len(indices) < 2 * _MIN_COLUMN_LINES:
        return None
    starts = sorted(boxes[index][0] for index in indices)
    ends = sorted(boxes[index][2] for index in indices)
    candidates: list[tuple[int, float, float]] = []
    for end in sorted(set(ends)):
        at = bisect_right(starts, end)
        if at == len(starts) or starts[at] - end < 0.6 * size:
            continue
        middle = (end + starts[at]) / 2
        crossing = bisect_left(starts, middle) - bisect_right(ends, middle)
        if crossing <= _CROSSING_SHARE * len(indices):
            candidates.append((crossing, end - starts[at], middle))
    for _, _, middle in sorted(candidates)[:_MAX_CANDIDATES]:
        left = [boxes[index] for index in indices if boxes[index][2] <= middle]
        right = [boxes[index] for index in indices if boxes[index][0] >= middle]
        if _is_column(left, size) and _is_column(right, size):
            return middle
    return None


def _is_column(boxes: list[Box], size: float) -> bool:
    """Running text: several lines, most as wide as the column or nearly, wider than a cell, without gaps as in rows."""
    if len(boxes) < _MIN_COLUMN_LINES:
        return False
    rows = [[boxes[at] for at in row] for row in by_rows(range(len(boxes)), boxes)]
    if len(rows) < _MIN_COLUMN_LINES:
        return False
    gapped = sum(1 for row in rows if _is_row_of_cells(row, size))
    widths = sorted(max(box[2] for box in row) - row[0][0] for row in rows)
    typical, broad = widths[len(widths) // 2], widths[int(len(widths) * 0.85)]
    return typical > 8 * size and typical > 0.6 * broad and gapped < 0.3 * len(rows)


def _is_row_of_cells(row: list[Box], size: float) -> bool:
    """Pieces with wide gaps between them that are too narrow to be columns of their own."""
    gaps = any(right[0] - left[2] > 1.2 * size for left, right in pairwise(row))
    return gaps and sum(box[2] - box[0] for box in row) < 8 * size * len(row)


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def enclosing(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
