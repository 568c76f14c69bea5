"""Grounding: asking where something is, and reading the boxes in the answer.

The request is the reference's. It answers `<ref>X</ref><box>[[x1, y1, x2, y2], …]</box>` with whole numbers from 0 to
1000 of the full picture's width and height; decoders that leave special tokens out give `X[[x1, y1, x2, y2]]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vision.chat.types import ImagePart
from vision.prompts.prompt import Prompt, pictures_then, user
from vision.types import Box

_REQUEST = "Please provide the bounding box coordinate of the region this sentence describes: <ref>{target}</ref>"
_LABELLED = re.compile(r"<ref>\s*(.*?)\s*</ref>\s*<box>\s*(\[.*?\])\s*</box>", re.DOTALL)
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_BOX = re.compile(rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]")
_SPECIAL = re.compile(r"</?(?:ref|box|quad)>")
FULL = 1000.0
TILES = 12


@dataclass(frozen=True)
class Grounded:
    """A box in pixels of the original, and what the model calls it ("" where it does not say)."""

    label: str
    box: Box


@dataclass(frozen=True)
class Grounding:
    """`dropped`: boxes in the answer that mean no place in the picture."""

    boxes: tuple[Grounded, ...]
    dropped: int


def locate(picture: ImagePart, target: str, max_tiles: int) -> Prompt:
    clean = _SPECIAL.sub("", target)
    return Prompt(user(pictures_then(_REQUEST.format(target=clean), [picture])), max_tiles)


def read_grounding(text: str, region: Box) -> Grounding:
    """The boxes in an answer. `region`: the part of the original that the model saw, in its pixels."""
    found: list[Grounded] = []
    dropped = 0
    for label, numbers in _candidates(text):
        box = _placed(numbers, region)
        if box is None:
            dropped += 1
        elif Grounded(label, box) not in found:
            found.append(Grounded(label, box))
    return Grounding(tuple(found), dropped)


def _candidates(text: str) -> list[tuple[str, tuple[float, ...]]]:
    labelled = [(m[1], m[2]) for m in _LABELLED.finditer(text)] or [("", text)]
    return [
        (label, tuple(float(n) for n in match.groups())) for label, boxes in labelled for match in _BOX.finditer(boxes)
    ]


def _placed(numbers: tuple[float, ...], region: Box) -> Box | None:
    """The box in pixels of the original, cut to the picture; None for one that is empty or lies outside."""
    x1, y1, x2, y2 = (min(FULL, max(0.0, n)) for n in numbers)
    if x1 >= x2 or y1 >= y2:
        return None
    left, top, right, bottom = region
    width, height = (right - left) / FULL, (bottom - top) / FULL
    return (
        round(left + x1 * width, 1),
        round(top + y1 * height, 1),
        round(left + x2 * width, 1),
        round(top + y2 * height, 1),
    )
