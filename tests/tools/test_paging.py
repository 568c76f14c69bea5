from __future__ import annotations

from typing import Any

import pytest

from tools.paging import At, Budget, estimate_tokens, fill, split_text, tokens_of
from vision.errors import InvalidArgument
from vision.types import TextLine, TextTable


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


def test_what_json_escapes_is_counted() -> None:
    assert tokens_of('"' * 300) == 200
    first, rest = split_text('"' * 300, 50)
    assert tokens_of(first) <= 50 and first + rest == '"' * 300


def line(text: str) -> TextLine:
    return TextLine(text=text, box=(10, 10, 900, 30), confidence=0.97)


def table(rows: int, cell: str = "a cell") -> TextTable:
    return TextTable(box=(10, 10, 900, 30), rows=tuple((f"{row}", cell, "", f"{cell} {row}") for row in range(rows)))


def followed(items: list[Any], tokens: int, copies: int = 1) -> list[list[Any]]:
    """The replies that following the places to their end gives."""
    replies = []
    at: At | None = At()
    while at is not None:
        before = at
        parts, at = fill(items, at, Budget(tokens), copies=copies)
        assert parts or not items, "a reply without anything"
        assert at is None or (at.item, at.row, at.character) > (before.item, before.row, before.character)
        replies.append(parts)
        assert len(replies) < 3000, "it does not end"
    return replies


def joined(parts: list[Any], items: list[Any]) -> bool:
    """Whether the parts, one after the other, are the items, each once."""
    rest = list(parts)
    for item in items:
        if isinstance(item, TextTable):
            seen = ["" for _ in item.rows[0]] if item.rows else []
            whole = ["".join(column) for column in zip(*item.rows, strict=True)]
            while seen != whole:
                part = rest.pop(0)
                seen = [a + "".join(b) for a, b in zip(seen, zip(*part.rows, strict=True), strict=True)]
            if not item.rows:
                rest.pop(0)
        else:
            text = ""
            while text != item.text:
                part = rest.pop(0)
                assert item.text.startswith(text + part.text)
                text += part.text
    return not rest


ITEMS = {
    "lines": [line(f"line {n} " + "word " * (n % 30)) for n in range(200)],
    "a line longer than a reply": [line("short"), line("word " * 4000), line("订单" * 3000), line("short")],
    "lines without a space": [line("x" * 9000), line('"' * 5000)],
    "a long table": [line("above"), table(400), line("below"), table(3)],
    "a row longer than a reply": [table(3, "word " * 1500), line("below"), table(2, "x" * 4000)],
    "many columns": [TextTable(box=(0, 0, 9, 9), rows=(("",) * 3000, ("ab",) * 700 + ("",) * 2300))],
    "empty": [TextTable(box=(0, 0, 9, 9), rows=()), line("end")],
    "nothing": [],
}


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("tokens", [-500, 0, 150, 1200])
def test_following_the_places_ends_and_gives_everything_once(name: str, tokens: int) -> None:
    replies = followed(ITEMS[name], tokens, copies=2)
    assert joined([part for reply in replies for part in reply], ITEMS[name])


@pytest.mark.parametrize("name", [name for name in ITEMS if name != "many columns"])
def test_each_part_keeps_within_its_tokens(name: str) -> None:
    for reply in followed(ITEMS[name], 500):
        assert sum(tokens_of(part) for part in reply) <= 510


def test_only_what_opens_a_reply_is_cut_within_a_text() -> None:
    first, second, *_ = followed([line("short"), line("word " * 4000)], 500)
    assert [part.text for part in first] == ["short"]
    assert second[0].text.startswith("word")


@pytest.mark.parametrize("at", [At(2), At(1, 9), At(0, 1), At(0, 0, 5), At(1, 0, 500), At(99)])
def test_a_place_that_is_not_there_is_refused(at: At) -> None:
    with pytest.raises(InvalidArgument, match="past the end"):
        fill([line("short"), table(4)], at, Budget(500))
