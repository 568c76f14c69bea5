from __future__ import annotations

import pytest

from tools.paging import Budget, Cursor, estimate_tokens, split_text, start_of
from vision.errors import InvalidArgument

SHA = "ab" * 32


def test_chinese_counts_a_token_each_and_ascii_a_third() -> None:
    assert estimate_tokens("订单管理") == 4
    assert estimate_tokens("a" * 300) == 100


def test_a_text_that_fits_is_not_split() -> None:
    assert split_text("short", 100) == ("short", "")


@pytest.mark.parametrize("text", ["word " * 500, "paragraph one\n\nparagraph two\n\n" * 60, "x" * 2000, "订单" * 700])
def test_a_split_loses_nothing_and_keeps_within_its_tokens(text: str) -> None:
    first, rest = split_text(text, 200)
    assert first + rest == text
    assert first and rest
    assert estimate_tokens(first) <= 200


def test_a_split_prefers_the_end_of_a_paragraph() -> None:
    first, _ = split_text("first paragraph here\n\nsecond " + "word " * 100, 10)
    assert first == "first paragraph here\n\n"


def test_a_budget_takes_all_or_nothing() -> None:
    budget = Budget(10)
    assert budget.take_all("a" * 15, "a" * 15)
    assert not budget.take_all("a" * 3)
    assert (budget.left, budget.spent, budget.full) == (0, 10, True)


def test_a_cursor_comes_back_as_it_was() -> None:
    assert start_of(Cursor(SHA, 3, 17).encode(), SHA) == Cursor(SHA, 3, 17)
    assert start_of(None, SHA) == Cursor(SHA, 0, 0)


@pytest.mark.parametrize("cursor", ["", "zzz", "W10", Cursor("cd" * 32, 1).encode(), Cursor(SHA, -1).encode()])
def test_a_broken_or_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidArgument, match="cursor"):
        start_of(cursor, SHA)
