"""Scorers shared by the benchmarks: how close what was read comes to what stands on the page.

Every scorer compares normalised text (`normalise`): compatibility forms folded (full-width and ligature forms), dashes
and quotes unified, white space collapsed and removed beside Chinese characters, which are written without it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

_SAME = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "`": "'", "\u00b4": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-",
        "\u3001": ",", "\u3002": ".", "\u2022": "\u00b7",
    }
)  # fmt: skip
_CJK = "\u3000-\u303f\u3400-\u9fff\uff00-\uffef"
_BESIDE_CJK = re.compile(rf"(?<=[{_CJK}]) | (?=[{_CJK}])")


def normalise(text: str) -> str:
    """Fold what a reader would not call an error; letter case and digits stay."""
    folded = unicodedata.normalize("NFKC", text).translate(_SAME)
    return _BESIDE_CJK.sub("", " ".join(folded.split()))


def _squeeze(text: str) -> str:
    return normalise(text).replace(" ", "")


def _codes(text: str) -> np.ndarray:
    return np.array([ord(char) for char in text], dtype=np.int32)


def _edit_rows(needle: str, text: str, *, infix: bool) -> np.ndarray:
    """Last row of the edit-distance table of needle against text; infix: text before the match is free."""
    positions = np.arange(len(text) + 1)
    row = np.zeros(len(text) + 1, dtype=np.int64) if infix else positions.astype(np.int64)
    codes = _codes(text)
    for index, char in enumerate(needle):
        below = np.empty_like(row)
        below[0] = index + 1
        np.minimum(row[1:] + 1, row[:-1] + (codes != ord(char)), out=below[1:])
        row = np.minimum.accumulate(below - positions) + positions  # insertions run along the row
    return row


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance in characters."""
    return int(_edit_rows(left, right, infix=False)[-1])


def infix_distance(needle: str, text: str) -> int:
    """Fewest edits that turn needle into some substring of text (0 … len(needle))."""
    return int(_edit_rows(needle, text, infix=True).min())


def cer(read: str, truth: str) -> float:
    """Character error rate in order, spaces counted: edit distance ÷ length of the truth. 0 is perfect; may pass 1."""
    expected = normalise(truth)
    if not expected:
        return 0.0 if not normalise(read) else 1.0
    return edit_distance(normalise(read), expected) / len(expected)


def cer_any_order(read: str, truth_lines: Iterable[str]) -> float:
    """Character error rate whatever the order of the lines: each true line against its best place in what was read.

    White space is not counted, and text beside the truth costs nothing here (see `excess`). 0 … 1.
    """
    text = _squeeze(read)
    lines = [line for line in (_squeeze(line) for line in truth_lines) if line]
    total = sum(map(len, lines))
    return sum(infix_distance(line, text) for line in lines) / total if total else 0.0


def excess(read: str, truth: str) -> float:
    """Characters read beyond those of the truth, as a multiset, ÷ length of the truth: made up or doubled."""
    expected = Counter(_squeeze(truth))
    extra = Counter(_squeeze(read)) - expected
    return extra.total() / max(1, expected.total())


def _words(text: str) -> list[str]:
    """Words in lower case, without punctuation at their ends; each Chinese character is a word."""
    spaced = re.sub(rf"([{_CJK}])", r" \1 ", normalise(text).lower())
    return [word for word in (word.strip(".,;:!?()[]{}<>\"'*·|-_/") for word in spaced.split()) if word]


def word_recall(read: str, truth: str) -> float:
    """Share of the truth's words (as a multiset) that were read. 0 … 1."""
    expected = Counter(_words(truth))
    if not expected:
        return 1.0
    return (expected & Counter(_words(read))).total() / expected.total()


def field_found(read: str, value: str) -> bool:
    """Whether a field's value stands in what was read; parts divided by ';' or ', ' may stand apart."""
    text = _squeeze(read).lower()
    parts = [_squeeze(part).lower() for part in re.split(r";|, ", value)]
    return all(part in text for part in parts if part)


def table_row_found(rows: Iterable[Sequence[str]], truth_row: Sequence[str]) -> bool:
    """Whether one row read holds exactly the truth's non-empty cells, in order (empty cells are left out of both)."""
    expected = [_squeeze(cell).lower() for cell in truth_row if _squeeze(cell)]
    return any([_squeeze(cell).lower() for cell in row if _squeeze(cell)] == expected for row in rows)
