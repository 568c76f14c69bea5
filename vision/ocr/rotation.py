"""Which way up a picture is, told from its lines at no cost to one that stands upright.

Most of the line boxes of a page turned by 90° or 270° are tall; recognising a few of them both ways says which. A page
turned by 180° shows itself by bad scores of its longest lines, which have to be recognised anyway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np

from vision.ocr.lines import is_tall, quad_size
from vision.ocr.rapid import Reading
from vision.ocr.scan import Scan

Rotation = Literal[0, 90, 180, 270]

_BATCH = 6  # crops that the recogniser takes at once
_FEWEST = 3  # lines that a direction is judged by, where the page has them
_SIDEWAYS = 0.6  # share of all line length in tall boxes from which a picture may lie on its side
_SURE = 0.85  # mean score of lines that stand upright
_BETTER = 0.1  # by how much another direction must score better
_CONVINCING = 4  # characters in sure readings without which no picture is turned: shapes read as one or two
_HAN = re.compile("[\u3400-\u9fff]")


class Recogniser(Protocol):
    def recognise(self, crops: Sequence[np.ndarray]) -> list[Reading]: ...


@dataclass(frozen=True)
class Probe:
    """rotation: degrees clockwise that stand the picture upright; readings of quads by index, none for 90 and 270."""

    rotation: Rotation
    readings: dict[int, Reading]


def find_rotation(recogniser: Recogniser, scan: Scan) -> Probe:
    lengths = [max(quad_size(quad)) for quad in scan.quads]
    tall = [index for index, quad in enumerate(scan.quads) if is_tall(quad)]
    if sum(lengths[index] for index in tall) >= _SIDEWAYS * sum(lengths):
        return _probe_tall(recogniser, scan, sorted(tall, key=lambda index: -lengths[index])[:3])
    ratio = {i: lengths[i] / max(1.0, min(quad_size(quad))) for i, quad in enumerate(scan.quads) if i not in set(tall)}
    # The longest lines that fill the last batch, so that probing leaves whole batches and costs nothing.
    count = len(ratio) % _BATCH
    count += 0 if count >= _FEWEST else _BATCH
    return _probe_flat(recogniser, scan, sorted(ratio, key=lambda index: -ratio[index])[:count])


def _probe_flat(recogniser: Recogniser, scan: Scan, chosen: list[int]) -> Probe:
    crops = [scan.crop(scan.quads[index]) for index in chosen]
    upright = recogniser.recognise(crops)
    readings = dict(zip(chosen, upright, strict=True))
    if _mean(upright) >= _SURE:
        return Probe(0, readings)
    flipped = recogniser.recognise([_turned(crop, 2) for crop in crops])
    if _mean(flipped) > _mean(upright) + _BETTER and _convincing(flipped):
        return Probe(180, dict(zip(chosen, flipped, strict=True)))
    return Probe(0, readings)


def _probe_tall(recogniser: Recogniser, scan: Scan, chosen: list[int]) -> Probe:
    downwards = [scan.crop(scan.quads[index]) for index in chosen]
    down = recogniser.recognise(downwards)
    up = recogniser.recognise([_turned(crop, 2) for crop in downwards])
    if _mean(up) > _mean(down) + _BETTER and _convincing(up):
        return Probe(90, {})
    if _is_column(recogniser, downwards, down):
        return Probe(0, dict(zip(chosen, down, strict=True)))
    return Probe(270 if _mean(down) > _mean(up) + _BETTER and _convincing(down) else 0, {})


def _is_column(recogniser: Recogniser, crops: list[np.ndarray], read: list[Reading]) -> bool:
    """Whether these are columns of upright Chinese characters, and not lines of a page that lies on its side.

    A column cut into its characters, laid out as a line, then reads well: at least as well as the crop as it was.
    """
    text = "".join(reading.text for reading in read)
    if len(_HAN.findall(text)) < 0.5 * max(1, len(text)):
        return False
    laid_out = recogniser.recognise([lay_out(crop, len(r.text)) for crop, r in zip(crops, read, strict=True)])
    return _mean(laid_out) > _mean(read) - _BETTER / 2


def lay_out(crop: np.ndarray, count: int) -> np.ndarray:
    """A column that lies on its side (top to the left) as a line of `count` upright characters."""
    edges = np.linspace(0, crop.shape[1], max(1, count) + 1).round().astype(int)
    cells = [np.rot90(crop[:, start:stop], -1) for start, stop in pairwise(edges) if stop > start]
    tallest = max(cell.shape[0] for cell in cells)
    padded = [np.pad(cell, ((0, tallest - cell.shape[0]), (0, 0), (0, 0)), mode="edge") for cell in cells]
    return np.ascontiguousarray(np.concatenate(padded, axis=1))


def _turned(crop: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(crop, quarters))


def _convincing(readings: list[Reading]) -> bool:
    return sum(len(reading.text) for reading in readings if reading.score >= 0.8) >= _CONVINCING


def _mean(readings: list[Reading]) -> float:
    """Mean score, a long reading counting more than a short one."""
    weights = [max(1, len(reading.text)) for reading in readings]
    return float(np.average([reading.score for reading in readings], weights=weights)) if readings else 1.0


def turn(bgr: np.ndarray, rotation: Rotation) -> np.ndarray:
    """The picture turned clockwise by rotation degrees, as a view."""
    return np.rot90(bgr, -rotation // 90)


def turn_back(
    box: tuple[float, float, float, float], rotation: Rotation, width: int, height: int
) -> tuple[float, float, float, float]:
    """A box of the turned picture in pixels of the picture as it came, which is width × height."""
    left, top, right, bottom = box
    if rotation == 90:  # a point (x, y) went to (height - y, x)
        return (top, height - right, bottom, height - left)
    if rotation == 180:
        return (width - right, height - bottom, width - left, height - top)
    if rotation == 270:  # a point (x, y) went to (y, width - x)
        return (width - bottom, left, width - top, right)
    return box
