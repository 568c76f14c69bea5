"""Tables whose cells are ruled: a grid of crossing lines, its missing borders, and the text in its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision.ocr.fragments import Fragment, baselines, join
from vision.ocr.rulings import Ruling
from vision.types import Box

_TOUCH = 6.0  # pixels that crossing lines may miss each other by
_COVER = 0.6  # share of a cell's side that must be drawn to be a border
_MOST_CELLS = 2000


@dataclass(frozen=True)
class Grid:
    box: Box
    rows: tuple[tuple[str, ...], ...]


def ruled_tables(flat: Sequence[Ruling], upright: Sequence[Ruling], pieces: Sequence[Fragment]) -> list[Grid]:
    """Grids with text in them. flat: horizontal rulings; upright: vertical ones; all in the pixels of pieces' boxes."""
    found = []
    for rows, columns in _crossing(flat, upright):
        grid = _grid(rows, columns, pieces)
        if grid is not None:
            found.append(grid)
    return found


def _crossing(flat: Sequence[Ruling], upright: Sequence[Ruling]) -> list[tuple[list[Ruling], list[Ruling]]]:
    """Groups of lines that are connected by crossings."""
    group = list(range(len(flat) + len(upright)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    for one, row in enumerate(flat):
        for two, column in enumerate(upright, start=len(flat)):
            if _meets(row, column.at) and _meets(column, row.at):
                group[root(one)] = root(two)
    groups: dict[int, tuple[list[Ruling], list[Ruling]]] = {}
    for index in range(len(group)):
        rows, columns = groups.setdefault(root(index), ([], []))
        if index < len(flat):
            rows.append(flat[index])
        else:
            columns.append(upright[index - len(flat)])
    return [(rows, columns) for rows, columns in groups.values() if len(rows) >= 2 and columns]


def _meets(ruling: Ruling, at: float) -> bool:
    return ruling.start - _TOUCH <= at <= ruling.end + _TOUCH


def _grid(rows: list[Ruling], columns: list[Ruling], pieces: Sequence[Fragment]) -> Grid | None:
    height = float(np.median([piece.height for piece in pieces]))
    # Tables are often open to the left and right: the ends of the horizontal lines close them.
    ends = [min(row.start for row in rows), max(row.end for row in rows)]
    ys = _places([row.at for row in rows], 0.5 * height)
    xs = _places([column.at for column in columns] + ends, 0.7 * height)
    count = (len(ys) - 1, len(xs) - 1)
    if count[0] < 2 or count[1] < 2 or count[0] * count[1] > _MOST_CELLS:
        return None
    owner = _merged(xs, ys, rows, columns)
    cells: dict[int, list[Fragment]] = {}
    for piece in (part for whole in pieces for part in _cut(whole, xs, ys, owner)):
        row, column = _index(ys, piece.middle), _index(xs, piece.centre)
        if row is not None and column is not None:
            cells.setdefault(int(owner[row, column]), []).append(piece)
    if not _is_table(cells, owner):
        return None
    return Grid((xs[0], ys[0], xs[-1], ys[-1]), _text(cells, owner))


def _places(values: list[float], apart: float) -> list[float]:
    """Sorted values; those closer together than `apart` become their mean."""
    groups: list[list[float]] = []
    for value in sorted(values):
        if groups and value - groups[-1][-1] < apart:
            groups[-1].append(value)
        else:
            groups.append([value])
    return [float(np.mean(group)) for group in groups]


def _merged(xs: list[float], ys: list[float], rows: list[Ruling], columns: list[Ruling]) -> np.ndarray:
    """(rows, columns) of int: the number of the cell that each place belongs to; cells without a border are one."""
    tall, wide = len(ys) - 1, len(xs) - 1
    owner = np.arange(tall * wide).reshape(tall, wide)
    for row in range(tall):
        for column in range(wide):
            if column + 1 < wide and not _drawn(columns, xs[column + 1], ys[row], ys[row + 1]):
                owner[owner == owner[row, column + 1]] = owner[row, column]
            if row + 1 < tall and not _drawn(rows, ys[row + 1], xs[column], xs[column + 1]):
                owner[owner == owner[row + 1, column]] = owner[row, column]
    return owner


def _drawn(rulings: list[Ruling], at: float, start: float, end: float) -> bool:
    near = [ruling for ruling in rulings if abs(ruling.at - at) <= 2 * _TOUCH]
    covered = sum(max(0.0, min(end, ruling.end) - max(start, ruling.start)) for ruling in near)
    return covered >= _COVER * (end - start)


def _cut(piece: Fragment, xs: list[float], ys: list[float], owner: np.ndarray) -> list[Fragment]:
    """A piece that the detector drew across a border, cut there if its words part there."""
    row = _index(ys, piece.middle)
    if row is None:
        return [piece]
    done = []
    for column, at in enumerate(xs[1:-1]):
        inside = piece.box[0] + 0.5 * piece.height < at < piece.box[2] - 0.5 * piece.height
        if inside and owner[row, column] != owner[row, column + 1]:
            parts = piece.cut(at)
            if parts is not None:
                done.append(parts[0])
                piece = parts[1]
    return [*done, piece]


def _index(edges: list[float], value: float) -> int | None:
    if not edges[0] <= value < edges[-1]:
        return None
    return int(np.searchsorted(edges, value, side="right")) - 1


def _is_table(cells: dict[int, list[Fragment]], owner: np.ndarray) -> bool:
    """Several rows and columns hold text, and cells hold little of it: else these are panels or a figure."""
    rows = {row for row in range(owner.shape[0]) if any(int(cell) in cells for cell in owner[row])}
    columns = {column for column in range(owner.shape[1]) if any(int(cell) in cells for cell in owner[:, column])}
    if len(rows) < 2 or len(columns) < 2 or len(cells) < 4:
        return False
    several = sum(len({int(cell) for cell in row if int(cell) in cells}) >= 2 for row in owner)
    sizes = [len(pieces) for pieces in cells.values()]
    return several >= 2 and float(np.mean(sizes)) <= 5 and len(cells) >= 0.3 * len(np.unique(owner))


def _text(cells: dict[int, list[Fragment]], owner: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Rows of text without empty columns; a cell over several places has its text in the first of them.

    A heading over several columns, but not over all, stands over each: rows of cells have no spans.
    """
    seen: set[int] = set()
    rows: list[list[str]] = []
    head = True
    for places in owner:
        head = head and 1 < len(np.unique(places)) < len(places)
        row: list[list[Fragment]] = []
        above = set(seen)
        for cell in map(int, places):
            row.append([] if cell in (above if head else seen) else cells.get(cell, []))
            seen.add(cell)
        rows += [[join(cell) for cell in part] for part in ([row] if head else _parted(row))]
    kept = [column for column in range(owner.shape[1]) if any(row[column] for row in rows)]
    return tuple(tuple(row[column] for column in kept) for row in rows if any(row))


def _parted(row: list[list[Fragment]]) -> list[list[list[Fragment]]]:
    """A ruled row whose cells all hold the same number of lines on the same baselines is as many rows of a table.

    With two columns and two lines each it may as well be wrapped text, and stays one row.
    """
    filled = [baselines(cell) for cell in row if cell]
    count = len(filled[0]) if filled else 1
    if count < 2 or len(filled) < 2 or len(filled) + count < 5 or any(len(lines) != count for lines in filled):
        return [row]
    height = float(np.median([piece.height for cell in row for piece in cell]))
    for index in range(count):
        middles = [lines[index][0].middle for lines in filled]
        if max(middles) - min(middles) > 0.5 * height:
            return [row]
    return [[baselines(cell)[index] if cell else [] for cell in row] for index in range(count)]
