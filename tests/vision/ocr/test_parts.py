"""The steps between the two models, with made-up lines and a made-up recogniser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vision.errors import EngineUnavailable
from vision.ocr import rapid
from vision.ocr.fragments import fragments
from vision.ocr.lines import Line, crop, grow, is_tall, quad_box, quad_size
from vision.ocr.rapid import Reading, Word
from vision.ocr.reading_order import in_reading_order
from vision.ocr.recognition import better, recognise
from vision.ocr.rotation import Rotation, find_rotation, turn, turn_back
from vision.ocr.rulings import find_rulings
from vision.ocr.scan import Scan, scan


def quad(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)


def line(text: str, left: float, top: float, right: float, bottom: float) -> Line:
    return Line(quad(left, top, right, bottom), Reading(text, 0.99))


class FakeRecogniser:
    """Answers every crop by a rule, and counts the crops."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.seen = 0

    def recognise(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        readings = []
        for _ in crops:
            score = self.scores[min(self.seen, len(self.scores) - 1)]
            self.seen += 1
            readings.append(Reading(f"look {self.seen}", score))
        return readings


class FakeDetector:
    """Finds one line of a given height in every picture it is shown."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.sizes: list[tuple[int, int]] = []

    def detect(self, bgr: np.ndarray) -> np.ndarray:
        self.sizes.append((bgr.shape[1], bgr.shape[0]))
        return quad(10, 10, 200, 10 + self.height)[None]


def scanned(*quads: np.ndarray) -> Scan:
    picture = np.full((600, 800, 3), 255, dtype=np.uint8)
    return Scan(picture, picture, 1.0, np.array(quads, dtype=np.float32))


def test_sure_lines_are_recognised_once() -> None:
    fake = FakeRecogniser(0.98)

    recognise(fake, scanned(quad(0, 0, 200, 30), quad(0, 50, 200, 80)), {})

    assert fake.seen == 2


def test_a_doubtful_line_is_read_again_and_the_better_reading_kept() -> None:
    lines = recognise(FakeRecogniser(0.6, 0.97), scanned(quad(0, 0, 200, 30)), {})

    assert [(found.text, found.score) for found in lines] == [("look 2", 0.97)]


def test_a_line_that_stays_unreadable_is_left_out() -> None:
    assert recognise(FakeRecogniser(0.3), scanned(quad(0, 0, 200, 30)), {}) == []


def test_the_number_of_lines_read_again_is_bounded() -> None:
    fake = FakeRecogniser(0.6)

    recognise(fake, scanned(*(quad(0, 5 * index, 200, 5 * index + 30) for index in range(100))), {})

    assert fake.seen < 100 + 60


@pytest.mark.parametrize(
    ("first", "others", "kept"),
    [
        (Reading("$1.63", 0.76), [Reading("$123", 0.85)], "$1.63"),
        (Reading("Tota1 am0unt", 0.7), [Reading("Total amount", 0.95)], "Total amount"),
        (Reading("Total amount", 0.7), [Reading("Total", 0.99)], "Total amount"),
    ],
    ids=["hardly better", "better", "shorter"],
)
def test_a_second_reading_must_earn_its_place(first: Reading, others: list[Reading], kept: str) -> None:
    assert better(first, others).text == kept


def test_an_upright_page_costs_one_batch_that_is_kept() -> None:
    fake = FakeRecogniser(0.98)
    page = scanned(*(quad(0, 40 * index, 300, 40 * index + 30) for index in range(10)))

    probe = find_rotation(fake, page)
    recognise(fake, page, probe.readings)

    assert probe.rotation == 0
    assert fake.seen == 10


@pytest.mark.parametrize(("scores", "rotation"), [((0.5, 0.98), 90), ((0.98, 0.5), 270), ((0.6, 0.62), 0)])
def test_tall_lines_are_tried_both_ways(scores: tuple[float, float], rotation: int) -> None:
    page = scanned(*(quad(40 * index, 0, 40 * index + 30, 400) for index in range(3)))

    assert find_rotation(FakeRecogniser(*[scores[0]] * 3, *[scores[1]] * 3), page).rotation == rotation


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_of_a_turned_picture_come_back_to_the_same_pixels(rotation: Rotation) -> None:
    picture = np.zeros((50, 80, 3), dtype=np.uint8)
    picture[10:20, 30:60] = 255
    rows, columns = np.nonzero(turn(picture, rotation)[..., 0])

    box = turn_back((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), rotation, 80, 50)

    assert box == (30, 10, 60, 20)


def test_huge_letters_get_a_second_look_at_a_smaller_scale() -> None:
    detector = FakeDetector(400)

    scan(detector, np.zeros((900, 1200, 3), dtype=np.uint8))

    assert len(detector.sizes) == 2
    assert detector.sizes[1][0] < detector.sizes[0][0] / 3


def test_tiny_letters_of_a_large_picture_get_a_closer_look_in_tiles() -> None:
    detector = FakeDetector(9)

    found = scan(detector, np.zeros((2160, 3840, 3), dtype=np.uint8))

    assert found.scale == 1.0
    assert max(max(size) for size in detector.sizes) <= 2128


def test_no_picture_makes_the_detector_look_at_more_than_its_area() -> None:
    for shape in ((4, 30000, 3), (20000, 900, 3), (8000, 8000, 3)):
        detector = FakeDetector(9)
        scan(detector, np.zeros(shape, dtype=np.uint8))
        assert sum(width * height for width, height in detector.sizes) < 30e6


def test_a_line_over_two_tiles_is_one_line() -> None:
    class TwoTiles(FakeDetector):
        def detect(self, bgr: np.ndarray) -> np.ndarray:
            self.sizes.append((bgr.shape[1], bgr.shape[0]))
            edge = bgr.shape[1]
            return (quad(200, 20, edge, 60) if len(self.sizes) == 1 else quad(0, 21, 900, 61))[None]

    found = scan(TwoTiles(40), np.zeros((700, 3800, 3), dtype=np.uint8))

    assert len(found.quads) == 1


def test_a_crop_of_a_tall_line_lies_on_its_side_top_to_the_left() -> None:
    picture = np.zeros((100, 40, 3), dtype=np.uint8)
    picture[:50] = 255

    cut = crop(picture, quad(5, 0, 25, 100))

    assert cut.shape[:2] == (20, 100)
    assert cut[:, :40].min() == 255
    assert cut[:, 60:].max() == 0


def test_a_quadrilateral_grows_on_every_side() -> None:
    assert quad_box(grow(quad(100, 100, 200, 120), 0.5)) == (90, 90, 210, 130)
    assert quad_size(quad(100, 100, 200, 120)) == (100, 20)
    assert is_tall(quad(0, 0, 20, 100))
    assert not is_tall(quad(0, 0, 100, 20))


def test_fragments_of_one_baseline_stay_from_left_to_right() -> None:
    lines = [line("world", 130, 12, 200, 34), line("Hello", 50, 10, 120, 30), line("below", 50, 50, 120, 70)]

    assert [found.text for found in in_reading_order(lines)] == ["Hello", "world", "below"]


def test_a_headline_comes_before_the_columns_under_it() -> None:
    words = "some five words of text"
    left = [line(f"{words} l{index}", 0, 60 + 30 * index, 300, 82 + 30 * index) for index in range(4)]
    right = [line(f"{words} r{index}", 340, 60 + 30 * index, 640, 82 + 30 * index) for index in range(4)]
    head = line("A headline over both of the columns", 0, 0, 640, 40)

    found = in_reading_order([*right, head, *left])

    assert found == [head, *left, *right]


def test_rows_of_a_form_are_read_across() -> None:
    cells = [(name, value) for name, value in (("Name", "Ada"), ("Born", "1815"), ("Place", "London"))]
    lines = [
        line(text, 300 * column, 40 * row, 300 * column + 80, 40 * row + 22)
        for column in (0, 1)
        for row, text in enumerate(pair[column] for pair in cells)
    ]

    assert [found.text for found in in_reading_order(lines)] == ["Name", "Ada", "Born", "1815", "Place", "London"]


def test_panels_with_different_line_spacing_are_read_one_by_one() -> None:
    menu = [line(f"menu {index}", 0, 50 * index, 90, 50 * index + 22) for index in range(6)]
    body = [line(f"body {index}", 300, 37 * index + 9, 600, 37 * index + 31) for index in range(8)]

    assert in_reading_order([*body, *menu]) == [*menu, *body]


def test_vertical_columns_are_read_from_the_right() -> None:
    columns = [line(str(index), 100 * index, 0, 100 * index + 60, 500) for index in range(3)]

    assert [found.text for found in in_reading_order(columns)] == ["2", "1", "0"]


def test_many_lines_are_ordered_in_bounded_time() -> None:
    lines = [
        line("x", 50 * column, 20 * row, 50 * column + 20, 20 * row + 15) for row in range(60) for column in range(45)
    ]

    assert len(in_reading_order(lines)) == 2700


def test_a_line_with_a_wide_gap_is_two_fragments() -> None:
    reading = Reading(
        "Net total 42.00", 0.99, (Word("Net", 0.0, 0.1), Word("total", 0.12, 0.25), Word("42.00", 0.8, 1.0))
    )

    found = fragments(Line(quad(0, 0, 500, 20), reading))

    assert [piece.text for piece in found] == ["Net total", "42.00"]
    assert found[0].box[2] < found[1].box[0]


def test_rulings_are_found_and_letters_are_not() -> None:
    picture = np.full((300, 400, 3), 255, dtype=np.uint8)
    picture[100:102, 20:380] = 0
    picture[50:250, 200] = 120
    for x in range(20, 180, 12):
        picture[200:214, x : x + 3] = 0

    flat, upright = find_rulings(picture, 20)

    assert [(round(r.at), r.start, r.end) for r in flat] == [(101, 20, 380)]
    assert [(round(r.at), r.start, r.end) for r in upright] == [(200, 50, 250)]


def test_missing_models_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapid, "_DETECTOR", "no-such-model.onnx")

    with pytest.raises(EngineUnavailable, match=r"no-such-model\.onnx"):
        rapid.RapidEngine()
