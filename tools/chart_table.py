"""A chart's data as a table, read from what a model wrote: Markdown, or values parted by commas or tabs."""

from __future__ import annotations

import csv
import re

from vision.types import Frozen

_RULE = re.compile(r"[\s|:\-]+")
_NUMBER = re.compile(r"[-−–]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[-−–]?\d+(?:\.\d+)?")
_MOST_CELLS = 2_000


class ChartTable(Frozen):
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


def parse_table(text: str) -> ChartTable | None:
    """The first table in `text`; None where there is none of two columns and a row. Plain numbers become numbers."""
    rows = _markdown(text) or _separated(text, "\t") or _separated(text, ",")
    if len(rows) < 2 or len(rows[0]) < 2 or len(rows) * len(rows[0]) > _MOST_CELLS:
        return None
    width = len(rows[0])
    body = [tuple(_value(cell) for cell in (row + [""] * width)[:width]) for row in rows[1:]]
    return ChartTable(columns=tuple(rows[0]), rows=tuple(body))


def _markdown(text: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for line in text.splitlines():
        if "|" in line:
            if not _RULE.fullmatch(line):
                rows.append([cell.strip().strip("*").strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows


def _separated(text: str, mark: str) -> list[list[str]]:
    """The longest run of lines that have the same number of parts."""
    best: list[list[str]] = []
    run: list[list[str]] = []
    for line in text.splitlines():
        parts = [part.strip() for part in next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])]
        if run and len(parts) != len(run[0]):
            run = []
        if len(parts) > 1:
            run.append(parts)
        if len(run) > len(best):
            best = list(run)
    return best


def _value(cell: str) -> str | float:
    return float(cell.replace(",", "").replace("−", "-").replace("–", "-")) if _NUMBER.fullmatch(cell) else cell
