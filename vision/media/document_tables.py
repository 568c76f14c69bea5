"""Tables without rules, from the places of the lines alone: rows of short cells that line up in columns. Pure code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from vision.media.document_order import by_rows, enclosing
from vision.media.markdown import StyledLine, body_size
from vision.types import Box, TextTable

Row = list[StyledLine]
Column = tuple[float, float]

_LEADERS = re.compile(r"(?:[.·…_]\s?){5,}")
_WORD_GAP = 0.8  # sizes between pieces up to which they are one cell
_ROW_GAP = 2.5  # sizes between rows of a table at most


def borderless_tables(lines: Sequence[StyledLine]) -> list[tuple[TextTable, set[int]]]:
    """Tables without rules among the lines of one region, with the indices of the lines that each holds.

    At least three rows of two cells or more, two of the rows with the most cells; a row of one cell may stand between
    them (a wrapped cell). Contents pages with dotted leaders are no tables.
    """
    size = body_size(lines)
    places = {id(line): at for at, line in enumerate(lines)}
    rows = [[lines[at] for at in row] for row in by_rows(range(len(lines)), [line.box for line in lines])]
    found: list[tuple[TextTable, set[int]]] = []
    for start, end in _runs(rows, size):
        table = _as_table(rows[start:end], size)
        if table is None and end - start > 3:  # a heading over several columns hides the gaps below it
            start += 1
            table = _as_table(rows[start:end], size)
        if table is not None:
            found.append((table, {places[id(line)] for row in rows[start:end] for line in row}))
    return found


def continuation(before: TextTable, table: TextTable, frame: Box) -> TextTable | None:
    """The table, under the first row of the one that ends the page before, where it carries that one on."""
    width, height = frame[2] - frame[0], frame[3] - frame[1]
    aligned = all(abs(before.box[side] - table.box[side]) < 0.03 * width for side in (0, 2))
    reaches = before.box[3] > frame[1] + 0.7 * height and table.box[1] < frame[1] + 0.3 * height
    if not (aligned and reaches and len(before.rows[0]) == len(table.rows[0])):
        return None
    return (
        table if table.rows[0] == before.rows[0] else table.model_copy(update={"rows": (before.rows[0], *table.rows)})
    )


def _runs(rows: list[Row], size: float) -> list[tuple[int, int]]:
    """Stretches of rows, first and past-the-last, that begin with a row of two cells or more."""
    runs: list[tuple[int, int]] = []
    start, last = -1, -1
    for at, row in enumerate(rows):
        tabular = len(_cells(row, size)) >= 2 and not any(_LEADERS.search(line.text) for line in row)
        near = last >= 0 and _top(row) - _bottom(rows[last]) < _ROW_GAP * size
        if start >= 0 and not (near and (tabular or at - last <= 1)):
            runs.append((start, last + 1))
            start = -1
        if tabular:
            start = at if start < 0 else start
            last = at
        elif start < 0:
            last = -1
    if start >= 0:
        runs.append((start, last + 1))
    return [(first, _with_wrapped_end(rows, first, end, size)) for first, end in runs if end - first >= 3]


def _with_wrapped_end(rows: list[Row], first: int, end: int, size: float) -> int:
    """The end of a run, one further where the row below only goes on with a cell of its last row."""
    if end >= len(rows) or len(_cells(rows[end], size)) != 1:
        return end
    gaps = sorted(_top(below) - _bottom(above) for above, below in pairwise(rows[first:end]))
    nearer = _top(rows[end]) - _bottom(rows[end - 1]) < 0.6 * min(size, gaps[-1])
    line = rows[end][0]
    return end + 1 if nearer and any(_overlap(line, other) > 0 for other in rows[end - 1]) else end


def _cells(row: Row, size: float) -> list[Row]:
    """A row's pieces, those with less than a word gap between them together."""
    cells: list[Row] = []
    for line in row:
        if cells and line.box[0] - cells[-1][-1].box[2] < _WORD_GAP * size:
            cells[-1].append(line)
        else:
            cells.append([line])
    return cells


def _as_table(rows: list[Row], size: float) -> TextTable | None:
    cells = [_cells(row, size) for row in rows]
    most = max(map(len, cells))
    full = [len(row) >= max(2, 0.7 * most) for row in cells]
    columns = _columns([row for row, counts in zip(rows, full, strict=True) if counts], size)
    if len(columns) < 2 or sum(full) < 2:
        return None
    first = full.index(True)
    table: list[list[str]] = []
    for at, row in enumerate(cells):
        texts = _headings(row, columns, size) if at < first else _placed(row, columns)
        if at > first and _goes_on(rows, at, texts, table[-1], size):
            table[-1] = [f"{above} {below}".strip() for above, below in zip(table[-1], texts, strict=True)]
        else:
            table.append(texts)
    shown = [tuple(row) for row in table]
    filled = [sum(1 for cell in row if cell) for row in shown]
    if sum(1 for count in filled if count >= 2) < 3:
        return None
    if not _is_tabular(shown, filled) or _is_prose(shown, _fill(rows, columns)):
        return None
    return TextTable(box=enclosing([line.box for row in rows for line in row]), rows=tuple(shown))


