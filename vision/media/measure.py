"""Exact facts about a picture's pixels, for a description without a model: measured, never interpreted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vision.media.colors import color_name, hex_code, to_lab
from vision.media.picture_facts import Cell, ColorShare, PictureFacts
from vision.types import Box

Pixels = npt.NDArray[np.uint8]

# Pixels looked at for colours and brightness: enough for shares exact to about 0.1 %.
_SAMPLE = 400_000
# Distances in CIELAB: about 2.3 is just noticeable side by side.
_SAME_COLOR = 14.0
_BLANK = 3.0
# Channels further apart than this (of 255) give a tint that can be seen.
_TINT = 12
# A pixel belongs to the content when a channel differs this much from the background, above JPEG's ringing.
_CONTENT_STEP = 24
_GRID = 3
# Rows worked on at a time: keeps the wider numbers in between small beside the picture itself.
_BAND_ROWS = 256


def measure(
    rgb: Pixels, *, scale: float = 1.0, origin: tuple[float, float] = (0.0, 0.0), transparent_share: float = 0.0
) -> PictureFacts:
    """Facts about `rgb`, (H, W, 3) uint8.

    scale: rgb pixels per original pixel, and origin: where rgb starts in the original, for the boxes.
    """
    height, width = rgb.shape[:2]
    step = max(1, int((height * width / _SAMPLE) ** 0.5))
    sample = rgb[::step, ::step].reshape(-1, 3)
    luma = _luma(rgb)
    edges, sharpness = _edges(luma)
    low, high = np.percentile(luma[::step, ::step], [1, 99])
    background, box = _layout(rgb, scale, origin)
    return PictureFacts(
        dominant_colors=_dominant(sample),
        brightness=round(float(luma.mean()) / 255, 3),
        contrast=round(float(high - low) / 255, 3),
        greyscale=bool(((sample.max(axis=1) - sample.min(axis=1)) > _TINT).mean() < 0.001),
        blank=_is_blank(rgb),
        transparent_share=round(transparent_share, 3),
        sharpness=round(sharpness, 1),
        edge_share=round(float(edges.mean()), 4),
        background=background,
        content_box=box,
        cells=_cells(rgb, luma, edges, step),
    )


def _luma(rgb: Pixels) -> Pixels:
    """(H, W) uint8, Rec. 601 weights in 1/256."""
    luma = np.empty(rgb.shape[:2], np.uint8)
    for top in range(0, len(rgb), _BAND_ROWS):
        band = rgb[top : top + _BAND_ROWS].astype(np.uint16)
        luma[top : top + _BAND_ROWS] = (band[..., 0] * 77 + band[..., 1] * 150 + band[..., 2] * 29) >> 8
    return luma


def _edges(luma: Pixels) -> tuple[npt.NDArray[np.bool_], float]:
    """Which pixels differ by more than 32 from the right or lower neighbour, and the Laplacian's standard deviation."""
    height, width = luma.shape
    edges = np.zeros(luma.shape, np.bool_)
    total = squares = 0.0
    for top in range(0, height, _BAND_ROWS):
        bottom = min(height, top + _BAND_ROWS)
        # One row more on either side: the neighbours of the band's first and last row.
        above, below = min(top, 1), min(height - bottom, 1)
        values = luma[top - above : bottom + below].astype(np.int16)
        own = values[above : above + bottom - top]
        edges[top:bottom, :-1] |= np.abs(own[:, 1:] - own[:, :-1]) > 32
        edges[top : bottom - 1 + below] |= np.abs(values[above + 1 :] - values[above:-1]) > 32
        if len(values) >= 3 and width >= 3:
            laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
            laplacian -= 4 * values[1:-1, 1:-1]
            total += float(laplacian.sum(dtype=np.int64))
            squares += float(np.square(laplacian, dtype=np.int32).sum(dtype=np.int64))
    count = max(1, (height - 2) * (width - 2))
    return edges, max(0.0, squares / count - (total / count) ** 2) ** 0.5


