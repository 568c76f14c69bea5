from __future__ import annotations

import time

from vision.media.document_order import by_rows, in_reading_order
from vision.media.markdown import StyledLine
from vision.types import Box


def _column(name: str, x1: float, x2: float, count: int, *, top: float = 100) -> list[StyledLine]:
    return [
        StyledLine(f"{name}{at}", (x1, top + 12 * at, x2 - 7 * (at % 3), top + 10 + 12 * at), 10) for at in range(count)
    ]


def _ordered(lines: list[StyledLine]) -> list[str]:
    return [line.text for region in in_reading_order(lines, _box, 10) for line in region]


def _box(line: StyledLine) -> Box:
    return line.box


def test_three_columns_between_a_head_and_a_foot_are_read_one_by_one() -> None:
    head = [StyledLine("head", (50, 40, 200, 50), 10), StyledLine("date", (450, 40, 550, 50), 10)]
    foot = [StyledLine("foot", (250, 760, 300, 770), 10)]
    a, b, c = (_column(name, x, x + 155, 50) for name, x in (("a", 50), ("b", 220), ("c", 390)))
    shuffled = [line for trio in zip(c, a, b, strict=True) for line in trio]
    assert _ordered([*foot, *shuffled, *head]) == [line.text for line in (*head, *a, *b, *c, *foot)]


def test_a_line_over_both_columns_parts_them_in_bands() -> None:
    upper = [*_column("a", 50, 290, 8), *_column("b", 310, 550, 8)]
    middle = StyledLine("middle", (50, 200, 550, 212), 10)
    lower = [*_column("c", 50, 290, 8, top=220), *_column("d", 310, 550, 8, top=220)]
    assert _ordered([*lower, middle, *upper]) == [line.text for line in (*upper, middle, *lower)]


def test_rows_of_a_table_are_not_taken_for_columns() -> None:
    cells = [
        StyledLine(f"{row}.{column}", (50 + 120 * column, 100 + 14 * row, 90 + 120 * column, 110 + 14 * row), 10)
        for row in range(12)
        for column in range(4)
    ]
    assert _ordered(cells) == [cell.text for cell in cells]


def test_boxes_on_one_row_are_sorted_from_left_to_right() -> None:
    assert by_rows([0, 1, 2], [(50, 20, 60, 30), (10, 21, 20, 31), (10, 0, 20, 10)]) == [[2], [1, 0]]


def test_a_page_of_thousands_of_pieces_keeps_the_files_order_at_once() -> None:
    lines = [StyledLine(str(at), (at % 97, at % 89, at % 97 + 3, at % 89 + 3), 10) for at in range(20_000)]
    start = time.perf_counter()
    assert _ordered(lines)[:3] == ["0", "1", "2"]
    assert time.perf_counter() - start < 2
