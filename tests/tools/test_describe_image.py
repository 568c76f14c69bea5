from __future__ import annotations

from typing import Any

import pytest

from mcp_server.running import run_tool
from tools.catalogue import TOOLS
from tools.paging import tokens_of
from vision.call import Call
from vision.errors import DamagedMedia

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
    assert full.measured.cells and not normal.measured.cells


async def test_a_brief_text_that_was_cut_is_marked(ask: Any) -> None:
    long = await ask("describe_image", sources=["long-page.png"], detail="brief")
    assert long.pictures[0].text.endswith("…") and len(long.pictures[0].text) < 510
    assert long.truncated and any("extract_text" in notice for notice in long.notices)
    short = await ask("describe_image", sources=["chart.png"], detail="brief")
    assert not short.truncated


@pytest.mark.parametrize("detail", ["brief", "normal", "full"])
async def test_eight_pictures_keep_within_a_reply(ask: Any, detail: str) -> None:
    for tokens in (2000, 4000):
        result = await ask("describe_image", sources=["report-page.png"] * 8, detail=detail, tokens=tokens)
        assert len(result.pictures) == 8
        assert result.truncated or tokens > 2000
        assert tokens_of(result) <= tokens


async def test_a_bad_picture_of_several_is_named_and_the_others_are_looked_at(ask: Any, shared_service: Any) -> None:
    folder = shared_service._cwd
    (folder / "cut.png").write_bytes((folder / "chart.png").read_bytes()[:3000])
    result = await ask("describe_image", sources=["cut.png", "chart.png", "missing.png"])
    bad, good, missing = result.pictures
    assert (bad.source, bad.code) == ("cut.png", "damaged_media") and bad.message and bad.hint
    assert (missing.source, missing.code) == ("missing.png", "source_not_found")
    assert good.lines
    assert [source.name for source in result.sources] == ["chart.png"]
    with pytest.raises(DamagedMedia):
        await ask("describe_image", sources=["cut.png", "missing.png"])


async def test_when_time_is_up_the_pictures_not_looked_at_are_named(ask: Any, shared_service: Any) -> None:
    tool = next(tool for tool in TOOLS if tool.name == "describe_image")
    arguments = {"sources": ["chart.png", "screenshot-en.png", "screenshot-zh.png"]}
    result: Any = await run_tool(shared_service, tool, arguments, Call(within_s=0.0))
    assert len(result.pictures) == 1 and result.truncated
    assert any("screenshot-en.png, screenshot-zh.png" in notice for notice in result.notices)


async def test_what_lies_behind_a_first_page_or_frame_is_said(ask: Any, shared_service: Any) -> None:
    from PIL import Image

    folder = shared_service._cwd
    frames = [Image.new("RGB", (60, 40), color) for color in ("red", "green", "blue")]
    for name in ("pages.tiff", "moving.gif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    result = await ask("describe_image", sources=["pages.tiff", "moving.gif", "chart.png"])
    assert any(notice.startswith("pages.tiff has 3 pages") for notice in result.notices)
    assert any(notice.startswith("moving.gif has 3 frames") for notice in result.notices)
    assert not any("chart.png" in notice for notice in result.notices)


@pytest.fixture(autouse=True)
def page_picture(sample_files: Any) -> None:
    """A page with a table, and one with much text, as pictures."""
    import pymupdf

    with pymupdf.open(sample_files.report) as report:
        report[1].get_pixmap(dpi=130).save(sample_files.report.parent / "report-page.png")
    with pymupdf.open() as document:
        page = document.new_page()
        for row in range(20):
            page.insert_text((40, 60 + 30 * row), f"This is line {row} of a page that holds much text", fontsize=14)
        page.get_pixmap(dpi=110).save(sample_files.report.parent / "long-page.png")