def _columns(rows: list[Row], size: float) -> list[Column]:
    """The stretches of x that the rows' pieces take, from left to right."""
    columns: list[Column] = []
    for line in sorted((line for row in rows for line in row), key=lambda line: line.box[0]):
        if columns and line.box[0] < columns[-1][1] + 0.4 * size:
            columns[-1] = (columns[-1][0], max(columns[-1][1], line.box[2]))
        else:
            columns.append((line.box[0], line.box[2]))
    return columns


def _placed(cells: list[Row], columns: list[Column]) -> list[str]:
    texts = ["" for _ in columns]
    for cell in cells:
        for line in cell:
            at = _column(line, columns)
            texts[at] = f"{texts[at]} {line.text}".strip()
    return texts


def _headings(cells: list[Row], columns: list[Column], size: float) -> list[str]:
    """A row over the first full one: what stands between columns heads those nearest to it, and is said over each."""
    texts = _placed([cell for cell in cells if _own_column(cell, columns, size) is not None], columns)
    over = [cell for cell in cells if _own_column(cell, columns, size) is None]
    if not over:
        return texts
    middles = [(cell[0].box[0] + cell[-1].box[2]) / 2 for cell in cells]
    for cell in over:
        middle = (cell[0].box[0] + cell[-1].box[2]) / 2
        for at in _headed(middle, [other for other in middles if other != middle], columns, size):
            texts[at] = texts[at] or " ".join(line.text for line in cell)
    return texts


def _headed(middle: float, others: list[float], columns: list[Column], size: float) -> range:
    """The columns that a heading stands over the middle of, as far as no other heading does; or the nearest one."""
    found: list[tuple[float, range]] = []
    centres = [sum(column) / 2 for column in columns]
    near = [all(abs(centre - middle) < abs(centre - other) for other in others) for centre in centres]
    for first in range(len(columns)):
        for last in range(first + 1, len(columns)):
            left, right = columns[first][0], columns[last][1]
            off = abs((left + right) / 2 - middle)
            if off <= 1.5 * size + 0.1 * (right - left) and all(near[first : last + 1]):
                found.append((round(off / size), range(first, last + 1)))
    if found:
        return min(found, key=lambda each: (each[0], -len(each[1])))[1]
    nearest = min(range(len(columns)), key=lambda at: abs(centres[at] - middle))
    return range(nearest, nearest + 1)


def _own_column(cell: Row, columns: list[Column], size: float) -> int | None:
    """The column that a heading stands over, where its middle does and it reaches no other."""
    left, right = cell[0].box[0], cell[-1].box[2]
    middle = (left + right) / 2
    under = [at for at, column in enumerate(columns) if column[0] < right and left < column[1]]
    if len(under) == 1 and columns[under[0]][0] - 0.3 * size <= middle <= columns[under[0]][1] + 0.3 * size:
        return under[0]
    return None


def _column(line: StyledLine, columns: list[Column]) -> int:
    """The column that the line shares most with, else the nearest."""
    return max(range(len(columns)), key=lambda at: min(columns[at][1], line.box[2]) - max(columns[at][0], line.box[0]))


def _goes_on(rows: list[Row], at: int, texts: list[str], above: list[str], size: float) -> bool:
    """Whether a row only carries on cells of the row above: it has few, under filled ones, and stands nearer to it."""
    count = sum(map(bool, texts))
    if count > 0.5 * sum(map(bool, above)) or any(text and not over for text, over in zip(texts, above, strict=True)):
        return False
    before = _top(rows[at]) - _bottom(rows[at - 1])
    after = _top(rows[at + 1]) - _bottom(rows[at]) if at + 1 < len(rows) else size
    return before < 0.6 * size and before < 0.75 * after


def _fill(rows: list[Row], columns: list[Column]) -> float:
    """The mean share of their column's width that pieces take."""
    shares = []
    for line in (line for row in rows for line in row):
        left, right = columns[_column(line, columns)]
        shares.append(min(1.0, (line.box[2] - line.box[0]) / max(1e-6, right - left)))
    return sum(shares) / len(shares)


def _is_tabular(table: list[tuple[str, ...]], filled: list[int]) -> bool:
    """Cells are short, and two columns need more to be told from a list with its marks or a form's labels."""
    columns = len(table[0])
    texts = [cell for row in table for cell in row if cell]
    if sum(map(len, texts)) / len(texts) > 40:
        return False
    if sum(1 for row in table if len(row[0]) <= 3 and not row[0].isdigit()) > len(table) / 2 and columns == 2:
        return False
    if columns == 2:
        return sum(1 for count in filled if count == 2) >= 4
    return sum(filled) >= 0.4 * columns * len(table)


def _is_prose(table: list[tuple[str, ...]], fill: float) -> bool:
    """Columns of running text with level lines: long pieces that fill their columns."""
    lengths = [len(cell) for row in table for cell in row if cell]
    return sum(lengths) / len(lengths) > 22 and fill > 0.75


def _overlap(one: StyledLine, two: StyledLine) -> float:
    return min(one.box[2], two.box[2]) - max(one.box[0], two.box[0])


def _top(row: Row) -> float:
    return min(line.box[1] for line in row)


def _bottom(row: Row) -> float:
    return max(line.box[3] for line in row)
