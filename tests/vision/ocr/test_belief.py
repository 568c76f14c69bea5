"""Which readings become text: made-up readings, and pictures with shapes instead of letters."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.vision.ocr.pages import page
from vision.ocr.belief import believed, company, needs_witness, voted
from vision.ocr.rapid import Reading
from vision.ocr.reader import TextReader
from vision.ocr.scan import Scan


def quad(width: float, height: float) -> np.ndarray:
    return np.array([[10, 10], [10 + width, 10], [10 + width, 10 + height], [10, 10 + height]], dtype=np.float32)


def scanned(ground: int, ink: int, noise: int) -> Scan:
    """A picture with a bar of ink at the quad's place, and noise over everything."""
    picture = np.full((300, 300, 3), ground, dtype=np.int16)
    picture[10:50, 20:30] = ink
    picture += np.random.default_rng(1).integers(-noise, noise + 1, picture.shape, dtype=np.int16)
    pixels = picture.clip(0, 255).astype(np.uint8)
    return Scan(pixels, pixels, 1.0, np.zeros((0, 4, 2), dtype=np.float32))


PRINT, PHOTO = scanned(240, 20, 5), scanned(120, 90, 100)


@pytest.mark.parametrize(
    ("text", "score", "kept"),
    [("8", 0.85, False), ("8", 0.97, True), ("left", 0.85, False), ("BUNNY", 0.84, True), ("a long line", 0.65, True)],
)
def test_the_shorter_a_line_alone_the_surer_it_must_be(text: str, score: float, kept: bool) -> None:
    assert believed(quad(30, 40), Reading(text, score), True, PRINT) is kept


def test_in_company_of_text_a_short_line_is_believed_sooner() -> None:
    assert believed(quad(30, 40), Reading("8", 0.8), False, PHOTO)
    assert not believed(quad(30, 40), Reading("8", 0.6), False, PRINT)


def test_a_lone_letter_must_stand_out_from_its_ground() -> None:
    assert not believed(quad(30, 40), Reading("8", 0.99), True, PHOTO)


def test_a_lone_letter_must_fit_its_box() -> None:
    assert not believed(quad(200, 40), Reading("8", 0.99), True, PRINT)
    assert believed(quad(40, 40), Reading("8", 0.99), True, PRINT)


def test_company_are_sure_lines_of_about_the_same_height() -> None:
    found = company([quad(200, 30), quad(30, 30)], [Reading("Total amount", 0.97), Reading("7", 0.99)])

    assert found.heights == (30,)
    assert found.near(quad(20, 20))
    assert not found.near(quad(200, 200))


def test_several_sure_digits_make_company_and_one_does_not() -> None:
    digits = [Reading(char, 0.99) for char in "1234"]

    assert len(company([quad(20, 30)] * 4, digits).heights) == 4
    assert company([quad(20, 30)], digits[:1]).heights == ()


def test_a_lone_short_line_needs_a_witness() -> None:
    assert needs_witness(Reading("left", 0.99), True)
    assert not needs_witness(Reading("left", 0.5), False)
    assert not needs_witness(Reading("leftover", 0.5), True)


@pytest.mark.parametrize(
    ("readings", "text", "score"),
    [
        ([("8", 0.6), ("B", 0.96), ("b", 0.98)], "b", 0.97),
        ([("N", 0.64), ("1", 0.46), ("7", 0.3)], "N", 0.32),
        ([("", 0.0), ("", 0.0)], "", 0.0),
    ],
    ids=["two agree", "none agree", "nothing"],
)
def test_the_text_that_two_looks_agree_on_wins(readings: list[tuple[str, float]], text: str, score: float) -> None:
    winner = voted([Reading(*reading) for reading in readings])

    assert winner.text == text
    assert winner.score == pytest.approx(score)


@pytest.mark.parametrize("text", ["OK", "确定", "7", "小"])
def test_a_button_with_one_word_is_read(reader: TextReader, text: str) -> None:
    font = "helv" if text.isascii() else "china-s"
    button = page([(80, 60, text)], font=font, size=16, width=200, height=100)

    assert [line.text for line in reader.read(button).lines] == [text]


def test_a_grid_of_single_digits_is_read(reader: TextReader) -> None:
    grid = page([(40 + 60 * (n % 3), 50 + 50 * (n // 3), str(n + 1)) for n in range(9)], size=14, width=240, height=200)

    assert sorted(line.text for line in reader.read(grid).lines) == [str(n + 1) for n in range(9)]


@pytest.mark.parametrize("seed", range(4))
def test_blobs_and_edges_are_no_text_and_turn_nothing(reader: TextReader, seed: int) -> None:
    random = np.random.default_rng(seed)
    scene = cv2.resize(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        start, end = (tuple(int(v) for v in random.integers(0, 480, 2)) for _ in range(2))
        cv2.ellipse(scene, (start, (120, 40), int(random.integers(180))), (30, 30, 30), 6)
        cv2.line(scene, start, end, (220, 220, 220), 8)

    result = reader.read(scene)

    assert result.lines == ()
    assert result.rotation == 0
