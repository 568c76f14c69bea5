"""What is text and what only looks like it: photos and film frames are full of shapes that read as a letter or two.

A long line vouches for itself: shapes do not read as eight characters in a row. A short one has to be vouched for, by
lines of its own size that are surely text (its company: a label in a chart, a cell of a table), or, standing alone, by
readings of other crops that agree, a box that its characters fit, and ink that stands out from its ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision.ocr.lines import quad_size
from vision.ocr.rapid import Reading
from vision.ocr.scan import Scan

SHORT = 2  # characters; as often an icon or a marker as text
_LONE_SHORT = 4  # characters; shapes in photos read as up to four, rarely five
_LONG = 8  # characters; from here a line vouches for itself
_LEAST = 0.5  # mean score below which no line is believed
_LEAST_SHORT = 0.78  # of a short line in company
_LEAST_LONE = {_LONE_SHORT: 0.9, _LONG - 1: 0.8, 1 << 16: 0.6}  # up to so many characters
_NEIGHBOURS = 4  # short lines that read surely and so make company for each other
_WIDEST_GLYPH = 1.3  # width : height of a box around one character
_CLEAR = 0.7  # share of a crop's grey variance between ink and ground; print 0.8 and more, photos 0.6 to 0.8


@dataclass(frozen=True)
class Company:
    """The heights in pixels of the lines of a picture that are surely text."""

    heights: tuple[float, ...]

    def near(self, quad: np.ndarray) -> bool:
        height = min(quad_size(quad))
        return any(0.4 * other < height < 2.5 * other for other in self.heights)


def length(text: str) -> int:
    """Characters that carry a reading: letters, digits and signs, not spaces."""
    return sum(not char.isspace() for char in text)


def company(quads: Sequence[np.ndarray] | np.ndarray, readings: Sequence[Reading]) -> Company:
    sure, brief = [], []
    for quad, reading in zip(quads, readings, strict=True):
        count = length(reading.text)
        if (count > SHORT and reading.score >= 0.9) or (count > _LONE_SHORT and reading.score >= 0.8):
            sure.append(min(quad_size(quad)))
        elif any(char.isalnum() for char in reading.text) and reading.score >= 0.95 and _fits(quad, count):
            brief.append(min(quad_size(quad)))
    return Company(tuple(sure + (brief if len(brief) >= _NEIGHBOURS else [])))


def needs_witness(reading: Reading, lone: bool) -> bool:
    """Whether the line must be read again before it is believed, however well it scored."""
    return lone and length(reading.text) <= _LONE_SHORT


def voted(readings: Sequence[Reading]) -> Reading:
    """The text that most crops of a line agree on, letter case aside, with the mean of its two best scores.

    A text that only one of several crops shows is believed half.
    """
    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(reading.text.replace(" ", "").casefold(), []).append(reading)
    best = Reading("", 0.0)
    for text, group in groups.items():
        group.sort(key=lambda reading: -reading.score)
        second = group[1].score if len(group) > 1 else 0.0
        score = (group[0].score + second) / 2
        if text and score > best.score:
            best = Reading(group[0].text, score, group[0].words)
    return best


def believed(quad: np.ndarray, reading: Reading, lone: bool, scan: Scan) -> bool:
    """Whether reading, made of several looks where it needed them, goes into the result."""
    count = length(reading.text)
    if count == 0 or reading.score < _LEAST:
        return False
    if not lone:
        return count > SHORT or reading.score >= _LEAST_SHORT
    if reading.score < next(least for most, least in _LEAST_LONE.items() if count <= most):
        return False
    return count > SHORT or (_fits(quad, count) and _clear(scan.crop(quad)))


def _fits(quad: np.ndarray, count: int) -> bool:
    """Whether a box is not too long for its characters; a tall box may hold them one above the other."""
    short, long = sorted(quad_size(quad))
    return long <= _WIDEST_GLYPH * max(1, count) * max(1.0, short) or count > _LONE_SHORT or _narrow(quad, count)


def _narrow(quad: np.ndarray, count: int) -> bool:
    """A single upright stroke (1, l, I) leaves a box that is higher than it is wide."""
    width, height = quad_size(quad)
    return count == 1 and height <= 2.5 * width and width < height


def _clear(crop: np.ndarray) -> bool:
    """Whether two shades, ink and ground, explain the crop (Otsu's criterion, 1979)."""
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    if gray.shape[0] > 48:
        gray = cv2.resize(gray, (max(1, gray.shape[1] * 48 // gray.shape[0]), 48), interpolation=cv2.INTER_AREA)
    at, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_OTSU)
    ink = gray > at
    share = float(ink.mean())
    if not 0 < share < 1:
        return False
    between = share * (1 - share) * float(gray[ink].mean() - gray[~ink].mean()) ** 2
    return between >= _CLEAR * float(gray.var())
