"""Where the lines of text are: the detector run at a scale, and in tiles, that suit the picture.

The detector sees text of about 10 to 100 pixels in height and needs memory in proportion to the area it looks at. So a
picture is scaled to between 736 and 2,000 pixels, as RapidOCR does; long strips (a scrolled page) are read in tiles
instead of being shrunk; and where the first look finds the letters to be tiny or huge, a second look is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from vision.ocr.lines import crop, grow, quad_box, quad_size

_MIN_SIDE, _MAX_SIDE = 736, 2000  # pixels, RapidOCR's own bounds
_STRIP = 3.0  # long : short side from which a picture is a strip
_OVERLAP = 128  # pixels that neighbouring tiles share, more than the height of a line
# Pixels of one tile, beside the overlap: an A4 page of any resolution and a 16:9 screen are seen whole, as RapidOCR
# sees them. A run of the detector needs 200 bytes a pixel, so 800 MB in all at the most.
_TILE_AREA = 2_650_000
_MAX_AREA = 16e6  # pixels looked at in all tiles of a pass; bounds the time to about 8 s
_TINY, _HUGE, _COMFORTABLE = 15.0, 130.0, 48.0  # line heights in pixels of the look
_MARGIN = 0.05  # of the line height, added around a line before it is read: a little fewer errors than with none
_SHARP = 40.0  # a line lower than this in the shrunk picture is cut out of the original


class Detector(Protocol):
    def detect(self, bgr: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Scan:
    """One picture with its lines. quads: (n, 4, 2) float32 in pixels of bgr; shrunk is bgr at `scale`, contiguous.

    bgr may be a view (of RGB pixels, of a turned picture): a copy of a large picture would be 100 MB.
    """

    bgr: np.ndarray
    shrunk: np.ndarray
    scale: float
    quads: np.ndarray

    def crop(self, quad: np.ndarray) -> np.ndarray:
        """Cut out a line from whichever copy has it nearest to the recogniser's 48 pixels, and not below."""
        quad = grow(quad, _MARGIN)
        if self.scale < 1 and min(quad_size(quad)) * self.scale >= _SHARP:
            return crop(self.shrunk, quad * np.float32(self.scale))
        return crop(self.bgr, quad)


def scan(detector: Detector, bgr: np.ndarray) -> Scan:
    """Find the lines of a picture (h, w, 3) uint8 BGR."""
    found = _look(detector, bgr, _first_scale(bgr))
    heights = [min(quad_size(quad)) * found.scale for quad in found.quads]
    if found.scale < 0.8 and (not heights or np.percentile(heights, 25) < _TINY):
        closer = _look(detector, bgr, min(1.0, 2 * found.scale))
        return closer if len(closer.quads) >= len(heights) else found
    height = float(np.median(heights)) if heights else 0.0
    if height > _HUGE:
        again = _look(detector, bgr, found.scale * _COMFORTABLE / height)
        return again if _covered(again.quads) >= 0.8 * _covered(found.quads) else found
    return found


def flipped(found: Scan) -> Scan:
    """The scan of the picture turned by 180°: the detector sees the same lines either way, so they turn with it."""
    height, width = found.bgr.shape[:2]
    quads = np.array([width, height], dtype=np.float32) - np.roll(found.quads, 2, axis=1)
    shrunk = np.ascontiguousarray(found.shrunk[::-1, ::-1])
    return Scan(shrunk if found.scale == 1 else found.bgr[::-1, ::-1], shrunk, found.scale, quads)


def _first_scale(bgr: np.ndarray) -> float:
    short, long = sorted(bgr.shape[:2])
    if long > _STRIP * short:
        # A low strip is enlarged as far as it stays within two tiles, a broad one shrunk until it is one tile broad.
        return max(1.0, min(2.0, 2 * _MAX_SIDE / long)) if short < _MIN_SIDE / 2 else min(1.0, 1400 / short)
    if long > _MAX_SIDE:
        return _MAX_SIDE / long
    return max(1.0, min(_MIN_SIDE / short, _MAX_SIDE / long))