def _dominant(sample: Pixels) -> tuple[ColorShare, ...]:
    """Group the colours of (N, 3) pixels: the most common one takes in all that looks like it, then the next."""
    bins = (sample >> 3).astype(np.int32) @ np.array([1024, 32, 1], np.int32)
    counts = np.bincount(bins, minlength=32768)
    present = np.flatnonzero(counts)
    amounts = counts[present]
    centres = np.stack([present >> 10, (present >> 5) & 31, present & 31], axis=1).astype(np.float32) * 8 + 4
    lab = to_lab(centres)
    groups: list[ColorShare] = []
    while len(present) and len(groups) < 8:
        top = int(amounts.argmax())
        near = np.linalg.norm(lab - lab[top], axis=1) < _SAME_COLOR
        share = float(amounts[near].sum()) / len(sample)
        if share < 0.01:
            break
        color = _most_common(sample[bins == present[top]])
        groups.append(ColorShare(name=color_name(color), hex=hex_code(color), share=round(min(1.0, share), 3)))
        present, amounts, lab = present[~near], amounts[~near], lab[~near]
    return tuple(sorted(groups, key=lambda group: -group.share))


def _most_common(pixels: Pixels) -> tuple[int, int, int]:
    codes = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    values, counts = np.unique(codes, return_counts=True)
    code = int(values[counts.argmax()])
    return code >> 16, (code >> 8) & 255, code & 255


def _is_blank(rgb: Pixels) -> bool:
    """Looks at every pixel unless a few tell already: a thin line on an empty page is not blank."""
    for part in (rgb[::16, ::16], rgb):
        channels = [part[..., channel] for channel in range(3)]
        ends = to_lab(np.array([[c.min() for c in channels], [c.max() for c in channels]], np.uint8))
        if np.linalg.norm(ends[1] - ends[0]) >= _BLANK:
            return False
    return True


def _layout(rgb: Pixels, scale: float, origin: tuple[float, float]) -> tuple[ColorShare | None, Box | None]:
    """The border's colour where three quarters of the border have it, and the box around everything else."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    color = _most_common(border & np.uint8(0xFC))
    near = np.abs(border.astype(np.int16) - np.array(color, np.int16)).max(axis=1) < _CONTENT_STEP
    if near.mean() < 0.75:
        return None, None
    color = _most_common(border[near])
    content = np.zeros(rgb.shape[:2], np.bool_)
    for channel in range(3):
        lowest, highest = max(0, color[channel] - _CONTENT_STEP), min(255, color[channel] + _CONTENT_STEP)
        content |= (rgb[..., channel] < lowest) | (rgb[..., channel] > highest)
    share = 1.0 - float(content.mean())
    background = ColorShare(name=color_name(color), hex=hex_code(color), share=round(share, 3))
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    if not len(rows):
        return background, None
    corners = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    x1, y1, x2, y2 = (round(corner / scale + origin[i % 2], 1) for i, corner in enumerate(corners))
    return background, (x1, y1, x2, y2)


def _cells(rgb: Pixels, luma: Pixels, edges: npt.NDArray[np.bool_], step: int) -> tuple[Cell, ...]:
    height, width = luma.shape
    cells: list[Cell] = []
    for row in range(_GRID):
        for column in range(_GRID):
            # At least one pixel each, in pictures narrower than the grid too.
            top, left = min(height - 1, row * height // _GRID), min(width - 1, column * width // _GRID)
            bottom = max(top + 1, (row + 1) * height // _GRID)
            right = max(left + 1, (column + 1) * width // _GRID)
            part = (slice(top, bottom), slice(left, right))
            red, green, blue = (int(value + 0.5) for value in rgb[part][::step, ::step].mean(axis=(0, 1)))
            cells.append(
                Cell(
                    row=row,
                    column=column,
                    color=color_name((red, green, blue)),
                    brightness=round(float(luma[part].mean()) / 255, 3),
                    detail=round(float(edges[part].mean()), 4),
                )
            )
    return tuple(cells)
