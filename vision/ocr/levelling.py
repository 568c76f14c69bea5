"""Pages that lie a little askew: how much their lines slope, and the scan and its lines made level.

Reading order, rows of tables and rulings are found on level lines; results keep the places of the picture as it came.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from vision.ocr.lines import Line, quad_size
from vision.ocr.scan import Scan
from vision.types import Box

_LEAST, _MOST = 0.6, 20.0  # degrees; less moves no row into the next, more is no scan askew
_FEWEST = 3  # lines that say how a page lies
_LONG = 5.0  # width : height of a line whose slope counts
_AGREE = 1.2  # degrees from the median within which most lines have to slope


def slope(lines: Sequence[Line]) -> float:
    """Degrees clockwise by which the lines of a page slope; 0 where they hardly do, or each another way."""
    angles, weights = [], []
    for line in lines:
        width, height = quad_size(line.quad)
        if not line.tall and width >= _LONG * height:
            along = (line.quad[1] - line.quad[0]) + (line.quad[2] - line.quad[3])
            angles.append(math.degrees(math.atan2(float(along[1]), float(along[0]))))
            weights.append(width)
    if len(angles) < _FEWEST:
        return 0.0
    order = np.argsort(angles)
    half = np.searchsorted(np.cumsum(np.array(weights)[order]), sum(weights) / 2)
    median = angles[order[int(half)]]
    agreeing = sum(weight for angle, weight in zip(angles, weights, strict=True) if abs(angle - median) < _AGREE)
    return median if _LEAST <= abs(median) <= _MOST and agreeing >= 0.6 * sum(weights) else 0.0


def level(scan: Scan, lines: Sequence[Line], angle: float) -> tuple[Scan, list[Line]]:
    """The scan in its shrunk size turned by -angle degrees about its middle, and lines with level quadrilaterals.

    Both are in pixels of scan.bgr's size; corners of the picture that are turned out of it are lost.
    """
    # Rulings are looked for in the smaller of the two pictures.
    picture = scan.shrunk if scan.scale < 1 else np.ascontiguousarray(scan.bgr)
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turned = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    matrix = _matrix(scan, angle)
    moved = [replace(line, quad=_moved(line.quad, matrix)) for line in lines]
    return Scan(scan.bgr if scan.scale < 1 else turned, turned, min(1.0, scan.scale), scan.quads), moved


def tilted_back(box: Box, scan: Scan, angle: float) -> Box:
    """The box around a box of the level picture, in the picture as it came."""
    left, top, right, bottom = box
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)
    moved = _moved(corners, _matrix(scan, -angle))
    low, high = moved.min(axis=0), moved.max(axis=0)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _matrix(scan: Scan, angle: float) -> np.ndarray:
    height, width = scan.bgr.shape[:2]
    return cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
