"""What texts become under a schema: numbers, dates, values that are named; never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from vision.schema.dates import day_comes_first
from vision.schema.numbers import numbers_in
from vision.schema.patterns import matches
from vision.schema.shape import Leaf, Limits, Words
from vision.schema.values import Misfit, misfit, value_from


def leaf(*kinds: Any, **others: Any) -> Leaf:
    return Leaf(Words(), frozenset(kinds), **others)


NUMBER, DATE, TEXT = leaf("number", "integer"), leaf("string", format="date"), leaf("string")
MEANT = [
    (NUMBER, "CHF 3`667.35", 3667.35), (NUMBER, "1.234,56", 1234.56), (NUMBER, "1,234", 1234), (NUMBER, "97%", 97),
    (NUMBER, "245,000 /µL", 245000), (NUMBER, "1 234,50 €", 1234.5), (NUMBER, "(12.50)", -12.5), (NUMBER, "−5", -5),
    (NUMBER, "3.5万", 35000), (NUMBER, "2 million", 2_000_000), (leaf("integer"), "1.234", 1234),
    (leaf("integer"), "28 Std.", 28), (DATE, "October 28, 2024", "2024-10-28"), (DATE, "01.07.2020", "2020-07-01"),
    (DATE, "5/13/2019", "2019-05-13"), (DATE, "2018年3月5日", "2018-03-05"), (DATE, "28-Oct-2024", "2024-10-28"),
    (DATE, "born 15 March 1978", "1978-03-15"), (leaf("string", format="time"), "1:59 PM", "13:59:00"),
    (leaf("string", format="date-time"), "2019-06-10 13:59", "2019-06-10T13:59:00"),
    (leaf("boolean"), "Yes", True), (leaf("boolean"), "否", False), (leaf("boolean"), "☑", True),
    (leaf("string", enum=("USD", "EUR")), "usd 120.00", "USD"), (leaf("integer", enum=(1, 2)), "2", 2),
    (leaf("string", enum=("已完成", "草稿")), "状态已完成", "已完成"), (TEXT, "  a  b ", "a b"),
    (leaf("string", patterns=(r"^\d{4}$",)), "No. 3139", "3139"), (leaf("string", "number"), "12", 12),
    (leaf("string", format="email"), "E-mail: a.b@c.de", "a.b@c.de"), (leaf("string", "number"), "12 a", "12 a"),
]  # fmt: skip
NOT_MEANT = [
    (NUMBER, "142/88 mmHg", "several"), (NUMBER, "$275,000,0000", "no number"), (NUMBER, "4th", "no number"),
    (NUMBER, "PAT-38", "no number"), (NUMBER, "1.2.3", "no number"), (NUMBER, "N/A", "no number"),
    (leaf("integer"), "3.5", "whole"), (DATE, "6/10/2019", "2019-06-10 or 2019-10-06"), (DATE, "2024-02-30", "no date"),
    (DATE, "2020-01-01 to 2021-01-01", "several"), (leaf("boolean"), "maybe", "neither"),
    (leaf("string", enum=("USD", "EUR")), "USD EUR", "none of"), (leaf("string", enum=("no",)), "note", "none of"),
    (leaf("string", patterns=(r"^\d{4}$",)), "31395", "pattern"),
    (leaf("integer", limits=Limits(maximum=9)), "12", "maximum"),
    (leaf("string", limits=Limits(max_length=3)), "abcd", "longer"), (leaf("null"), "x", "null"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "text", "value"), MEANT, ids=str)
def test_a_text_becomes_what_it_means(wanted: Leaf, text: str, value: Any) -> None:
    found = value_from(wanted, text)
    assert (found, type(found)) == (value, type(value))
    assert misfit(wanted, found) is None


@pytest.mark.parametrize(("wanted", "text", "why"), NOT_MEANT, ids=str)
def test_a_text_that_may_mean_something_else_becomes_nothing_with_the_reason(wanted: Leaf, text: str, why: str) -> None:
    found = value_from(wanted, text)
    assert isinstance(found, Misfit) and why in found.reason


def test_another_date_of_the_document_tells_how_its_dates_are_meant() -> None:
    assert day_comes_first(["Paid 5/13/2019", "on 6/10/2019"]) is False
    assert day_comes_first(["25/12/2020"]) is True
    assert day_comes_first(["6/10/2019", "01.07.2020"]) is None and day_comes_first(["5/13/2019", "13/5/2019"]) is None
    assert value_from(DATE, "6/10/2019", day_first=False) == "2019-06-10"
    assert value_from(DATE, "6/10/2019", day_first=True) == "2019-10-06"


def test_several_numbers_are_all_found() -> None:
    assert numbers_in("12 of 3,000 at 7.5 %") == [12, 3000, 7.5]


def test_a_pattern_that_python_chokes_on_is_tried_at_once() -> None:
    assert not matches("^(a+)+$", "a" * 50_000 + "!") and matches("b", "abc")
