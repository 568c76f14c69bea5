"""Lines that slope, made here, and a page askew read by the models."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.vision.ocr.pages import page, stacked
from vision.ocr.levelling import level, slope, tilted_back
from vision.ocr.lines import Line, quad_box
from vision.ocr.rapid import Reading
from vision.ocr.reader import TextReader
from vision.ocr.scan import Scan

WIDTH, HEIGHT = 800, 1000


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), -degrees, 1.0)
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def _line(x: float, y: float, width: float, degrees: float) -> Line:
    quad = np.array([[x, y], [x + width, y], [x + width, y + 20], [x, y + 20]], dtype=np.float32)
    return Line(_turned(quad, degrees), Reading("text", 0.9))


def _scan() -> Scan:
    blank = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    return Scan(blank, blank, 1.0, np.zeros((0, 4, 2), dtype=np.float32))


@pytest.mark.parametrize("degrees", [-6.0, -1.0, 3.5])
def test_the_slope_of_most_lines_is_the_pages_and_levels_them(degrees: float) -> None:
    lines = [_line(100, 100 + 40 * at, 500, degrees) for at in range(8)] + [_line(200, 600, 300, 9)]
    assert slope(lines) == pytest.approx(degrees, abs=0.1)
    _, flat = level(_scan(), lines[:8], degrees)
    for at, line in enumerate(flat):
        assert quad_box(line.quad) == pytest.approx((100, 100 + 40 * at, 600, 120 + 40 * at), abs=1)
    around = tilted_back((100, 100, 600, 120), _scan(), degrees)
    assert around == pytest.approx(quad_box(lines[0].quad), abs=1)


def test_lines_that_hardly_slope_or_disagree_are_left_as_they_are() -> None:
    assert slope([_line(100, 100 + 40 * at, 500, 0.3) for at in range(8)]) == 0
    assert slope([_line(100, 100 + 40 * at, 500, 4 * at - 12) for at in range(7)]) == 0
    assert slope([_line(100, 100, 500, 4)]) == 0


def test_rows_of_a_page_askew_are_read_across(reader: TextReader) -> None:
    rows = [f"Left line number {at}" for at in range(6)]
    values = [f"value {at}" for at in range(6)]
    upright = page([*stacked(rows, x=30), *stacked(values, x=380)], width=520, height=220)
    height, width = upright.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -3.0, 1.0)
    askew = cv2.warpAffine(upright, matrix, (width, height), borderValue=(255, 255, 255))
    read = reader.read(askew)
    assert read.slope == pytest.approx(3.0, abs=0.6)
    assert [line.text for line in read.lines] == [text for row in zip(rows, values, strict=True) for text in row]
