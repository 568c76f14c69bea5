from __future__ import annotations

from typing import Any

import pytest

from tools.cursor import Cursors
from tools.extract_text import ExtractTextParameters
from tools.paging import tokens_of
from vision.errors import InvalidArgument

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("screen", ["en", "zh"])
async def test_every_label_of_a_screenshot_is_read(ask: Any, sample_maker: Any, screen: str) -> None:
    result = await ask("extract_text", source=f"screenshot-{screen}.png")
    texts = result.text.splitlines()
    for label in getattr(sample_maker, f"SCREEN_{screen.upper()}").labels:
        assert label in texts or label.replace(" ", "") in [text.replace(" ", "") for text in texts], label
    for line in result.lines:
        x1, y1, x2, y2 = line.box
        assert 0 <= x1 < x2 <= 1280 and 0 <= y1 < y2 <= 800


async def test_a_region_is_read_alone_with_boxes_of_the_original(ask: Any, sample_maker: Any) -> None:
    region = list(sample_maker.SCREEN_EN.button_box)
    result = await ask("extract_text", source="screenshot-en.png", region=region)
    (line,) = result.lines
    assert line.text == sample_maker.SCREEN_EN.button
    assert region[0] <= line.box[0] and line.box[2] <= region[2]
    assert result.used.region == tuple(region)


@pytest.mark.parametrize("region", [[0, 0, 5000, 5000], [10, 10, 5, 50], [-10, 0, 10, 10]])
async def test_a_region_outside_the_picture_is_refused(ask: Any, region: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="1280"):
        await ask("extract_text", source="screenshot-en.png", region=region)


async def test_a_turned_page_says_how_far(ask: Any, sample_maker: Any) -> None:
    turned = sample_maker.REPORT.turned_page
    result = await ask("extract_text", source="report-scan.pdf", pages=str(turned))
    assert result.page_rotations == {turned: 270}
    assert sample_maker.REPORT.pages[turned - 1].heading in result.text


async def followed(ask: Any, tokens: int, **arguments: Any) -> list[Any]:
    """The replies that following the cursor alone gives."""
    replies = [await ask("extract_text", tokens=tokens, **arguments)]
    while replies[-1].next_cursor is not None:
        assert replies[-1].truncated
        cursor = replies[-1].next_cursor
        replies.append(await ask("extract_text", tokens=tokens, source=arguments["source"], cursor=cursor))
        assert len(replies) < 60
    return replies


async def test_lines_come_in_parts_that_make_the_whole(ask: Any) -> None:
    whole = await ask("extract_text", source="screenshot-en.png")
    replies = await followed(ask, 1000, source="screenshot-en.png")
    assert len(replies) > 1
    assert [line for reply in replies for line in reply.lines] == list(whole.lines)


async def test_a_cursor_alone_goes_on_with_the_same_pages_and_region(ask: Any, sample_maker: Any) -> None:
    replies = await followed(ask, 1000, source="report.pdf", pages="3,1")
    assert list(dict.fromkeys(page for reply in replies for page in reply.used.pages)) == [3, 1]
    region = [0, 0, 1280, 400]
    cut = await ask("extract_text", source="screenshot-en.png", region=region)
    parts = await followed(ask, 800, source="screenshot-en.png", region=region)
    assert len(parts) > 1
    assert [line for part in parts for line in part.lines] == list(cut.lines)
    with pytest.raises(InvalidArgument, match="region"):
        await ask("extract_text", source="screenshot-en.png", region=[0, 0, 9, 9], cursor=parts[0].next_cursor)


@pytest.fixture
def wide(shared_service: Any) -> str:
    """A PDF: a line longer than a reply, then a ruled table longer than a reply, then a small page."""
    import pymupdf

    with pymupdf.open() as document:
        page = document.new_page(width=9000, height=1200)
        page.insert_text((30, 20), " ".join(f"word{n}" for n in range(2400)), fontsize=1)
        rows, height, width = 60, 19, 140
        for row in range(rows + 1):
            page.draw_line((30, 40 + row * height), (30 + 5 * width, 40 + row * height))
        for column in range(6):
            page.draw_line((30 + column * width, 40), (30 + column * width, 40 + rows * height))
        for row in range(rows):
            for column in range(5):
                page.insert_text((34 + column * width, 53 + row * height), f"cell r{row} c{column}", fontsize=9)
        document.new_page(width=300, height=200).insert_text((20, 40), "The last page")
        document.save(shared_service._cwd / "wide.pdf")
    return "wide.pdf"


async def test_a_line_and_a_table_longer_than_a_reply_come_whole_in_parts(ask: Any, wide: str) -> None:
    whole = await ask("extract_text", tokens=200_000, source=wide)
    replies = await followed(ask, 2000, source=wide)
    assert all(tokens_of(reply) <= 2000 for reply in replies)
    assert len(whole.lines[0].text) > 12_000
    texts = [line.text for reply in replies for line in reply.lines]
    assert "".join(texts) == "".join(line.text for line in whole.lines)
    rows = [row for reply in replies for table in reply.tables for row in table.rows]
    assert rows == [row for table in whole.tables for row in table.rows]
    assert len(rows) == 60


async def test_every_reply_gets_on_although_its_frame_alone_is_over_the_budget(ask: Any, wide: str) -> None:
    cursors: list[Any] = [None]
    for _ in range(4):
        reply = await ask("extract_text", tokens=500, source=wide, cursor=cursors[-1])
        assert reply.lines and reply.next_cursor not in cursors
        cursors.append(reply.next_cursor)


async def test_the_source_is_measured_by_its_first_page(ask: Any, wide: str) -> None:
    result = await ask("extract_text", tokens=200_000, source=wide)
    assert (result.sources[0].width, result.sources[0].height) == (9000, 1200)


async def test_a_cursor_past_the_end_is_refused(ask: Any) -> None:
    result = await ask("extract_text", source="report.pdf")
    parameters = ExtractTextParameters(source="report.pdf")
    for place in ((3, 0, 0, 0), (0, 500, 0, 0), (0, 0, 5, 0), (0, 0, 0, 900)):
        cursor = Cursors("extract_text", 4, ("region", "pages")).make(result.sources[0].sha256, parameters, *place)
        with pytest.raises(InvalidArgument, match="past the end"):
            await ask("extract_text", source="report.pdf", cursor=cursor)


async def test_a_document_gives_its_text_layer_in_points(ask: Any, sample_maker: Any) -> None:
    result = await ask("extract_text", source="report.pdf", pages="1")
    assert sample_maker.REPORT.pages[0].heading in result.text
    assert all(line.confidence == 1.0 and line.box[2] <= 596 for line in result.lines)
