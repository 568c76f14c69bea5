"""Pages as passages: lines in a row that are short enough to quote and long enough to judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vision.types import Box

# So long a passage is closed at the next gap between blocks, and so long at the next line.
_ENOUGH, _MOST = 300, 700
# A character without spaces around it says about as much as three letters.
_WEIGHT_OTHER = 3
# A page with fewer letters is a picture, or nearly blank.
_SPARSE = 80


@dataclass(frozen=True)
class Line:
    """A line of a page. `block`: lines with the same number belong together."""

    text: str
    box: Box
    block: int = 0


@dataclass(frozen=True)
class Passage:
    page: int
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def passages(page: int, lines: Sequence[Line]) -> Iterator[Passage]:
    """The page's lines in passages, each line in one."""
    held: list[Line] = []
    weight = 0
    for line in lines:
        full = weight >= _MOST or (weight >= _ENOUGH and line.block != held[-1].block)
        if full:
            yield Passage(page, tuple(held))
            held, weight = [], 0
        held.append(line)
        weight += _weight(line.text)
    if held:
        yield Passage(page, tuple(held))


def _weight(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(1 if ord(character) < 0x2E80 else _WEIGHT_OTHER for character in text)


def is_sparse(lines: Sequence[Line]) -> bool:
    """Whether these are too few words to be all that a page says."""
    return sum(_weight(line.text) for line in lines) < _SPARSE
