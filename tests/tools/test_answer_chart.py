from __future__ import annotations

from typing import Any

import pytest

from tools.answer_chart import reading
from vision.types import TextLine


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("56", 56.0, None),
        ("-28", -28.0, None),
        ("−1,067", -1067.0, None),
        ("14.3%", 14.3, "%"),
        ("$275,000", 275000.0, "$"),
        ("1.31 million", 1.31e6, None),
        ("5 Million", 5e6, None),
        ("3 BN", 3e9, None),
        ("$5M", 5e6, "$"),
        ("12 345", 12345.0, None),
        ("1\u00a0234\u202f567.5 t", 1234567.5, "t"),
        ("12\u2009345 %", 12345.0, "%"),
        ("2.42 t", 2.42, "t"),
        ("3.5K", 3500.0, None),
        ("1.2万", 12000.0, None),
        ("6亿", 6e8, None),
        (".5", 0.5, None),
    ],
)
def test_a_printed_number_is_read_with_its_unit(text: str, value: float, unit: str | None) -> None:
    found = reading(TextLine(text=text, box=(0, 0, 10, 10), confidence=0.9))
    assert found.value == pytest.approx(value)
    assert found.unit == unit


@pytest.mark.parametrize(
    "text",
    ["Denmark", "Q1 2024", "1.2.3", "05-13", "Figure 3: growth", "1,23", "10-20", "2010 2011", "10 20", "1 2345"],
)
def test_what_is_not_one_number_has_no_value(text: str) -> None:
    assert reading(TextLine(text=text, box=(0, 0, 10, 10), confidence=0.9)).value is None


@pytest.mark.anyio
async def test_every_printed_value_and_label_of_a_chart_is_given(ask: Any, sample_maker: Any) -> None:
    result = await ask("answer_chart", source="chart.png", question="Which is highest?")
    texts = {reading.text for reading in result.readings}
    assert sample_maker.CHART.title in texts
    for label, value in sample_maker.CHART.bars:
        assert label in texts
        assert float(value) in {reading.value for reading in result.readings}
    assert result.answer is None and result.chart_type is None
    assert any("does not understand" in notice for notice in result.notices)


@pytest.mark.anyio
async def test_the_table_puts_each_value_with_the_label_in_line_with_it(ask: Any, sample_maker: Any) -> None:
    result = await ask("answer_chart", source="chart.png", output="table")
    rows = {(row[1], row[2]) for row in result.table.rows}
    for label, value in sample_maker.CHART.bars:
        assert (value, label) in rows


@pytest.mark.anyio
async def test_a_chart_that_does_not_fit_says_what_to_do(ask: Any, shared_service: Any) -> None:
    import pymupdf

    with pymupdf.open() as document:
        page = document.new_page(width=800, height=800)
        for row in range(30):
            page.insert_text((20, 30 + 25 * row), f"label {row}          {row * 37}.5          label {row + 50}")
        page.get_pixmap(dpi=110).save(shared_service._cwd / "many-labels.png")
    result = await ask("answer_chart", source="many-labels.png", tokens=2000)
    assert result.truncated
    assert any("region" in notice for notice in result.notices)
