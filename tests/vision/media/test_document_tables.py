"""Tables without rules, made of placed lines."""

from __future__ import annotations

from vision.media.document_tables import borderless_tables
from vision.media.markdown import StyledLine


def _cell(text: str, x: float, y: float) -> StyledLine:
    return StyledLine(text, (x, y, x + 5 * len(text), y + 10), 10)


def _rows(count: int, *, top: float = 100, step: float = 14) -> list[StyledLine]:
    return [_cell(f"{row}.{at}", 50 + 80 * at, top + step * row) for row in range(count) for at in range(5)]


def _read(lines: list[StyledLine]) -> list[tuple[str, ...]]:
    ((table, members),) = borderless_tables(lines)
    assert len(members) == len(lines)
    return list(table.rows)


def test_pieces_in_columns_are_a_table() -> None:
    rows = _read(_rows(12))
    assert len(rows) == 12
    assert rows[3] == ("3.0", "3.1", "3.2", "3.3", "3.4")


def test_a_heading_over_several_columns_is_said_over_each_of_them() -> None:
    head = [_cell("Exports", 155, 72), _cell("Imports", 315, 72)]
    years = [_cell(text, 50 + 80 * at, 86) for at, text in enumerate(("Town", "1870", "1871", "1870", "1871"))]
    rows = _read([*head, *years, *_rows(4)])
    assert rows[0] == ("", "Exports", "Exports", "Imports", "Imports")
    assert rows[1] == ("Town", "1870", "1871", "1870", "1871")


def test_a_wrapped_cell_stays_in_its_row_at_the_tables_end_too() -> None:
    wrapped = [_cell("its hamlets", 50, 111 + 30 * row) for row in range(4)]
    rows = _read([*_rows(4, step=30), *wrapped])
    assert [row[0] for row in rows] == [f"{row}.0 its hamlets" for row in range(4)]


def test_a_row_of_one_cell_that_stands_as_far_off_as_the_others_stays_a_row() -> None:
    lines = [*_rows(3), _cell("Thereof", 50, 142), *_rows(3, top=156)]
    assert ("Thereof", "", "", "", "") in _read(lines)


def test_running_text_and_contents_pages_are_no_tables() -> None:
    text = [StyledLine(f"text{at}", (50, 100 + 12 * at, 290 - 7 * (at % 3), 110 + 12 * at), 10) for at in range(20)]
    assert borderless_tables(text) == []
    contents = [
        piece
        for at in range(10)
        for piece in (
            StyledLine(f"{at}. Chapter", (50, 100 + 14 * at, 120, 110 + 14 * at), 10),
            StyledLine(". . . . . . . .", (130, 100 + 14 * at, 400, 110 + 14 * at), 10),
            StyledLine(str(at), (420, 100 + 14 * at, 430, 110 + 14 * at), 10),
        )
    ]
    assert borderless_tables(contents) == []
