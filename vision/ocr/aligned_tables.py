"""Tables without ruled cells: rows of short pieces of text that keep the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np

from vision.ocr.fragments import Fragment, join
from vision.ocr.rulings import Ruling
from vision.types import Box

_ROW = 0.4  # centres closer than this share of the line height are one row
_NEXT = 3.2  # line heights between rows of a table at most
_PROSE = 36  # characters; columns of lines this long, and filled, are running text
_ALIGNED = 0.7  # share of a column's cells that keep its left edge, right edge or middle
_USED = 0.3  # share of the rows that a column must have cells in to count


@dataclass(frozen=True)
class Aligned:
    box: Box
    rows: tuple[tuple[str, ...], ...]


@dataclass
class _Run:
    """Rows found so far, and the stretches of x that their columns take."""

    rows: list[list[Fragment]]
    columns: list[tuple[float, float]] = field(default_factory=list)


def aligned_tables(pieces: Sequence[Fragment], flat: Sequence[Ruling], upright: Sequence[Ruling]) -> list[Aligned]:
    """Tables among pieces; rulings help: an upright one parts panels, a flat one parts the rows of wrapped cells."""
    runs: list[_Run] = []
    for row in _rows(pieces, upright):
        for run in runs:
            if _extend(run, row):
                break
        else:
            if len(row) >= 2:
                runs.append(_Run([row], [(piece.box[0], piece.box[2]) for piece in row]))
    return [table for run in runs for table in _tables(run, flat)]


def _tables(run: _Run, flat: Sequence[Ruling]) -> list[Aligned]:
    """The run as a table; where it is none, a heading may have joined two blocks, and each is tried on its own."""
    whole = _table(_trimmed(run), flat)
    if whole is not None:
        return [whole]
    blocks = [list(rows) for several, rows in groupby(run.rows, lambda row: len(row) > 1) if several]
    if len(blocks) < 2:
        return []
    parts = [_Run(rows, _union([(piece.box[0], piece.box[2]) for row in rows for piece in row])) for rows in blocks]
    found = [_table(_trimmed(part), flat) for part in parts]
    return [table for table in found if table is not None]


def _rows(pieces: Sequence[Fragment], upright: Sequence[Ruling]) -> list[list[Fragment]]:
    """Pieces on one baseline, from left to right, parted where an upright ruling stands between two of them."""
    rows: list[list[Fragment]] = []
    for piece in sorted(pieces, key=lambda piece: piece.middle):
        if rows and piece.middle - float(np.mean([p.middle for p in rows[-1]])) < _ROW * min(
            piece.height, rows[-1][-1].height
        ):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    parted: list[list[Fragment]] = []
    for row in rows:
        ordered = sorted(row, key=lambda piece: piece.box[0])
        part = [ordered[0]]
        for left, right in pairwise(ordered):
            if _panel_between(left, right, upright):
                parted.append(part)
                part = []
            part.append(right)
        parted.append(part)
    return parted


def _panel_between(left: Fragment, right: Fragment, upright: Sequence[Ruling]) -> bool:
    height = max(left.height, right.height)
    return any(
        left.box[2] - 0.3 * height < ruling.at < right.box[0] + 0.3 * height
        and ruling.start < left.middle < ruling.end
        and ruling.length > 6 * height
        for ruling in upright
    )


def _extend(run: _Run, row: list[Fragment]) -> bool:
    """Put row at the run's end, if it stands near enough below it and closes none of its gaps."""
    height = float(np.median([piece.height for piece in row]))
    last = run.rows[-1]
    distance = row[0].middle - max(piece.middle for piece in last)
    if distance > _NEXT * max(height, max(piece.height for piece in last)):
        return False
    if row[-1].box[2] < run.columns[0][0] or row[0].box[0] > run.columns[-1][1]:
        return False
    columns = _union(run.columns + [(piece.box[0], piece.box[2]) for piece in row])
    hits = sum(any(_overlap(c, (p.box[0], p.box[2])) > 0 for c in run.columns) for p in row)
    if len(columns) < len(run.columns) or hits < 0.5 * len(row) or len(columns) > len(run.columns) + 2:
        return False
    run.rows.append(row)
    run.columns = columns
    return True


