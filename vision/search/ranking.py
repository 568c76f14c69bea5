"""BM25 over the passages of one document.

Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), with k1 1.2 and b 0.75. A document is searched a
few times at most, so nothing is indexed: a passage's words are counted only where one that is looked for can be in it,
and its length is that of its text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vision.search.passages import Line, Passage
from vision.search.words import Query, folded, is_spaceless, terms
from vision.types import Box

_K1, _B = 1.2, 0.75
# A table of contents holds a section's words and is not what is looked for.
_LEADERS = re.compile(r"(?:[.·…_]\s?){5,}")
_CONTENTS_WEIGHT = 0.4
_MOST_QUOTED = 5
_MOST_A_PAGE = 3


@dataclass(frozen=True)
class Found:
    """A passage and how well it fits. `held`: which of the query's terms it holds, by their number."""

    passage: Passage
    score: float
    held: frozenset[int]


class Ranking:
    """Collects passages page by page, then says which fit best; keeps only those that hold something looked for."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._spaceless = [is_spaceless(term) for term in query.terms]
        self._holding: list[tuple[Passage, list[int], int, float]] = []
        self._in: Counter[int] = Counter()
        self._count = 0
        self._length = 0

    def add(self, passages: Iterable[Passage], *, contents: bool = False) -> None:
        """More passages; `contents`: they are a table of contents."""
        for passage in passages:
            text = folded(passage.text)
            self._count += 1
            self._length += len(text)
            counts = self._counts(text)
            if any(counts) and all(phrase in " ".join(text.split()) for phrase in self.query.phrases):
                weight = _CONTENTS_WEIGHT if contents or _LEADERS.search(text) else 1.0
                self._holding.append((passage, counts, len(text), weight))
                self._in.update(at for at, count in enumerate(counts) if count)

    def _counts(self, text: str) -> list[int]:
        likely = [term in text or term[:-1] in text for term in self.query.terms]
        if not any(likely):
            return [0] * len(likely)
        words = Counter(terms(text)) if not all(self._spaceless) else Counter()
        return [
            text.count(term) if spaceless else words[term]
            for term, spaceless in zip(self.query.terms, self._spaceless, strict=True)
        ]

    def best(self) -> list[Found]:
        """All passages that hold something looked for, best first; a page's fourth and later ones come last."""
        mean = self._length / self._count if self._count else 1.0
        found = [
            Found(passage, weight * self._score(counts, length / max(mean, 1.0)), _held(counts))
            for passage, counts, length, weight in self._holding
        ]
        found.sort(key=lambda one: (-one.score, one.passage.page))
        seen: Counter[int] = Counter()
        first: list[Found] = []
        later: list[Found] = []
        for one in found:
            seen[one.passage.page] += 1
            (first if seen[one.passage.page] <= _MOST_A_PAGE else later).append(one)
        return first + later

    def _score(self, counts: Sequence[int], length: float) -> float:
        norm = _K1 * (1 - _B + _B * length)
        return sum(self.weight(at) * count * (_K1 + 1) / (count + norm) for at, count in enumerate(counts) if count)

    def weight(self, term: int) -> float:
        """How much a term tells in this document (its inverse document frequency)."""
        holding = self._in[term]
        return math.log(1 + (self._count - holding + 0.5) / (holding + 0.5))

    def covered(self, held: Iterable[int]) -> float:
        """What these terms tell, as a share of what all of the query's do."""
        whole = sum(map(self.weight, range(len(self.query.terms))))
        return sum(map(self.weight, held)) / whole if whole else 0.0


def quoted(passage: Passage, query: Query, least: int) -> tuple[str, Box]:
    """The few lines of the passage that hold most of what is looked for, and the box around them.

    At least `least` lines where the passage has them: what follows says what the words stand for.
    """
    lines = passage.lines
    counts = [_line_terms(line, query) for line in lines]
    best, at, length = -1.0, 0, 1
    for first in range(len(lines)):
        held: set[str] = set()
        for last in range(first, min(first + _MOST_QUOTED, len(lines))):
            held |= counts[last]
            value = len(held) - 0.05 * (last - first)
            if value > best:
                best, at, length = value, first, last - first + 1
    last = min(len(lines), at + max(length, least))
    chosen = lines[max(0, min(at, last - least)) : last]
    return "\n".join(line.text for line in chosen), _around([line.box for line in chosen])


def _line_terms(line: Line, query: Query) -> set[str]:
    text = folded(line.text)
    words = set(terms(text))
    return {term for term in query.terms if term in words}


def _held(counts: Sequence[int]) -> frozenset[int]:
    return frozenset(at for at, count in enumerate(counts) if count)


def _around(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
