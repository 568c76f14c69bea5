"""Draws the pictures of the tasks, and keeps what stands where: the labels from which the vision tower learns to see.

Pictures are made of cells of 14 pixels, the tower's patches: a small character fills one, a large one four.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision.host.tiling import grid

SIDE, PATCH = 112, 14
PATCHES = SIDE // PATCH
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (235, 200, 30),
    "purple": (150, 50, 190),
    "black": (35, 35, 35),
}
BAR = len(SHAPES) + 1
# What is known of a patch: the character, shape and colour in it (0: none; a bar's character is the one it stands
# over), the edges of what it belongs to in patches, and a bar's value. Each with its number of classes.
LABELS = {
    "character": len(CHARACTERS) + 1,
    "shape": len(SHAPES) + 2,
    "colour": len(COLOURS) + 1,
    "left": PATCHES + 1,
    "top": PATCHES + 1,
    "right": PATCHES + 1,
    "bottom": PATCHES + 1,
    "value": 97,
}
UNKNOWN = -100
# Smaller than this a character cannot be read and a shape not told.
_LEAST_CHARACTER, _LEAST_SHAPE, _LEAST_BAR, _WITHIN = 11.0, 8.0, 6.0, 0.8

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mark:
    """Something drawn, in pixels of the picture; 0 stands for what it is not."""

    box: Box
    character: int = 0
    shape: int = 0
    colour: int = 0
    value: int = UNKNOWN

    @property
    def least(self) -> float:
        """Pixels from which on it can be told what it is."""
        return _LEAST_BAR if self.shape == BAR else _LEAST_SHAPE if self.shape else _LEAST_CHARACTER


@dataclass(frozen=True)
class Picture:
    """`pixels`: (height, width, 3) uint8."""

    pixels: np.ndarray
    marks: tuple[Mark, ...]

    def png(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG")
        return file.getvalue()

    def tiles(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """What vision.host.tiling.cut makes of it, (tiles, side, side, 3), and the labels (tiles, patches, labels).

        Only for pictures of the size of their grid, for which no tile but the thumbnail is resampled.
        """
        height, width = self.pixels.shape[:2]
        columns, rows = grid(width, height, most, SIDE)
        assert (columns * SIDE, rows * SIDE) == (width, height)
        parts = self.pixels.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
        labels = [self._labels((x * SIDE, y * SIDE), (1, 1)) for y in range(rows) for x in range(columns)]
        if columns * rows > 1:
            small = Image.fromarray(self.pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            parts = np.concatenate([parts, np.asarray(small)[None]])
            labels.append(self._labels((0, 0), (columns, rows)))
        return parts, np.stack(labels)

    def _labels(self, corner: tuple[int, int], shrink: tuple[int, int]) -> np.ndarray:
        """(patches, labels) of the view that begins at `corner` and is shrunk so much."""
        found = np.zeros((PATCHES, PATCHES, len(LABELS)), dtype=np.int64)
        found[..., 3:] = UNKNOWN
        for mark in self.marks:
            x1, y1, x2, y2 = (
                (edge - corner[axis]) / shrink[axis] / PATCH
                for edge, axis in zip(mark.box, (0, 1, 0, 1), strict=True)
            )  # fmt: skip
            seen = max(0, min(x2, PATCHES) - max(x1, 0)) * max(0, min(y2, PATCHES) - max(y1, 0))
            if seen <= 0:
                continue
            left, top = max(0, round(x1)), max(0, round(y1))
            right, bottom = min(PATCHES, max(left + 1, round(x2))), min(PATCHES, max(top + 1, round(y2)))
            patches = found[min(top, PATCHES - 1) : bottom, min(left, PATCHES - 1) : right]
            size = min(x2 - x1, y2 - y1) * PATCH
            if size < mark.least or seen < _WITHIN * (x2 - x1) * (y2 - y1):
                patches[:] = UNKNOWN
                continue
            patches[..., :3] = mark.character, mark.shape, mark.colour
            if mark.shape:
                patches[..., 3:] = left, top, right, bottom, mark.value
        return found.reshape(-1, len(LABELS))


class Canvas:
    """A light picture to draw on; positions and sizes in pixels."""

    def __init__(self, chance: random.Random, width: int = SIDE, height: int = SIDE) -> None:
        self.chance = chance
        light = [chance.randint(225, 255) for _ in range(3)]
        self.pixels = np.empty((height, width, 3), dtype=np.float32)
        self.pixels[:] = light
        self.marks: list[Mark] = []

    def text(self, text: str, x: int, y: int, *, cells: int = 1, ink: str | None = None, size: int = 0) -> None:
        """Each character in a square of `cells` patches; `size`: of the font, in pixels."""
        side = cells * PATCH
        dx, dy = (self.chance.randint(-cells, cells) for _ in range(2))
        for place, character in enumerate(text):
            left = x + place * side
            mask = _character(character, size or side - self.chance.randint(1, 2) * cells, side, dx, dy)
            self._blend(mask, left, y, COLOURS[ink or "black"])
            readable = CHARACTERS.index(character) + 1 if character in CHARACTERS else 0
            colour = 1 + list(COLOURS).index(ink or "black")
            self.marks.append(Mark((left, y, left + side, y + side), readable, 0, colour))

    def shape(self, name: str, colour: str, box: tuple[int, int, int, int], *, line: int = 0) -> None:
        """Filled, or drawn as a line so thick."""
        left, top, right, bottom = box
        mask = _shape(name, right - left, bottom - top)
        if line:
            inner = _shape(name, right - left - 2 * line, bottom - top - 2 * line)
            mask = mask.copy()
            mask[line : line + inner.shape[0], line : line + inner.shape[1]] -= inner
            mask = mask.clip(0, 1)
        self._blend(mask, left, top, COLOURS[colour])
        self.marks.append(Mark(box, 0, 1 + SHAPES.index(name), 1 + list(COLOURS).index(colour)))

    def bar(self, name: str, colour: str, box: tuple[int, int, int, int], value: int) -> None:
        left, top, right, bottom = box
        self.pixels[top:bottom, left:right] = COLOURS[colour]
        self.marks.append(Mark(box, CHARACTERS.index(name) + 1, BAR, 1 + list(COLOURS).index(colour), value))

    def line(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        self.pixels[top:bottom, left:right] = 90

    def picture(self) -> Picture:
        height, width = self.pixels.shape[:2]
        noise = _noise(self.chance.randrange(8))
        y, x = (self.chance.randrange(64) for _ in range(2))
        pixels = self.pixels + noise[y : y + height, x : x + width] * self.chance.uniform(0, 5)
        return Picture(pixels.clip(0, 255).astype(np.uint8), tuple(self.marks))

    def _blend(self, mask: np.ndarray, left: int, top: int, colour: Sequence[int]) -> None:
        height, width = mask.shape
        part = self.pixels[top : top + height, left : left + width]
        ink = np.array([value + self.chance.randint(-15, 15) for value in colour], dtype=np.float32)
        part += (ink - part) * mask[: part.shape[0], : part.shape[1], None]


@cache
def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (464, 464, 3)).astype(np.float32)


@cache
def _character(character: str, size: int, side: int, dx: int, dy: int) -> np.ndarray:
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).text((side / 2 + dx, side / 2 + dy), character, 255, _font(size), anchor="mm")
    return np.asarray(mask, dtype=np.float32) / 255


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


_POINTS: dict[str, list[tuple[float, float]]] = {
    "triangle": [(0.5, 0), (1, 1), (0, 1)],
    "star": [
        (0.5 + far * np.sin(i * np.pi / 5), 0.53 - far * np.cos(i * np.pi / 5))
        for i, far in enumerate((0.53, 0.22) * 5)
    ],
    "cross": list(
        zip(
            (0.33, 0.67, 0.67, 1, 1, 0.67, 0.67, 0.33, 0.33, 0, 0, 0.33),
            (0, 0, 0.33, 0.33, 0.67, 0.67, 1, 1, 0.67, 0.67, 0.33, 0.33),
            strict=True,
        )
    ),
}


@cache
def _shape(name: str, width: int, height: int) -> np.ndarray:
    """How much of each pixel the shape covers, (height, width)."""
    fine = 4
    mask = Image.new("L", (width * fine, height * fine))
    draw = ImageDraw.Draw(mask)
    if name == "circle":
        draw.ellipse((0, 0, width * fine - 1, height * fine - 1), fill=255)
    elif name == "square":
        draw.rectangle((0, 0, width * fine, height * fine), fill=255)
    else:
        draw.polygon([(x * width * fine, y * height * fine) for x, y in _POINTS[name]], fill=255)
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
