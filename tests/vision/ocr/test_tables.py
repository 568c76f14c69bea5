from __future__ import annotations

import pymupdf

from benchmarks.scoring import table_row_found
from tests.vision.ocr.pages import drawn, page, stacked
from vision.ocr.reader import TextReader

ROWS = (
    ("Item", "Quantity", "Unit price", "Total"),
    ("Rope, 20 metres", "12", "8.50", "102.00"),
    ("Anchor", "2", "240.00", "480.00"),
    ("Signal lamp", "15", "31.20", "468.00"),
)
LEFT = (40, 170, 250, 340, 420)


def table_page(*, ruled: bool, rows: tuple[tuple[str, ...], ...] = ROWS) -> object:
    def draw(sheet: pymupdf.Page) -> None:
        sheet.insert_text((40, 40), "Delivery note 4711 of the harbour shop", fontsize=12)
        for index, row in enumerate(rows):
            for x, cell in zip(LEFT, row, strict=False):
                sheet.insert_text((x + 5, 85 + 24 * index), cell, fontsize=11)
        if ruled:
            for index in range(len(rows) + 1):
                sheet.draw_line((LEFT[0], 69 + 24 * index), (LEFT[-1], 69 + 24 * index), width=0.7)
            for x in LEFT:
                sheet.draw_line((x, 69), (x, 69 + 24 * len(rows)), width=0.7)
        sheet.insert_text((40, 230), "All prices are in euros and without tax.", fontsize=12)

    return drawn(draw)


def test_a_ruled_table_comes_back_row_by_row(reader: TextReader) -> None:
    tables = reader.read(table_page(ruled=True)).tables

    assert len(tables) == 1
    assert tables[0].rows == ROWS


def test_an_aligned_table_without_rulings_comes_back_row_by_row(reader: TextReader) -> None:
    tables = reader.read(table_page(ruled=False)).tables

    assert len(tables) == 1
    assert tables[0].rows == ROWS


def test_an_empty_cell_stays_empty_and_keeps_its_column(reader: TextReader) -> None:
    rows = (*ROWS, ("Delivery", "", "", "25.00"))

    tables = reader.read(table_page(ruled=True, rows=rows)).tables

    assert tables[0].rows[-1] == ("Delivery", "", "", "25.00")


def test_a_wrapped_cell_is_one_cell(reader: TextReader) -> None:
    def draw(sheet: pymupdf.Page) -> None:
        for y in (60, 84, 130, 154):
            sheet.draw_line((40, y), (420, y), width=0.7)
        for x in (40, 200, 310, 420):
            sheet.draw_line((x, 60), (x, 154), width=0.7)
        for x, y, text in (
            (45, 76, "Description"), (205, 76, "Date"), (315, 76, "Amount"),
            (45, 100, "Furniture for the"), (45, 118, "waiting room"), (205, 100, "5/10/2024"), (315, 100, "1500.00"),
            (45, 146, "Lunch"), (205, 146, "5/11/2024"), (315, 146, "100.00"),
        ):  # fmt: skip
            sheet.insert_text((x, y), text, fontsize=11)

    rows = reader.read(drawn(draw)).tables[0].rows

    assert table_row_found(rows, ("Furniture for the waiting room", "5/10/2024", "1500.00"))


def test_a_turned_table_is_still_a_table(reader: TextReader) -> None:
    upright = table_page(ruled=True)
    turned = upright.transpose(1, 0, 2)[::-1]  # a quarter to the left

    assert reader.read(turned).tables[0].rows == ROWS


def test_prose_and_lists_are_no_tables(reader: TextReader) -> None:
    prose = [
        "The old harbour was built long ago in the reign of a",
        "careful queen who feared the winter storms and paid for",
        "every stone of it herself, as the council never tired of",
        "telling anyone who asked about the state of the walls.",
    ]
    menu = ["Overview", "Workloads", "Services", "Storage"]

    assert reader.read(page(stacked(prose, step=18))).tables == ()
    assert reader.read(page([*stacked(menu, x=20, step=22), *stacked(prose, x=120, step=18)])).tables == ()


def test_tables_are_not_looked_for_when_not_wanted(reader: TextReader) -> None:
    assert reader.read(table_page(ruled=True), tables=False).tables == ()
