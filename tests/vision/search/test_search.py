from __future__ import annotations

import pytest

from vision.search.hits import found
from vision.search.passages import Line, is_sparse, passages
from vision.search.ranking import Ranking
from vision.search.words import folded, query, question, stem, terms


def page(*texts: str, top: float = 0.0) -> list[Line]:
    return [Line(text, (0.0, top + 10 * at, 100.0, top + 10 * at + 8), at // 3) for at, text in enumerate(texts)]


def ranked(text: str, *pages: list[Line], contents: tuple[int, ...] = (), as_question: bool = False) -> Ranking:
    ranking = Ranking(question(text) if as_question else query(text))
    for number, lines in enumerate(pages, 1):
        ranking.add(passages(number, lines), contents=number in contents)
    return ranking


def order(ranking: Ranking) -> list[int]:
    return [one.passage.page for one in ranking.best()]


@pytest.mark.parametrize(
    ("word", "same"),
    [("passengers", "passenger"), ("copies", "copy"), ("boxes", "box"), ("1,548.00", "1548.00"), ("glass", "glass"),
     ("bus", "bus"), ("status", "status")],
)  # fmt: skip
def test_words_meet_their_plurals_and_numbers_without_commas(word: str, same: str) -> None:
    assert stem(word) == same


def test_words_are_the_same_in_any_case_width_ligature_and_over_line_ends() -> None:
    assert terms(folded("Ｏﬃce")) == terms("office")
    assert terms(folded("infor-\nmation")) == ["information"]


def test_chinese_is_looked_for_by_pairs_of_characters() -> None:
    assert terms("安装程序 3") == ["安装", "装程", "程序", "3"]
    assert order(ranked("安装程序", page("今天天气很好"), page("运行安装程序以继续"))) == [2]


def test_of_a_question_only_the_telling_words_count() -> None:
    assert question("What is the total amount of the invoice?").terms == ("total", "amount", "invoice")
    assert "什么" not in "".join(question("合同的总金额是什么？").terms)
    assert question("Who is it?").terms == ()


def test_a_page_with_the_rarer_words_comes_first() -> None:
    common = page("the report of the year", "figures for the report")
    rare = page("the report names the harbour")
    assert order(ranked("harbour report", common, common, rare))[0] == 3


def test_a_table_of_contents_comes_after_what_it_points_to() -> None:
    contents = page("Harbour dues ............ 7")
    linked = page("Harbour dues")
    section = page("Harbour dues", "Every ship pays harbour dues by its length and the days it stays.")
    assert order(ranked("harbour dues", contents, linked, section, contents=(2,)))[0] == 3


def test_quoted_words_must_stand_together() -> None:
    apart = page("the blue ship and the whale")
    together = page("a blue", "whale was seen")
    assert order(ranked('"blue whale"', apart, together)) == [2]


def test_a_hit_is_the_lines_that_hold_the_words_with_their_box() -> None:
    lines = page(*[f"nothing of note in line {at}" for at in range(8)], "Amount due: 12 EUR", "payable at once")
    result = found(ranked("amount due", lines), 0, 5)
    assert result.matches == 1 and result.matching == (1,)
    (hit,) = result.hits
    assert hit.text == "Amount due: 12 EUR\npayable at once" and hit.box == (0.0, 80.0, 100.0, 98.0)
    assert hit.covered == 1.0


def test_one_page_does_not_fill_the_list() -> None:
    many = [line for at in range(6) for line in page("whale " * 30, "sea " * 80, top=100.0 * at)]
    pages = order(ranked("whale", many, page("a whale")))
    assert 2 in pages[:4]


def test_nothing_is_found_for_words_that_are_not_there() -> None:
    assert found(ranked("zebra", page("a horse")), 0, 5).hits == ()
    assert found(ranked("?!", page("a horse")), 0, 5).hits == ()


def test_every_line_is_in_one_passage() -> None:
    lines = page(*[f"line {at} " + "word " * (at % 7) for at in range(60)])
    assert [line for passage in passages(1, lines) for line in passage.lines] == lines
    assert max(len(passage.text) for passage in passages(1, lines)) < 1200


def test_a_page_with_a_few_words_is_sparse() -> None:
    assert is_sparse(page("Figure 3"))
    assert not is_sparse(page("这是一个有很多汉字的页面，它不是图片，而是完整的文字说明页，足够长了。"))
