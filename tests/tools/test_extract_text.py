from __future__ import annotations

from typing import Any

import pytest

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


async def test_lines_come_in_parts_that_make_the_whole(ask: Any) -> None:
    whole = await ask("extract_text", source="screenshot-en.png")
    lines: list[Any] = []
    cursor = None
    for _ in range(30):
        part = await ask("extract_text", tokens=1000, source="screenshot-en.png", cursor=cursor)
        lines += part.lines
        cursor = part.next_cursor
        if cursor is None:
            break
    assert lines == list(whole.lines)


async def test_a_document_gives_its_text_layer_in_points(ask: Any, sample_maker: Any) -> None:
    result = await ask("extract_text", source="report.pdf", pages="1")
    assert sample_maker.REPORT.pages[0].heading in result.text
    assert all(line.confidence == 1.0 and line.box[2] <= 596 for line in result.lines)
