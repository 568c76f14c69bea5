"""InternVL's dynamic resolution, without a pixel: into which grid of square tiles a picture is cut.

The rule is the reference's (`dynamic_preprocess` of OpenGVLab/InternVL): among the grids of at most `most` tiles the
one whose proportions come nearest to the picture's, larger grids on a tie only for pictures large enough to fill them.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

# Of every published InternVL.
TILE_SIDE = 448
# Where less would be saved, the picture is left as it is: every scaling blurs a little.
_WORTH_SCALING = 0.8

# How a picture is brought to the size that a model's server makes use of.
Fit = Literal["cover", "grid", "area"]


@cache
def _grids(most: int) -> tuple[tuple[int, int], ...]:
    """All (columns, rows) of at most `most` tiles, fewest tiles first."""
    sides = range(1, most + 1)
    return tuple(sorted(((i, j) for i in sides for j in sides if i * j <= most), key=lambda grid: grid[0] * grid[1]))


def grid(width: int, height: int, most: int, side: int = TILE_SIDE) -> tuple[int, int]:
    """(columns, rows) for a picture of that size, with at most `most` tiles of `side` pixels."""
    shape = width / height
    best, nearest = (1, 1), float("inf")
    for columns, rows in _grids(most):
        off = abs(shape - columns / rows)
        # On an exact tie the later grid only where the picture has more than half of the grid's pixels.
        if off < nearest or (off == nearest and width * height > 0.5 * side * side * columns * rows):
            best, nearest = (columns, rows), off
    return best


def fitted_size(width: int, height: int, fit: Fit, most: int, side: int = TILE_SIDE) -> tuple[int, int]:
    """The size in pixels at which a picture should be sent to be seen in at most `most` tiles of `side` pixels.

    cover: for a server that cuts by the rule and takes `most`. It keeps its shape and covers its grid, no more.
    grid: for one that cuts by the rule and takes no number. The picture is stretched to its grid, as the rule would
    stretch it; a picture of that size is cut into these tiles whatever higher number the server has. (llama.cpp, which
    looks for the grid that wastes the least, comes to the same.) The thumbnail alone differs a little.
    area: for a model of another kind. It keeps its shape and has no more pixels than the tiles.
    """
    if fit == "area":
        scale = math.sqrt(most * side**2 / (width * height))
        return (width, height) if scale > _WORTH_SCALING else (round(width * scale) or 1, round(height * scale) or 1)
    columns, rows = grid(width, height, most, side)
    if fit == "grid":
        return columns * side, rows * side
    scale = max(columns * side / width, rows * side / height)
    smaller = max(columns * side, round(width * scale)), max(rows * side, round(height * scale))
    # Rounding may turn the proportions over to another grid: then it stays as it is.
    return smaller if scale < _WORTH_SCALING and grid(*smaller, most, side) == (columns, rows) else (width, height)
