"""The text reader: a picture in, lines in reading order and tables out.

read: scan (where are lines) → rotation (which way up) → recognition (what they say) → levelling (of a page askew) →
reading order → tables.
"""

from __future__ import annotations

import numpy as np

from vision.errors import InvalidArgument
from vision.ocr.levelling import level, slope, tilted_back
from vision.ocr.lines import Line
from vision.ocr.rapid import RapidEngine
from vision.ocr.reading_order import in_reading_order
from vision.ocr.recognition import recognise
from vision.ocr.rotation import Rotation, find_rotation, turn, turn_back
from vision.ocr.scan import Scan, flipped, scan
from vision.ocr.tables import find_tables
from vision.types import Box, PageText, TextLine, TextTable

_FLAT = 4  # grey levels; a picture with less between its darkest and lightest pixel is blank
_SMALLEST = 4  # pixels on the shorter side; no text fits in less


class TextReader:
    """Reads English and Chinese text. One reader serves one thread at a time; models load at the first read."""

    def __init__(self, *, threads: int | None = None) -> None:
        """threads: CPU threads for each model run; None takes every core."""
        if threads is not None and threads < 1:
            raise InvalidArgument(f"threads is {threads}.", "Give a number of threads from 1, or None for every core.")
        self._threads = threads
        self._engine: RapidEngine | None = None

    def read(self, rgb: np.ndarray, *, tables: bool = True) -> PageText:
        """Read a picture, (H, W, 3) uint8 sRGB.

        Boxes are in pixels of rgb, also where it had to be turned to be read; rotation says by how much it was turned.
        Confidence is the recogniser's mean score, 0.5 … 1; what it cannot read is left out. tables=False saves looking
        for tables (some 20 ms). Raises InvalidArgument for another shape or type, EngineUnavailable when the models
        do not load or run.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise InvalidArgument(
                f"The picture is {rgb.dtype} of shape {rgb.shape}.", "Give a non-empty (H, W, 3) array of uint8."
            )
        if min(rgb.shape[:2]) < _SMALLEST or int(rgb.max()) - int(rgb.min()) < _FLAT:
            return PageText()
        if self._engine is None:
            self._engine = RapidEngine(self._threads)
        return _read(self._engine, rgb[..., ::-1], tables=tables)


def _read(engine: RapidEngine, bgr: np.ndarray, *, tables: bool) -> PageText:
    height, width = bgr.shape[:2]
    found = scan(engine, bgr)
    if len(found.quads) == 0:
        return PageText()
    probe = find_rotation(engine, found)
    if probe.rotation == 180:
        found = flipped(found)
    elif probe.rotation:
        found = scan(engine, turn(bgr, probe.rotation))
    lines = recognise(engine, found, probe.readings)
    if not lines:
        return PageText()
    angle = slope(lines)
    flat, level_lines = level(found, lines, angle) if angle else (found, lines)
    quads = {id(moved): line for moved, line in zip(level_lines, lines, strict=True)}
    ordered = in_reading_order(level_lines)
    return PageText(
        lines=tuple(_text_line(quads[id(line)], probe.rotation, width, height) for line in ordered),
        tables=_tables(flat, ordered, angle, probe.rotation, width, height) if tables else (),
        rotation=probe.rotation,
        slope=angle,
    )


def _text_line(line: Line, rotation: Rotation, width: int, height: int) -> TextLine:
    return TextLine(
        text=line.text, box=_inside(line.box, rotation, width, height), confidence=min(1.0, max(0.0, line.score))
    )


def _tables(
    found: Scan, lines: list[Line], angle: float, rotation: Rotation, width: int, height: int
) -> tuple[TextTable, ...]:
    return tuple(
        TextTable(box=_inside(tilted_back(table.box, found, angle), rotation, width, height), rows=table.rows)
        for table in find_tables(found, lines)
    )


def _inside(box: Box, rotation: Rotation, width: int, height: int) -> Box:
    """The box in pixels of the picture as it came, at least a pixel wide and high."""
    left, top, right, bottom = turn_back(box, rotation, width, height)
    left, top = min(max(left, 0.0), width - 1.0), min(max(top, 0.0), height - 1.0)
    return (left, top, max(left + 1.0, min(right, float(width))), max(top + 1.0, min(bottom, float(height))))
