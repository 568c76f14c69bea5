"""Pieces of lines that may be cells: a line is cut where its words stand far apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.ocr.lines import Line, quad_size
from vision.ocr.rapid import Word
from vision.types import Box

_GAP = 1.3  # line heights between words from which a line holds two cells


@dataclass(frozen=True)
class Fragment:
    """Text that stands together on one line; words with their own places, for cutting at rulings."""

    text: str
    box: Box
    words: tuple[tuple[str, float, float], ...]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2

    @property
    def centre(self) -> float:
        return (self.box[0] + self.box[2]) / 2

    def cut(self, at: float) -> tuple[Fragment, Fragment] | None:
        """The parts left and right of x = at, where a gap between words is there; None where none is near."""
        for index in range(1, len(self.words)):
            end, start = self.words[index - 1][2], self.words[index][1]
            if end - 0.3 * self.height <= at <= start + 0.3 * self.height:
                return self.part(0, index, self.box[0], at), self.part(index, len(self.words), at, self.box[2])
        return None

    def part(self, first: int, last: int, left: float, right: float) -> Fragment:
        """words[first:last], between left and right."""
        words = self.words[first:last]
        return Fragment(_spelled(self.text, self.words, first, last), (left, self.box[1], right, self.box[3]), words)


def fragments(line: Line) -> list[Fragment]:
    """The line as one fragment, or as several where gaps are wide. Words' places come from the recogniser."""
    box = line.box
    width, height = quad_size(line.quad)
    words = tuple(_placed(word, box, width, height) for word in line.reading.words)
    if not _spells(line.text, words):
        return [Fragment(line.text, box, ())]
    whole = Fragment(line.text, box, words)
    starts = [0]
    starts += [i for i in range(1, len(words)) if words[i][1] - words[i - 1][2] > _GAP * height]
    if len(starts) == 1:
        return [whole]
    found = []
    for first, last in zip(starts, [*starts[1:], len(words)], strict=True):
        left, right = words[first][1], words[last - 1][2]
        found.append(whole.part(first, last, left, max(right, left + 1)))
    return found


def _placed(word: Word, box: Box, width: float, height: float) -> tuple[str, float, float]:
    left = box[0] + word.start * width
    return (word.text, left, box[0] + word.end * width)


def _spells(text: str, words: tuple[tuple[str, float, float], ...]) -> bool:
    return len(words) > 0 and "".join(word[0] for word in words) == text.replace(" ", "").replace("\u3000", "")


def _spelled(text: str, words: tuple[tuple[str, float, float], ...], first: int, last: int) -> str:
    """The stretch of text, spaces as they were, that words[first:last] spell."""
    before = sum(len(word[0]) for word in words[:first])
    count = sum(len(word[0]) for word in words[first:last])
    solid = [index for index, char in enumerate(text) if not char.isspace()]
    return text[solid[before] : solid[before + count - 1] + 1]


def baselines(pieces: list[Fragment]) -> list[list[Fragment]]:
    """Pieces by baseline from the top, each from left to right."""
    if not pieces:
        return []
    height = float(np.median([piece.height for piece in pieces]))
    rows: list[list[Fragment]] = []
    for piece in sorted(pieces, key=lambda piece: piece.middle):
        if rows and piece.middle - rows[-1][0].middle < 0.5 * height:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.box[0]) for row in rows]


def join(pieces: list[Fragment]) -> str:
    """A cell's text from its pieces, by baseline; no space between Chinese characters."""
    text = ""
    for piece in (piece for row in baselines(pieces) for piece in row):
        together = not text or (_han(text[-1]) and _han(piece.text[:1]))
        text += piece.text if together else f" {piece.text}"
    return text


def _han(char: str) -> bool:
    return "\u3000" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef"
