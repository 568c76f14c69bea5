"""Tables of a picture: first those with ruled cells, then those whose cells only stand aligned.

Precision before recall: what is not surely a table stays text, for the lines are in the answer anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.ocr.aligned_tables import aligned_tables
from vision.ocr.fragments import Fragment, fragments
from vision.ocr.lines import Line
from vision.ocr.ruled_tables import ruled_tables
from vision.ocr.rulings import Ruling, find_rulings
from vision.ocr.scan import Scan
from vision.types import Box

_FEWEST = 4  # fragments; fewer make no table


@dataclass(frozen=True)
class Table:
    """box in pixels of the upright picture; every row has the same number of cells."""

    box: Box
    rows: tuple[tuple[str, ...], ...]


def find_tables(scan: Scan, lines: list[Line]) -> list[Table]:
    """The tables of a page, from top to bottom; lines in the pixels of scan.bgr."""
    pieces = [piece for line in lines if not line.tall for piece in fragments(line)]
    if len(pieces) < _FEWEST:
        return []
    copy = scan.shrunk if scan.scale < 1 else np.ascontiguousarray(scan.bgr)
    scale = min(scan.scale, 1.0)
    height = float(np.median([piece.height for piece in pieces])) * scale
    flat, upright = find_rulings(copy, height)
    flat, upright = [_scaled(line, scale) for line in flat], [_scaled(line, scale) for line in upright]
    tables = []
    left: list[Fragment] = pieces
    for grid in ruled_tables(flat, upright, pieces):
        tables.append(Table(grid.box, grid.rows))
        left = [piece for piece in left if not _within(piece, grid.box)]
    tables += [Table(found.box, found.rows) for found in aligned_tables(left, flat, upright)]
    return sorted(tables, key=lambda table: (table.box[1], table.box[0]))


def _scaled(ruling: Ruling, scale: float) -> Ruling:
    return Ruling(ruling.at / scale, ruling.start / scale, ruling.end / scale)


def _within(piece: Fragment, box: Box) -> bool:
    return box[0] <= piece.centre <= box[2] and box[1] <= piece.middle <= box[3]
