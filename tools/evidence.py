"""What was read in the source that supports an answer: its numbers and quotes, each looked for in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tools.common import clipped
from tools.result import Evidence
from vision.types import Box, TextLine

_NUMBER = re.compile(r"(?<![\w.,])[-−–]?\d[\d,\u00a0\u2009\u202f]*(?:\.\d+)?(?![\w])")
# What an answer says of pages is checked against those that were shown, and is no number that stands on one.
_PAGE = re.compile(
    r"\b[Pp](?:ages?|p?\.)\s*(\d+(?:\s*(?:,|and|to|&|[-–])\s*\d+)*)|第\s*(\d+(?:\s*[、,，至到和-]\s*\d+)*)\s*页"
)
_QUOTE = re.compile(r"[\"“«「『]([^\"“”«»「」『』]{2,200})[\"”»」』]")
_DROPPED = str.maketrans("−–", "--", ",\u00a0\u2009\u202f")
_MOST = 5
_CHARACTERS = 120
_MOST_LINES = 4
# Words such as "two bars" are no claim about what is printed, and neither are list numbers like "1.".
_ORDINAL = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)


def support(
    answer: str, lines: Iterable[TextLine], pages: Sequence[int] | None = None
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """(evidence, unsupported): the lines that hold the answer's numbers and quotes, and those that no line holds.

    A quote may go over several lines of a page. `pages`: those of a document that were shown; what the answer says
    stands on another page is unsupported.
    """
    given = list(lines)
    numbers = [{_plain(found) for found in _NUMBER.findall(line.text)} for line in given]
    evidence: dict[int, Evidence] = {}
    unsupported: list[str] = []
    named, text = _pages_named(answer) if pages is not None else ([], answer)
    unsupported += [f"page {number}" for number in named if number not in (pages or ())]
    ordered = sorted(range(len(given)), key=lambda at: given[at].page not in named)
    for claim, is_number in _claims(text):
        if is_number:
            found = next(((at, at) for at in ordered if _plain(claim) in numbers[at]), None)
        else:
            found = _quoted(claim, given, ordered)
        if found is None:
            unsupported.append(claim)
        elif found[0] not in evidence:
            evidence[found[0]] = _evidence(given[found[0] : found[1] + 1])
    return tuple(list(evidence.values())[:_MOST]), tuple(
        clipped(claim, _CHARACTERS) for claim in unsupported[: 2 * _MOST]
    )


def _pages_named(answer: str) -> tuple[list[int], str]:
    """The pages that the answer names, and the answer without them."""
    named = [int(number) for found in _PAGE.finditer(answer) for number in re.findall(r"\d{1,6}", found[1] or found[2])]
    return list(dict.fromkeys(named)), _PAGE.sub("", answer)


def _quoted(quote: str, lines: Sequence[TextLine], ordered: Sequence[int]) -> tuple[int, int] | None:
    """The first and the last of the lines that hold the quote, however they are broken and spaced."""
    wanted = _folded(quote)
    for first in ordered:
        begins = len(_folded(lines[first].text))
        text = ""
        for last in range(first, min(first + _MOST_LINES, len(lines))):
            if lines[last].page != lines[first].page:
                break
            text += _folded(lines[last].text)
            if 0 <= text.find(wanted) < begins:
                return first, last
            if wanted[:1] not in text[:begins]:
                break
    return None


def _folded(text: str) -> str:
    return "".join(text.casefold().split())


def _evidence(lines: Sequence[TextLine]) -> Evidence:
    boxes = [line.box for line in lines]
    around: Box = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    return Evidence(text=clipped(" ".join(line.text for line in lines), _CHARACTERS), box=around, page=lines[0].page)


def _claims(answer: str) -> list[tuple[str, bool]]:
    text = _ORDINAL.sub("", answer)
    claims = [(match.strip(), True) for match in _NUMBER.findall(text)]
    claims += [(" ".join(match.split()), False) for match in _QUOTE.findall(text)]
    return list(dict.fromkeys(claims))


def _plain(number: str) -> str:
    """The same number written in one way: no grouping, no zeros behind the point."""
    plain = number.translate(_DROPPED)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
