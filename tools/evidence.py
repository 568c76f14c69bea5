"""What was read in the source that supports an answer: its numbers and quotes, each looked for in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tools.common import clipped
from tools.result import Evidence
from vision.types import TextLine

_NUMBER = re.compile(r"(?<![\w.,])[-−–]?\d[\d,\u00a0\u2009\u202f]*(?:\.\d+)?(?![\w])")
_QUOTE = re.compile(r"[\"“«「『]([^\"“”«»「」『』]{2,80})[\"”»」』]")
_DROPPED = str.maketrans("−–", "--", ",\u00a0\u2009\u202f")
_MOST = 5
_CHARACTERS = 120
# Words such as "two bars" are no claim about what is printed, and neither are list numbers like "1.".
_ORDINAL = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)


def support(answer: str, lines: Iterable[TextLine]) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """(evidence, unsupported): the lines that hold the answer's numbers and quotes, and those that no line holds."""
    given = list(lines)
    numbers = [{_plain(found) for found in _NUMBER.findall(line.text)} for line in given]
    folded = [" ".join(line.text.casefold().split()) for line in given]
    evidence: dict[int, Evidence] = {}
    unsupported: list[str] = []
    for claim, is_number in _claims(answer):
        if is_number:
            at = next((i for i, found in enumerate(numbers) if _plain(claim) in found), None)
        else:
            at = next((i for i, text in enumerate(folded) if claim.casefold() in text), None)
        if at is None:
            unsupported.append(claim)
        elif at not in evidence:
            line = given[at]
            evidence[at] = Evidence(text=clipped(line.text, _CHARACTERS), box=line.box, page=line.page)
    return tuple(list(evidence.values())[:_MOST]), tuple(
        clipped(claim, _CHARACTERS) for claim in unsupported[: 2 * _MOST]
    )


def _claims(answer: str) -> list[tuple[str, bool]]:
    text = _ORDINAL.sub("", answer)
    claims = [(match.strip(), True) for match in _NUMBER.findall(text)]
    claims += [(" ".join(match.split()), False) for match in _QUOTE.findall(text)]
    return list(dict.fromkeys(claims))


def _plain(number: str) -> str:
    """The same number written in one way: no grouping, no zeros behind the point."""
    plain = number.translate(_DROPPED)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
