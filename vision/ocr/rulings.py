"""The ruled lines of a picture: borders of tables, of cells and of panels, found by their pixels.

A ruling is a run of pixels that differ from those across it, longer than letters are: an opening with a long thin
kernel keeps nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_CONTRAST = 10  # grey levels by which neighbours across a ruling differ
_THICK = 8  # pixels; thicker runs are bars and pictures


@dataclass(frozen=True)
class Ruling:
    """A straight line: at `at` across, from `start` to `end` along, in pixels of the picture."""

    at: float
    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


def find_rulings(bgr: np.ndarray, line_height: float) -> tuple[list[Ruling], list[Ruling]]:
    """Horizontal rulings (at is y) and vertical ones (at is x) of a picture whose lines are line_height pixels high."""
    gray = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    across = max(24, round(2.5 * line_height)) | 1  # odd, or the opening shifts what it keeps
    down = max(12, round(0.85 * line_height)) | 1  # rows are hardly higher than their lines
    # Differences over two pixels: both edges of a hairline, and its middle, are one run.
    flat = cv2.absdiff(gray[2:], gray[:-2])
    upright = cv2.absdiff(gray[:, 2:], gray[:, :-2])
    return _runs(flat, (across, 1)), _runs(upright, (1, down))


def _runs(differences: np.ndarray, kernel: tuple[int, int]) -> list[Ruling]:
    """Runs at least as long as the kernel; pieces on one straight line with small breaks are one."""
    edges = cv2.threshold(differences, _CONTRAST, 255, cv2.THRESH_BINARY)[1]
    opened = cv2.morphologyEx(edges, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, kernel))
    flat = kernel[1] == 1
    _, _, stats, _ = cv2.connectedComponentsWithStats(opened)
    found = []
    for left, top, width, height, _ in stats[1:]:
        thick, start, length, at = (height, left, width, top) if flat else (width, top, height, left)
        if thick <= max(_THICK, 0.02 * length):
            found.append(Ruling(at + 1 + thick / 2, float(start), float(start + length)))
    return _joined(found)


def _joined(rulings: list[Ruling]) -> list[Ruling]:
    """Both edges of a thick line, and the pieces of a broken one, made one ruling."""
    kept: list[Ruling] = []
    for ruling in sorted(rulings, key=lambda item: (item.start, item.at)):
        for index, other in enumerate(kept):
            if abs(other.at - ruling.at) <= _THICK and ruling.start <= other.end + _THICK:
                both = (other.at * other.length + ruling.at * ruling.length) / max(1.0, other.length + ruling.length)
                kept[index] = Ruling(both, other.start, max(other.end, ruling.end))
                break
        else:
            kept.append(ruling)
    return kept
