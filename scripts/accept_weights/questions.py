"""The fixed questions: what is asked about which pictures, and how an answer is checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scripts.accept_weights import drawing
from scripts.accept_weights.scorers import numbers_in, overlap
from vision.prompts.grounding import read_grounding
from vision.types import Box

SHORT = "\nAnswer the question using a single word or phrase."
SHORT_CHINESE = "\n请用一个词或短语回答。"
# A model that read nothing should not pass by listing what may be asked for.
_MOST_NUMBERS = 2
_GOOD_OVERLAP = 0.5

Check = Callable[[str], bool]


@dataclass(frozen=True)
class Question:
    """`target`: ask for the box of this instead of `text`. `tiles`: how many a picture may be cut into."""

    kind: str
    pictures: tuple[Callable[[], bytes], ...]
    text: str
    check: Check
    wanted: str
    target: str | None = None
    tiles: int = 12


def number(value: float, tolerance: float = 0.0) -> Check:
    """The number, and at most one other."""

    def check(answer: str) -> bool:
        found = numbers_in(answer)
        return len(found) <= _MOST_NUMBERS and any(abs(each - value) <= tolerance for each in found)

    return check


def words(*accepted: str, refused: tuple[str, ...] = ()) -> Check:
    """One of the accepted as whole words, and none of the refused; Chinese is found anywhere."""

    def check(answer: str) -> bool:
        said = " ".join(answer.lower().split())
        return any(_stands_in(word, said) for word in accepted) and not any(_stands_in(word, said) for word in refused)

    return check


def _stands_in(word: str, text: str) -> bool:
    plain = word.lower()
    return bool(re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", text)) if plain.isascii() else plain in text


def box(truth: Box, width: int, height: int) -> Check:
    """A single box that shares half of its area with the truth (intersection over union)."""

    def check(answer: str) -> bool:
        found = read_grounding(answer, (0, 0, width, height)).boxes
        return len(found) == 1 and overlap(found[0].box, truth) >= _GOOD_OVERLAP

    return check


def _asked(kind: str, picture: Callable[[], bytes], text: str, check: Check, wanted: str, tiles: int = 12) -> Question:
    return Question(kind, (picture,), text + SHORT, check, wanted, tiles=tiles)


_RECEIPT, _SHAPES, _CHART, _TABLE = drawing.receipt, drawing.shapes, drawing.bar_chart, drawing.table
_MAIL, _PLAN, _ORDER = drawing.mail_window, drawing.large_plan, drawing.chinese_order
_THREE_RED, _FIVE_RED, _FIVE_BLUE = (
    drawing.discs(3, drawing.RED),
    drawing.discs(5, drawing.RED),
    drawing.discs(5, drawing.BLUE),
)
_UNTOLD = "\nIf the picture does not say, answer: not visible."
_NOT_VISIBLE = words("not visible", refused=("visible is",))
_FIRST = words("first", "image-1", "image 1", "left", refused=("second", "image-2", "image 2"))
_SECOND = words("second", "image-2", "image 2", "right", refused=("first", "image-1", "image 1"))

QUESTIONS: tuple[Question, ...] = (
    _asked("numbers", _RECEIPT, "What is the total in euros?", number(23.75), "23.75"),
    _asked("numbers", _RECEIPT, "Which are the last four digits of the card?", number(4082), "4082"),
    _asked("numbers", _RECEIPT, "How many croissants were bought?", number(2), "2"),
    _asked(
        "words", _RECEIPT, "What is the name of the cafe?", words("green door cafe", "green door"), "Green Door Cafe"
    ),
    _asked(
        "words",
        _MAIL,
        "Who is the message addressed to?",
        words("maria.santos@example.org", "maria", "maria santos"),
        "maria.santos@example.org",
    ),
    _asked("words", _MAIL, "To what time was the meeting moved?", words("15:30", "3:30 pm"), "15:30"),
    _asked(
        "colours", _MAIL, "What colour is the button that says Send?", words("blue", refused=("grey", "gray")), "blue"
    ),
    _asked("colours", _SHAPES, "What colour is the triangle?", words("green"), "green"),
    _asked("colours", _SHAPES, "What colour is the star?", words("yellow", "gold", "golden"), "yellow"),
    _asked("counts", _SHAPES, "How many red circles are there?", number(5), "5"),
    _asked("counts", _SHAPES, "How many blue squares are there?", number(3), "3"),
    _asked(
        "positions",
        _SHAPES,
        "In which corner is the star: upper left, upper right, lower left or lower right?",
        words("upper right", "top right"),
        "upper right",
    ),
    _asked(
        "positions",
        _SHAPES,
        "In which corner is the triangle: upper left, upper right, lower left or lower right?",
        words("lower left", "bottom left"),
        "lower left",
    ),
    _asked(
        "positions",
        _MAIL,
        "Which button is further to the left, Send or Discard?",
        words("discard", refused=("send",)),
        "Discard",
    ),
    _asked("charts", _CHART, "In which month were most bicycles sold?", words("april"), "April"),
    _asked("charts", _CHART, "How many bicycles were sold in February?", number(65, 4), "65, within 4"),
    _asked("charts", _CHART, "In how many months were fewer than 50 bicycles sold?", number(2), "2"),
    _asked("tables", _TABLE, "What is the mean temperature in Oslo in July?", number(17), "17"),
    _asked("tables", _TABLE, "Which city is the warmest in April?", words("cairo"), "Cairo"),
    _asked("small print", _PLAN, "What is the access code?", words("qx7-4419"), "QX7-4419", tiles=24),
    Question(
        "comparing",
        (_THREE_RED, _FIVE_RED),
        "Which image shows more circles, the first or the second?" + SHORT,
        _SECOND,
        "the second",
    ),
    Question(
        "comparing",
        (_FIVE_RED, _FIVE_BLUE),
        "In which image are the circles red, the first or the second?" + SHORT,
        _FIRST,
        "the first",
    ),
    Question(
        "comparing",
        (_THREE_RED, _FIVE_BLUE),
        "How many circles do the two images show together?" + SHORT,
        number(8),
        "8",
    ),
    Question("Chinese", (_ORDER,), "合计多少元？" + SHORT_CHINESE, number(368), "368"),
    Question("Chinese", (_ORDER,), "收货人是谁？" + SHORT_CHINESE, words("李明"), "李明"),
    Question(
        "Chinese", (_ORDER,), "What was ordered? Answer in English." + SHORT, words("keyboard", "keyboards"), "keyboard"
    ),
    Question(
        "boxes", (_MAIL,), "", box(drawing.SEND_BUTTON, 900, 620), "the Send button", target="the blue Send button"
    ),
    Question("boxes", (_SHAPES,), "", box((70, 500, 210, 640), 900, 700), "the triangle", target="the green triangle"),
    Question(
        "cannot tell", (_RECEIPT,), "What is the telephone number of the cafe?" + _UNTOLD, _NOT_VISIBLE, "not visible"
    ),
    Question(
        "cannot tell", (_CHART,), "How many bicycles were sold in December 2025?" + _UNTOLD, _NOT_VISIBLE, "not visible"
    ),
)