def _union(stretches: list[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _overlap(one: tuple[float, float], two: tuple[float, float]) -> float:
    return min(one[1], two[1]) - max(one[0], two[0])


def _column(columns: list[tuple[float, float]], piece: Fragment) -> int:
    return max(range(len(columns)), key=lambda index: _overlap(columns[index], (piece.box[0], piece.box[2])))


def _trimmed(run: _Run) -> _Run:
    """Without lone pieces at both ends, and without columns at the edges that few rows have."""
    rows = list(run.rows)
    columns = list(run.columns)
    while len(columns) > 2:
        counts = [sum(any(_column(columns, p) == c for p in row) for row in rows) for c in range(len(columns))]
        edge = min((0, len(columns) - 1), key=lambda index: counts[index])
        if counts[edge] >= max(2, 0.4 * len(rows)):
            break
        rows = [[p for p in row if _column(columns, p) != edge] for row in rows]
        rows = [row for row in rows if row]
        del columns[edge]
    while rows and len(rows[-1]) < 2:
        rows.pop()
    while rows and len(rows[0]) < 2:
        rows.pop(0)
    return _Run(rows, columns)


def _table(run: _Run, flat: Sequence[Ruling]) -> Aligned | None:
    rows, columns = _unwrapped(run, flat), run.columns
    if len(rows) < 3 or len(columns) < 2 or not _regular(rows, columns):
        return None
    cells = [[[p for p in row if _column(columns, p) == c] for c in range(len(columns))] for row in rows]
    text = tuple(tuple(join(cell) for cell in row) for row in cells)
    in_use = sum(sum(bool(row[c]) for row in text) >= _USED * len(text) for c in range(len(columns)))
    if in_use < 3 and not (len(columns) == 2 and _numeric(text)):
        return None
    places = np.array([piece.box for row in rows for piece in row])
    box = (places[:, 0].min(), places[:, 1].min(), places[:, 2].max(), places[:, 3].max())
    return Aligned((float(box[0]), float(box[1]), float(box[2]), float(box[3])), text)


def _unwrapped(run: _Run, flat: Sequence[Ruling]) -> list[list[Fragment]]:
    """A row with a single piece, close below the one before, carries on that piece's cell."""
    rows: list[list[Fragment]] = []
    for row in run.rows:
        if rows and len(row) == 1 and _carries_on(rows[-1], row[0], flat):
            rows[-1] = [*rows[-1], row[0]]
        else:
            rows.append(row)
    return rows


def _carries_on(above: list[Fragment], piece: Fragment, flat: Sequence[Ruling]) -> bool:
    over = [other for other in above if _overlap((other.box[0], other.box[2]), (piece.box[0], piece.box[2])) > 0]
    if not over:
        return False
    last = max(over, key=lambda other: other.middle)
    if piece.middle - last.middle > 1.25 * max(piece.height, last.height):
        return False
    return not any(last.middle < r.at < piece.middle and r.start < piece.centre < r.end for r in flat)


def _regular(rows: list[list[Fragment]], columns: list[tuple[float, float]]) -> bool:
    """Most cells filled, most columns aligned, and the columns not running text."""
    of = [[p for row in rows for p in row if _column(columns, p) == c] for c in range(len(columns))]
    filled = sum(len({_column(columns, p) for p in row}) for row in rows) / (len(rows) * len(columns))
    several = sum(len({_column(columns, p) for p in row}) >= 2 for row in rows)
    if filled < 0.6 or several < 3:
        return False
    prose = sum(_is_prose(cells) for cells in of)
    if prose >= 2 or (prose == 1 and len(columns) == 2):
        return False
    return sum(_is_aligned(cells) for cells in of) >= _ALIGNED * len(columns)


def _is_prose(cells: list[Fragment]) -> bool:
    widths = np.array([piece.width for piece in cells])
    long = float(np.median([len(piece.text) for piece in cells])) >= _PROSE
    return long and float(np.mean(widths > 0.75 * widths.max())) >= 0.5


def _is_aligned(cells: list[Fragment]) -> bool:
    slack = 0.6 * float(np.median([piece.height for piece in cells]))
    edges = ([p.box[0] for p in cells], [p.box[2] for p in cells], [p.centre for p in cells])
    return any(float(np.mean(np.abs(np.array(e) - np.median(e)) <= slack)) >= _ALIGNED for e in edges)


def _numeric(rows: tuple[tuple[str, ...], ...]) -> bool:
    """Whether one of two columns holds numbers: two columns of words are more often a form or a menu."""
    for column in (0, 1):
        cells = [row[column] for row in rows if row[column]]
        with_digits = sum(sum(char.isdigit() for char in cell) >= 0.4 * len(cell.replace(" ", "")) for cell in cells)
        if len(cells) >= 3 and with_digits >= 0.6 * len(cells):
            return True
    return False