def _look(detector: Detector, bgr: np.ndarray, scale: float) -> Scan:
    height, width = bgr.shape[:2]
    scale = min(scale, (_MAX_AREA / (height * width)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = _resized(bgr, size, scale)
    parts = []
    for rows, columns in _tiles(size):
        quads = _detect_padded(detector, shrunk[rows, columns])
        parts.append(quads + np.array([columns.start, rows.start], dtype=np.float32))
    quads = parts[0] if len(parts) == 1 else _joined(parts)
    ratio = np.array([width / size[0], height / size[1]], dtype=np.float32)
    return Scan(shrunk if size == (width, height) else bgr, shrunk, size[0] / width, quads * ratio)


def _resized(bgr: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    if size == (bgr.shape[1], bgr.shape[0]):
        return np.ascontiguousarray(bgr)
    how = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
    # OpenCV takes contiguous pixels only; where bgr is a view of RGB pixels, those are, and nothing is copied.
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    return np.ascontiguousarray(cv2.resize(rgb, size, interpolation=how)[..., ::-1])


def _tiles(size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the tiles that (width, height) pixels are looked at in, bounded in side and area."""
    across = _spans(size[0], _MAX_SIDE)
    broadest = max(span.stop - span.start for span in across)
    # Bands, for lines lie along them: few are cut.
    return [(rows, columns) for rows in _spans(size[1], min(_MAX_SIDE, _TILE_AREA // broadest)) for columns in across]


def _spans(length: int, longest: int) -> list[slice]:
    """The pieces that a side is looked at in: even, overlapping, at most `longest` pixels and the overlap."""
    if length <= longest + _OVERLAP:
        return [slice(0, length)]
    count = -(-(length - _OVERLAP) // (longest - _OVERLAP))
    step = (length - _OVERLAP) / count
    return [slice(round(index * step), min(length, round((index + 1) * step) + _OVERLAP)) for index in range(count)]


def _detect_padded(detector: Detector, tile: np.ndarray) -> np.ndarray:
    """Thin tiles get margins in the colour of their edges: the detector misses text that touches every border."""
    height, width = tile.shape[:2]
    down = max(0, max(64, width // 8) - height) // 2
    across = max(0, max(64, height // 8) - width) // 2
    if down or across:
        tile = cv2.copyMakeBorder(tile, down, down, across, across, cv2.BORDER_REPLICATE)
    quads = detector.detect(tile) - np.array([across, down], dtype=np.float32)
    return np.clip(quads, 0, np.array([width, height], dtype=np.float32))


def _covered(quads: np.ndarray) -> float:
    """Pixels under all quads: what a second look must not lose."""
    return float(sum(np.prod(quad_size(quad)) for quad in quads))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Lines of all tiles; what two tiles saw of the same line becomes one quadrilateral."""
    kept: list[np.ndarray] = []
    for quad in (quad for part in parts for quad in part):
        merged = quad
        rest = []
        for other in kept:
            if _same_line(quad_box(merged), quad_box(other)):
                merged = _both(merged, other)
            else:
                rest.append(other)
        kept = [*rest, merged]
    return np.array(kept, dtype=np.float32).reshape(-1, 4, 2)


def _same_line(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    across = min(one[2], two[2]) - max(one[0], two[0])
    down = min(one[3], two[3]) - max(one[1], two[1])
    if across <= 0 or down <= 0:
        return False
    low, narrow = min(one[3] - one[1], two[3] - two[1]), min(one[2] - one[0], two[2] - two[0])
    high = max(one[3] - one[1], two[3] - two[1])
    # Two halves of a line share what their tiles share.
    return across * down > 0.6 * low * narrow or (down > 0.7 * high and across > 0.5 * min(narrow, _OVERLAP))


def _both(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The larger, tilted as it may be, where it holds the other; else the upright rectangle around two parts."""
    larger = max(one, two, key=cv2.contourArea)
    left, top, right, bottom = quad_box(np.concatenate([one, two]))
    slack = 0.25 * min(quad_size(larger))
    if np.abs(np.array(quad_box(larger)) - (left, top, right, bottom)).max() <= slack:
        return larger
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)
