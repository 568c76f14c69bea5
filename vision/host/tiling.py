"""InternVL's dynamic resolution: a picture becomes a grid of square tiles, and a thumbnail when there are several.

`vision.media.tile_grid` has the rule. The picture is stretched to the grid by bicubic resampling, cut row by row, and
the thumbnail comes last, as in the reference.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from vision.errors import InvalidArgument
from vision.media.tile_grid import grid

# ImageNet's, as in the reference's build_transform.
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
# Pillow would try some forty more, a PostScript file by running another program.
_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True)
class Tiles:
    """`pixels`: (tiles, side, side, 3) uint8 RGB; `digests`: what tells each tile's content."""

    pixels: np.ndarray
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.digests)


def cut(encoded: bytes, most: int, side: int) -> Tiles:
    """The tiles of an encoded picture, thumbnail last. Raises InvalidArgument when it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as e:
        raise InvalidArgument("a picture of the request cannot be decoded", "Send a PNG, JPEG or WebP.") from e
    columns, rows = grid(*picture.size, most, side)
    whole = np.asarray(picture.resize((columns * side, rows * side), Image.Resampling.BICUBIC))
    pixels = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    if columns * rows > 1:
        thumbnail = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        pixels = np.concatenate([pixels, thumbnail[None]])
    pixels = np.ascontiguousarray(pixels)
    return Tiles(pixels, tuple(hashlib.sha256(tile.data).digest() for tile in pixels))


def normalised(pixels: np.ndarray) -> np.ndarray:
    """(tiles, side, side, 3) uint8 to (tiles, 3, side, side) float32 as the vision tower takes it."""
    scaled = pixels.astype(np.float32) * np.float32(1 / 255)
    return np.ascontiguousarray(((scaled - MEAN) / STD).transpose(0, 3, 1, 2))
