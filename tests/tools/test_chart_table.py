from __future__ import annotations

import pytest

from tools.chart_table import parse_table


@pytest.mark.parametrize(
    "text",
    [
        "| Town | People |\n|:---|---:|\n| Aa | 1,200 |\n| **Bb** | -3.5 |",
        "Here it is:\n\nTown | People\n--- | ---\nAa | 1,200\nBb | −3.5\n\nThat is all | of it",
        'Town, People\nAa, "1,200"\nBb, -3.5',
        "```csv\nTown\tPeople\nAa\t1,200\nBb\t-3.5\n```",
    ],
)
def test_markdown_and_separated_values_are_read(text: str) -> None:
    table = parse_table(text)
    assert table is not None
    assert table.columns == ("Town", "People")
    assert table.rows == (("Aa", 1200.0), ("Bb", -3.5))


def test_ragged_rows_are_made_even_and_units_stay_text() -> None:
    table = parse_table("| a | b | c |\n|--|--|--|\n| 1 | 2 % |\n| 3 | 4 | 5 | 6 |")
    assert table is not None and table.rows == ((1.0, "2 %", ""), (3.0, 4.0, 5.0))


@pytest.mark.parametrize("text", ["", "It rises.", "| only a head | of two |", "one\ntwo\nthree", "| one |\n| two |"])
def test_what_is_no_table_is_none(text: str) -> None:
    assert parse_table(text) is None


def test_a_table_without_end_is_none() -> None:
    assert parse_table("\n".join(f"| a | {n} |" for n in range(5000))) is None
