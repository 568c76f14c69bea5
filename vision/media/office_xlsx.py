"""Excel workbooks (XLSX), by python-calamine: a sheet is a page, a long one several; values as last computed.

Cells come as they are stored: how a number is shown (as a percentage, with a currency) is not in the values.
"""

from __future__ import annotations

import datetime
import io
from dataclasses import dataclass
from itertools import islice
from typing import Any

from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from vision.media.document_facts import Annotation, Link, Metadata, OutlineEntry
from vision.media.office_parts import Block, OfficePage

ROWS_A_PAGE = 500


@dataclass(frozen=True)
class _Sheet:
    name: str
    hidden: bool
    rows: int
    pages: int


class SheetsContent:
    """Sheets are read one at a time; of one that is longer than a page, each page has its first row again."""

    def __init__(self, data: bytes, metadata: Metadata) -> None:
        self._workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        self._open: tuple[str, Any] | None = None
        self._sheets: list[_Sheet] = []
        for known in self._workbook.sheets_metadata:
            if known.typ == SheetTypeEnum.WorkSheet:
                rows = self._sheet(known.name).height
                hidden = known.visible != SheetVisibleEnum.Visible
                self._sheets.append(_Sheet(known.name, hidden, rows, max(1, -(-rows // ROWS_A_PAGE))))
        self.metadata = metadata
        self.outline = tuple(
            OutlineEntry(level=1, title=sheet.name, page=1 + sum(before.pages for before in self._sheets[:at]))
            for at, sheet in enumerate(self._sheets)
        )
        self.links: tuple[Link, ...] = ()
        self.annotations: tuple[Annotation, ...] = ()

    @property
    def page_count(self) -> int:
        return max(1, sum(sheet.pages for sheet in self._sheets))

    def page(self, number: int) -> OfficePage:
        part = number - 1
        for sheet in self._sheets:
            if part < sheet.pages:
                return self._part(sheet, part)
            part -= sheet.pages
        return OfficePage(())

    def _part(self, known: _Sheet, part: int) -> OfficePage:
        sheet = self._sheet(known.name)
        first = part * ROWS_A_PAGE
        above, left = sheet.start or (0, 0)
        rows = [*_rows(sheet, above, 1), *_rows(sheet, above + first, ROWS_A_PAGE)]
        rows = rows if part else rows[1:]
        # What is empty above and left of the first value is left out, so that it is told where the table stands.
        last = above + min(first + ROWS_A_PAGE, known.rows)
        where = f"{_letters(left)}{above + first + 1}:{_letters(left + max(0, sheet.width - 1))}{last}"
        hidden = ", a hidden sheet" if known.hidden else ""
        title = Block("heading", known.name, level=1)
        if not any(map(any, rows)):
            return OfficePage((title, Block("text", f"(empty{hidden})")))
        again = f"; row {above + 1} is repeated above the others" if part else ""
        cells = Block("text", f"Cells {where}{hidden}{again}.")
        return OfficePage((title, cells, Block("table", rows=tuple(rows))))

    def _sheet(self, name: str) -> Any:
        if self._open is None or self._open[0] != name:
            self._open = None  # one sheet in memory at a time
            sheet = self._workbook.get_sheet_by_name(name)
            self._open = (name, sheet)
        return self._open[1]


def _rows(sheet: Any, first: int, count: int) -> list[tuple[str, ...]]:
    """Rows from `first` (0: the sheet's first) on, without the columns left of the first value."""
    return [tuple(map(_cell, row)) for row in islice(sheet.iter_rows(), first, first + count)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return format(value, ".15g")
    if isinstance(value, datetime.datetime):
        plain = value.time() == datetime.time()
        return value.date().isoformat() if plain else value.isoformat(sep=" ")
    return str(value)


def _letters(column: int) -> str:
    """0: A, 25: Z, 26: AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
