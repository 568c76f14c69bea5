"""How answers are scored: as the benchmarks' own code does, so that a score can stand beside a published one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from benchmarks.scoring import edit_distance
from vision.types import Box

_TOLERANCE = 0.05
_ANLS_THRESHOLD = 0.5
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|(?<![\w.])-?\d+(?:\.\d+)?(?!\d)")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")


def relaxed_correct(answer: str, truth: str) -> bool:
    """ChartQA's relaxed accuracy: numbers within 5 % of the truth (0 exactly), anything else equal but for case.

    A percentage counts as its fraction, as in the published code, so "56%" is not 56. Source: arXiv 2203.10244,
    section 5.1, and Pix2Struct's metrics. InternVL's own script measures the 5 % of the answer instead of the truth;
    the two differ for answers that are 4.8 to 5.3 % off.
    """
    given, wanted = _fraction(answer.strip()), _fraction(truth.strip())
    if given is not None and wanted:
        return abs(given - wanted) / abs(wanted) <= _TOLERANCE
    return answer.strip().lower() == truth.strip().lower()


def _fraction(text: str) -> float | None:
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def anls(answer: str, truths: Iterable[str]) -> float:
    """DocVQA's average normalised Levenshtein similarity of one answer, 0 or 0.5 to 1: the best over the truths.

    Case and runs of white space do not count; below 0.5 it is 0. Source: arXiv 1907.00490 (ST-VQA), and the
    challenge's evaluation script.
    """
    given = " ".join(answer.lower().split())
    best = max((_similarity(given, " ".join(truth.lower().split())) for truth in truths), default=0.0)
    return best if best >= _ANLS_THRESHOLD else 0.0


def _similarity(left: str, right: str) -> float:
    longest = max(len(left), len(right))
    return 1 - edit_distance(left, right) / longest if longest else 1.0


def ocrbench_correct(answer: str, truths: Iterable[str], *, formula: bool) -> bool:
    """OCRBench: whether a truth stands in the answer. In formulas spaces do not count but case does; elsewhere case
    does not. Source: the benchmark's example script (arXiv 2305.07895).
    """
    if formula:
        return any("".join(truth.split()) in "".join(answer.split()) for truth in truths)
    given = answer.lower().strip().replace("\n", " ")
    return any(truth.lower().strip().replace("\n", " ") in given for truth in truths)


def numbers_in(text: str) -> list[float]:
    """The numbers in an answer, in order; thousands may have commas, and up to twelve they may be words."""
    found = [(match.start(), float(match[0].replace(",", ""))) for match in _NUMBER.finditer(text)]
    found += [(match.start(), float(_WORDS.index(match[0]))) for match in _WORD.finditer(text.lower())]
    return [value for _, value in sorted(found)]


def overlap(left: Box, right: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(left[2], right[2]) - max(left[0], right[0])
    height = min(left[3], right[3]) - max(left[1], right[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(left) + _area(right) - shared) if shared else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
