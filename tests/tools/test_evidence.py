from __future__ import annotations

import pytest

from tools.evidence import support
from vision.types import TextLine


def lines(*texts: str) -> list[TextLine]:
    return [TextLine(text=text, box=(0, 10.0 * i, 100, 10.0 * i + 9), confidence=0.9) for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("It is 1,234.50 in all.", "Total 1234.5 EUR"),
        ("1\u202f234 people", "1,234"),
        ("It fell by −3 %.", "-3 %"),
        ('The button says "Send invoice".', "[ Send  Invoice ]"),
        ("标题是「年度报告」。", "年度报告 2024"),
    ],
)
def test_a_number_or_quote_that_stands_there_is_evidence(answer: str, text: str) -> None:
    evidence, unsupported = support(answer, lines("other 7", text))
    assert [each.text for each in evidence] == [text] and evidence[0].box == (0, 10, 100, 19)
    assert unsupported == ()


def test_a_quote_may_go_over_lines_and_its_evidence_is_around_them() -> None:
    evidence, unsupported = support(
        'It says "the ferry costs 17 crowns".', lines("seven", "the ferry", "costs 17 crowns")
    )
    assert unsupported == ()
    assert ("the ferry costs 17 crowns", (0, 10, 100, 29)) in [(one.text, one.box) for one in evidence]


@pytest.mark.parametrize(
    ("answer", "unsupported"),
    [("See page 2.", ()), ("See pages 2 and 5.", ("page 5",)), ("在第2页。", ()), ("在第7页。", ("page 7",))],
)
def test_pages_named_are_checked_against_those_shown(answer: str, unsupported: tuple[str, ...]) -> None:
    assert support(answer, lines("other"), [2, 3]) == ((), unsupported)


def test_a_number_stands_first_on_the_page_that_the_answer_names() -> None:
    given = [line.model_copy(update={"page": page}) for page, line in enumerate(lines("17 in all", "17 of them"), 1)]
    evidence, _ = support("There are 17, on page 2.", given, [1, 2])
    assert [one.page for one in evidence] == [2]


@pytest.mark.parametrize(("answer", "claim"), [("It is 41.", "41"), ('It says "Stop".', "Stop"), ("about 4.1", "4.1")])
def test_what_stands_nowhere_is_unsupported(answer: str, claim: str) -> None:
    assert support(answer, lines("410 Go, 14 and 2041")) == ((), (claim,))


def test_list_numbers_and_words_claim_nothing() -> None:
    assert support("1. Two bars\n2) Three lines", lines("x")) == ((), ())


def test_an_answer_full_of_numbers_gives_a_few() -> None:
    evidence, unsupported = support(" ".join(map(str, range(200))), lines(*map(str, range(100))))
    assert len(evidence) == 5 and len(unsupported) == 10
