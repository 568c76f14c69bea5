from __future__ import annotations

from typing import Any

import pytest

from vision.errors import InvalidArgument, UnsupportedMedia

pytestmark = pytest.mark.anyio


def near(one: float, two: float) -> bool:
    return abs(one - two) <= 0.3


async def test_the_timeline_says_what_stands_on_screen_and_when(ask: Any, sample_maker: Any) -> None:
    truth = sample_maker.VIDEO
    result = await ask("analyze_video", source="video.mp4", question="What is step 2?")
    assert near(result.duration_s, truth.duration_s)
    for kind, stretches in (("text", truth.scenes), ("black", truth.black), ("subtitle", truth.subtitles)):
        entries = [entry for entry in result.timeline if entry.kind == kind]
        for stretch in stretches:
            assert any(
                near(entry.start_s, stretch.start_s)
                and near(entry.end_s, stretch.end_s)
                and (kind == "black" or entry.text == stretch.text)
                for entry in entries
            ), (kind, stretch, entries)
    assert result.answer is None
    assert result.looked_at.complete


async def test_only_the_segment_is_looked_at(ask: Any) -> None:
    result = await ask("analyze_video", source="video.mp4", start=6, end=8)
    assert {entry.text for entry in result.timeline if entry.kind == "text"} == {"Step 1: open the valve"}
    assert all(6 <= time <= 8 for time in result.used.frames_s)


async def test_a_document_is_no_video(ask: Any) -> None:
    with pytest.raises(UnsupportedMedia, match="document"):
        await ask("analyze_video", source="report.pdf")


@pytest.mark.parametrize("name", ["still.png", "still.gif", "still.webp"])
async def test_a_still_picture_is_no_video(ask: Any, shared_service: Any, name: str) -> None:
    from PIL import Image

    Image.new("RGB", (80, 60), "navy").save(shared_service._cwd / name)
    with pytest.raises(UnsupportedMedia) as caught:
        await ask("analyze_video", source=name)
    assert "describe_image" in caught.value.hint


@pytest.mark.parametrize("argument", ["start", "end"])
async def test_a_time_that_is_no_number_is_refused(ask: Any, argument: str) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        await ask("analyze_video", source="video.mp4", **{argument: float("inf")})
