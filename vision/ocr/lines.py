"""A found line of text: where it stands, how it is cut out, what it says."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vision.ocr.rapid import Reading
from vision.types import Box

TALL = 1.5  # height : width from which a box holds text that runs up or down the page


@dataclass(frozen=True, eq=False)
class Line:
    """quad: (4, 2) float32, corners clockwise from the top left, in pixels of the upright picture."""

    quad: np.ndarray
    reading: Reading

    @property
    def text(self) -> str:
        return self.reading.text

    @property
    def score(self) -> float:
        return self.reading.score

    @property
    def box(self) -> Box:
        return quad_box(self.quad)

    @property
    def height(self) -> float:
        """Of the letters' band, across the line, in pixels."""
        return min(quad_size(self.quad))

    @property
    def tall(self) -> bool:
        return is_tall(self.quad)


def quad_box(quad: np.ndarray) -> Box:
    left, top = quad.min(axis=0)
    right, bottom = quad.max(axis=0)
    return (float(left), float(top), float(right), float(bottom))


def quad_size(quad: np.ndarray) -> tuple[float, float]:
    """Width and height in pixels, along the quadrilateral's own sides."""
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    return float(max(sides[0], sides[2])), float(max(sides[1], sides[3]))


def is_tall(quad: np.ndarray) -> bool:
    width, height = quad_size(quad)
    return height >= TALL * max(width, 1.0)


def grow(quad: np.ndarray, share: float) -> np.ndarray:
    """The quadrilateral with `share` of its line height added on every side (negative: taken away)."""
    width, height = quad_size(quad)
    across = (quad[1] - quad[0] + quad[2] - quad[3]) / (2 * max(width, 1.0))
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / (2 * max(height, 1.0))
    step = share * min(width, height)
    shift = np.array([-across - down, across - down, across + down, down - across], dtype=np.float32)
    return quad + step * shift


def crop(bgr: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The line cut out and straightened, (h, w, 3); a tall one is laid on its side, its top to the left.

    That is how text that runs down the page, Chinese columns included, is shown to the recogniser.
    """
    cut = upright_crop(bgr, quad)
    return np.ascontiguousarray(np.rot90(cut)) if cut.shape[0] >= TALL * cut.shape[1] else cut


def upright_crop(bgr: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The quadrilateral's pixels, straightened, as they stand in the picture; bgr may be a view in any strides."""
    width, height = (max(1, round(side)) for side in quad_size(quad))
    left, top, right, bottom = quad_box(quad)
    rows = _around(top, bottom, bgr.shape[0])
    columns = _around(left, right, bgr.shape[1])
    part = np.ascontiguousarray(bgr[rows, columns])
    moved = quad.astype(np.float32) - np.array([columns.start, rows.start], dtype=np.float32)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(moved, target)
    return cv2.warpPerspective(part, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _around(low: float, high: float, size: int) -> slice:
    """The pixels from low to high within size, and the few beside them that interpolation needs; never none."""
    start = min(max(0, int(low) - 4), size - 1)
    return slice(start, max(start + 1, min(size, int(high) + 5)))
