"""The sample files show what their truth says, and come out the same every time."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import av
import pymupdf
import pytest
from PIL import Image

from scripts import samples


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> samples.Samples:
    return samples.make_samples(tmp_path_factory.mktemp("samples"))


def test_the_report_holds_every_line_and_cell_of_its_truth(made: samples.Samples) -> None:
    with pymupdf.open(made.report) as document:
        for page, truth in zip(document.pages(), samples.REPORT.pages, strict=True):
            text = page.get_text()
            for expected in (truth.heading, *truth.lines, *(cell for row in truth.table for cell in row)):
                assert expected in text
            assert all(page.rect.contains(pymupdf.Rect(word[:4])) for word in page.get_text("words"))


def test_the_scan_has_pictures_only_and_one_page_on_its_side(made: samples.Samples) -> None:
    with pymupdf.open(made.report_scan) as document:
        assert [page.get_text() for page in document.pages()] == ["", "", ""]
        wide = [number for number, page in enumerate(document.pages(), 1) if page.rect.width > page.rect.height]
        assert wide == [samples.REPORT.turned_page]


def _is_blue(picture: Image.Image, x: float, y: float) -> bool:
    red, _, blue = picture.getpixel((int(x), int(y)))  # type: ignore[misc]
    return blue - red > 100


def test_the_button_is_painted_where_the_truth_says(made: samples.Samples) -> None:
    for path, truth in ((made.screenshot_en, samples.SCREEN_EN), (made.screenshot_zh, samples.SCREEN_ZH)):
        with Image.open(path) as picture:
            corner = (truth.button_box[0] + 4, truth.button_box[1] + 4)
            assert _is_blue(picture, *corner)
            assert not _is_blue(picture, corner[0] - 8, corner[1])
            assert truth.button in truth.labels


def test_bars_stand_as_high_as_their_printed_values(made: samples.Samples) -> None:
    with Image.open(made.chart) as picture:
        heights = [
            sum(_is_blue(picture, 145 + index * 142, y) for y in range(picture.height))
            for index in range(len(samples.CHART.bars))
        ]
    assert [round(height / 7.4) for height in heights] == [int(value) for _, value in samples.CHART.bars]


def test_the_video_is_black_where_the_truth_says_and_carries_its_subtitles(made: samples.Samples) -> None:
    truth = samples.VIDEO
    with av.open(made.video) as container:
        means = {frame.time: frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)}
    black = [time for time, mean in means.items() if mean < 20]
    assert black[0] == pytest.approx(truth.black[0].start_s)
    assert black[-1] == pytest.approx(truth.black[0].end_s - 1 / samples.VIDEO_FPS)
    assert all(later - earlier == pytest.approx(1 / samples.VIDEO_FPS) for earlier, later in pairwise(black))
    assert max(means) == pytest.approx(truth.duration_s - 1 / samples.VIDEO_FPS)
    with av.open(made.video) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size > 2]
        shown = [(float((p.pts or 0) * p.time_base), bytes(p)[2:].decode()) for p in packets]
    assert shown == [(stretch.start_s, stretch.text) for stretch in truth.subtitles]


def test_making_them_again_gives_the_same_bytes(made: samples.Samples, tmp_path: Path) -> None:
    again = samples.make_samples(tmp_path / "again")
    digests = [[hashlib.sha256(path.read_bytes()).hexdigest() for path in group] for group in (made, again)]
    assert digests[0] == digests[1]
