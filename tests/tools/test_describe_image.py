from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_several_pictures_are_measured_and_none_is_described(ask: Any) -> None:
    result = await ask("describe_image", sources=["screenshot-en.png", "chart.png"], question="What differs?")
    assert (result.pictures[0].width, result.pictures[0].height) == (1280, 800)
    assert len(result.sources) == len(result.pictures) == 2
    assert result.answer is None
    assert any("needs an InternVL model" in notice for notice in result.notices)
    assert all(picture.measured.dominant_colors for picture in result.pictures)


async def test_detail_decides_how_much_comes(ask: Any) -> None:
    brief, normal, full = [
        (await ask("describe_image", sources=["report-page.png"], detail=detail)).pictures[0]
        for detail in ("brief", "normal", "full")
    ]
    assert brief.text and not brief.lines and not brief.tables
    assert normal.lines and not normal.tables
    assert full.lines and full.tables


@pytest.fixture(autouse=True)
def page_picture(sample_files: Any) -> None:
    """A page with a table, as a picture."""
    import pymupdf

    with pymupdf.open(sample_files.report) as report:
        report[1].get_pixmap(dpi=130).save(sample_files.report.parent / "report-page.png")
