"""What a search gives: the best passages, as values that cross processes."""

from __future__ import annotations

from pydantic import Field

from vision.search.ranking import Ranking, quoted
from vision.types import Box, Frozen

# Lines of a hit: to see that it is what was looked for, or to reason from.
SHORT, LONG = 2, 6


class Hit(Frozen):
    """A passage: the few lines of it that hold most of what is looked for, and the box around them.

    `score` by BM25, to compare within one search; `covered`: what the words in it tell, as a share of what all do.
    """

    page: int
    text: str
    box: Box
    score: float
    covered: float = Field(ge=0, le=1)


class Found(Frozen):
    """`hits`: best first, at most as many as were asked for; `matches`: how many there are; `matching`: pages that hold
    some, in their order.
    """

    hits: tuple[Hit, ...] = ()
    matches: int = 0
    matching: tuple[int, ...] = ()


def found(ranking: Ranking, first: int, most: int, lines: int = SHORT) -> Found:
    """The hits from the `first` on (0: the best), `most` of them, each of at least so many lines where it has them."""
    best = ranking.best()
    hits: list[Hit] = []
    for one in best[first : first + most]:
        text, box = quoted(one.passage, ranking.query, lines)
        covered = min(1.0, ranking.covered(one.held))
        hits.append(
            Hit(page=one.passage.page, text=text, box=box, score=round(one.score, 2), covered=round(covered, 2))
        )
    matching = sorted({one.passage.page for one in best})
    return Found(hits=tuple(hits), matches=len(best), matching=tuple(matching))
