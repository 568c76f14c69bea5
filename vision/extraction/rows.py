"""Arrays of objects, from tables whose heads name the objects' properties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vision.extraction.found import Filling, Found, Missing
from vision.extraction.layout import Page, joined
from vision.extraction.matching import Wanted
from vision.extraction.words import likeness, tokens, variants
from vision.schema.values import Misfit, folded, value_from
from vision.types import Box, TextLine, TextTable

_HEAD_ROWS = 3
_SEVERAL = 3
_LEAST, _LOOSE = 0.8, 0.7
_TOTALS = frozenset(tokens(word) for word in ("total", "sum", "subtotal", "sub total", "grand total", "合计", "总计"))
NO_TABLE = "no table was read whose heads name these properties"


@dataclass(frozen=True)
class _Fit:
    """A table and where its properties are: `columns` by path below the item, with how sure that is."""

    table: TextTable
    first: int
    columns: dict[str, tuple[int, float]]

    @property
    def score(self) -> float:
        return sum(sure for _, sure in self.columns.values())


def rows_from_tables(
    path: str, wanted: Sequence[Wanted], pages: Sequence[Page], tables: Sequence[TextTable], day_first: bool | None,
) -> Filling:  # fmt: skip
    """`wanted`: the item's values, their paths below the item. Rows of all tables that fit as well as the best one."""
    filling = Filling()
    fits = _fits(wanted, tables)
    if not fits:
        filling.values[path] = Missing(NO_TABLE)
        return filling
    by_page = {page.number: page for page in pages}
    count = 0
    for fit in fits:
        lines = list(_lines_in(by_page.get(fit.table.page), fit.table.box))
        for row in fit.table.rows[fit.first :]:
            cells = {way: row[column] for way, (column, _) in fit.columns.items() if column < len(row)}
            if not _is_data(row, cells):
                continue
            values = _values(wanted, fit, cells, lines, day_first)
            found = sum(isinstance(value, Found) for value in values.values())
            if found and not (len(cells) >= _SEVERAL and 2 * found <= len(cells)):
                filling.values.update({f"{path}/{count}{way}": value for way, value in values.items()})
                count += 1
    filling.counts[path] = count
    return filling


def _fits(wanted: Sequence[Wanted], tables: Sequence[TextTable]) -> list[_Fit]:
    found: list[_Fit] = []
    last: _Fit | None = None
    for table in tables:
        fit = _fit(wanted, table)
        if fit is None and last is not None and _goes_on(last.table, table):
            fit = _Fit(table, 0, last.columns)
        last = fit
        if fit is not None:
            found.append(fit)
    best = max((fit.score for fit in found), default=0.0)
    return [fit for fit in found if fit.score >= 0.9 * best]


def _goes_on(before: TextTable, table: TextTable) -> bool:
    """Whether a table without heads is the rest of the one on the page before."""
    return table.page == before.page + 1 and len(table.rows[0]) == len(before.rows[0]) if table.rows else False


def _fit(wanted: Sequence[Wanted], table: TextTable) -> _Fit | None:
    """With one property it must be named surely, with several at least half of them and two."""
    least = 1 if len(wanted) == 1 else max(2, (len(wanted) + 1) // 2)
    best: _Fit | None = None
    for place, row in enumerate(table.rows[:_HEAD_ROWS]):
        columns = _columns(wanted, row)
        fit = _Fit(table, place + 1, columns)
        if len(columns) >= least and (best is None or fit.score > best.score):
            best = fit
    return best


def _columns(wanted: Sequence[Wanted], heads: Sequence[str]) -> dict[str, tuple[int, float]]:
    scored = sorted(
        (
            (max((likeness(phrase, head) for phrase in one.phrases), default=0.0), one.path, column)
            for one in wanted
            for column, head in enumerate(heads)
            if head.strip()
        ),
        key=lambda entry: -entry[0],
    )
    found: dict[str, tuple[int, float]] = {}
    taken: set[int] = set()
    for score, path, column in scored:
        if score >= _LEAST and path not in found and column not in taken:
            found[path] = (column, score)
            taken.add(column)
    for one in wanted:
        # A head that says more, as "Unit price" for a price, where there is only one such.
        if one.path not in found and len(wanted) > 1:
            columns = [c for c, head in enumerate(heads) if c not in taken and _says_more(one, head)]
            if len(columns) == 1:
                found[one.path] = (columns[0], _LOOSE)
                taken.add(columns[0])
    return found


def _says_more(one: Wanted, head: str) -> bool:
    return any(set(phrase) < set(said) for phrase in one.phrases for said in variants(head)[:1])


def _is_data(row: Sequence[str], cells: dict[str, str]) -> bool:
    """Not blank, no sum below the others, no rest of the row above."""
    filled = [cell for cell in cells.values() if cell.strip()]
    sums = any(tokens(cell) in _TOTALS for cell in row if cell.strip())
    if len(cells) >= _SEVERAL and 2 * len(filled) <= len(cells):
        return False
    return bool(filled) and not (sums and len(filled) < len(cells))


def _values(
    wanted: Sequence[Wanted], fit: _Fit, cells: dict[str, str], lines: list[TextLine], day_first: bool | None
) -> dict[str, Found | Missing]:
    """A row's values by their paths below the item."""
    values: dict[str, Found | Missing] = {}
    for one in wanted:
        cell = " ".join(cells.get(one.path, "").split())
        if one.path not in fit.columns:
            values[one.path] = Missing("the table has no column of that name")
        elif not cell:
            values[one.path] = Missing("the cell is empty")
        elif isinstance(value := value_from(one.leaf, cell, day_first), Misfit):
            values[one.path] = Missing(value.reason)
        else:
            box, believed = _place(cell, lines, fit.table)
            confidence = round(fit.columns[one.path][1] * believed, 2)
            values[one.path] = Found(value, cell, fit.table.page, box, confidence, "text")
    return values


def _lines_in(page: Page | None, box: Box) -> list[TextLine]:
    if page is None:
        return []
    return [
        line for line in page.lines
        if box[0] - 5 <= (line.box[0] + line.box[2]) / 2 <= box[2] + 5
        and box[1] - 5 <= (line.box[1] + line.box[3]) / 2 <= box[3] + 5
    ]  # fmt: skip


def _place(cell: str, lines: list[TextLine], table: TextTable) -> tuple[Box, float]:
    """Where a cell stands: its line, the lines that it is made of, or the table. Each line is taken once."""
    plain = folded(cell)
    for fits in (lambda text: text == plain, lambda text: bool(plain) and f" {plain} " in f" {text} "):
        for place, line in enumerate(lines):
            if fits(folded(line.text)):
                if folded(line.text) == plain:
                    del lines[place]
                return line.box, line.confidence
    parts = [line for line in lines if (text := folded(line.text)) and re.search(rf"\b{re.escape(text)}\b", plain)]
    if parts:
        return joined([line.box for line in parts]), min(line.confidence for line in parts)
    return table.box, min((line.confidence for line in lines), default=1.0)
