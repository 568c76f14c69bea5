from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.scoring import cer
from tests.vision.ocr.pages import CHINESE, ENGLISH, page, stacked
from vision.errors import InvalidArgument
from vision.ocr.reader import TextReader
from vision.types import Box, PageText


def text_of(result: PageText) -> str:
    return "\n".join(line.text for line in result.lines)


@pytest.mark.parametrize(("lines", "font"), [(ENGLISH, "helv"), (CHINESE, "china-s")], ids=["english", "chinese"])
def test_a_clear_page_is_read_with_at_most_one_error_in_a_hundred(
    reader: TextReader, lines: tuple[str, ...], font: str
) -> None:
    result = reader.read(page(stacked(lines), font=font))

    assert cer(text_of(result), "\n".join(lines)) <= 0.01
    assert result.rotation == 0
    assert all(line.confidence > 0.9 for line in result.lines)


@pytest.mark.parametrize(
    "font_and_lines", [("helv", ENGLISH[:3]), ("china-s", CHINESE[:3])], ids=["english", "chinese"]
)
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_page_reads_the_same_with_boxes_where_the_ink_is(
    reader: TextReader, font_and_lines: tuple[str, tuple[str, ...]], quarters: int
) -> None:
    font, lines = font_and_lines
    turned = np.rot90(page(stacked(lines), font=font), quarters)  # counter-clockwise

    result = reader.read(turned)

    assert cer(text_of(result), "\n".join(lines)) <= 0.01
    assert result.rotation == quarters * 90  # clockwise, which rights it
    ink = turned.min(axis=2) < 128
    assert sum(inside(ink, line.box).sum() for line in result.lines) > 0.97 * ink.sum()


def inside(ink: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = (round(edge) for edge in box)
    return ink[top:bottom, left:right]


def test_white_text_on_a_dark_ground_is_read(reader: TextReader) -> None:
    result = reader.read(255 - page(stacked(ENGLISH[:3])))

    assert cer(text_of(result), "\n".join(ENGLISH[:3])) <= 0.01


def test_faint_text_is_read(reader: TextReader) -> None:
    faint = (235 - (255 - page(stacked(ENGLISH[:3])).astype(np.int16)) // 9).astype(np.uint8)

    assert cer(text_of(reader.read(faint)), "\n".join(ENGLISH[:3])) <= 0.02


def test_two_columns_are_read_one_after_the_other(reader: TextReader) -> None:
    left = [
        "The old harbour was built in",
        "the reign of a careful queen",
        "who feared the winter storms",
        "and paid for all of the stone.",
    ]
    right = [
        "Today its warehouses are full",
        "of painters and small cafes,",
        "and boats go out at weekends",
        "to look for seals and birds.",
    ]

    result = reader.read(page([*stacked(left, x=30, step=16), *stacked(right, x=245, step=16)]))

    assert [line.text for line in result.lines] == left + right
    assert result.tables == ()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_page_has_no_lines(value: int) -> None:
    assert TextReader().read(np.full((400, 300, 3), value, dtype=np.uint8)) == PageText()


def test_noise_yields_no_text(reader: TextReader) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (300, 400, 3), dtype=np.uint8)

    assert reader.read(noise).lines == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (6, 5000), (5000, 7), (40, 40)])
def test_pictures_of_any_shape_are_answered(reader: TextReader, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 255, dtype=np.uint8)
    picture[: shape[0] // 2, : shape[1] // 2] = 0

    assert isinstance(reader.read(picture), PageText)


def test_a_long_strip_keeps_its_small_text(reader: TextReader) -> None:
    lines = [f"Entry {number} of the long log" for number in range(100, 240, 7)]
    strip = page(stacked(lines, x=20, y=20, step=115), width=240, height=2420)

    assert [line.text for line in reader.read(strip).lines] == lines


def test_small_text_on_a_large_screen_is_read(reader: TextReader) -> None:
    screen = np.full((2160, 3840, 3), 250, dtype=np.uint8)
    note = page(stacked(ENGLISH[1:4], step=18), size=10, dpi=96, width=400, height=110)
    screen[1500 : 1500 + note.shape[0], 2500 : 2500 + note.shape[1]] = note

    assert cer(text_of(reader.read(screen)), "\n".join(ENGLISH[1:4])) <= 0.02


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_other_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(InvalidArgument):
        TextReader().read(picture)


def test_no_threads_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        TextReader(threads=0)


def test_vertical_chinese_is_read_down_its_columns_from_the_right(reader: TextReader, media: Path) -> None:
    with Image.open(media / "zh_vertical_book.png") as image:
        result = reader.read(np.asarray(image.convert("RGB")))

    assert result.rotation == 0
    assert cer(text_of(result), "有評是是非非之士師也\n是非不得問之人要取之\n已取之時不參一人見而") <= 0.04
