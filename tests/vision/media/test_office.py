from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

pytest.importorskip("docx", reason="the extra [office] is not installed")
import docx
import pptx
import xlsxwriter
from docx.enum.text import WD_BREAK
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from vision.errors import DamagedMedia, EngineUnavailable, InvalidArgument, LimitExceeded, SourceNotFound
from vision.media.office import OfficeDocument, open_office
from vision.media.office_xlsx import ROWS_A_PAGE
from vision.media.sniff import sniff_file


def opened(data: bytes, format: str, **limits: int) -> OfficeDocument:
    return open_office(io.BytesIO(data), format, **{"max_pages": 1000, **limits})


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def letter() -> bytes:
    document = docx.Document()
    document.core_properties.title, document.core_properties.author = "Harbour report", "A. Writer"
    document.add_heading("Traffic", 1)
    document.add_paragraph("Ships came in great numbers.")
    document.add_paragraph("Ferries", style="List Bullet")
    document.add_paragraph("By night", style="List Bullet 2")
    document.add_paragraph("Sign", style="List Number")
    table = document.add_table(rows=2, cols=3)
    for row in range(2):
        for column in range(3):
            table.cell(row, column).text = f"r{row}c{column}"
    table.cell(0, 0).merge(table.cell(0, 1)).text = "merged"
    last = document.add_paragraph("The page ends")
    last.add_run().add_break(WD_BREAK.PAGE)
    document.add_heading("Costs", 2)
    document.add_paragraph("The pilot costs 1,548 EUR.")
    document.add_comment(document.paragraphs[1].runs, text="How many?", author="Bo")
    return saved(document.save)


@pytest.fixture(scope="module")
def slides() -> bytes:
    presentation = pptx.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Plan"
    first.placeholders[1].text = "Alpha\nBeta"
    first.notes_slide.notes_text_frame.text = "say hello"
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    table.cell(0, 0).text, table.cell(1, 1).text = "a", "42"
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("Sales", (1.5, 2.25))
    size = Inches(1), Inches(4), Inches(4), Inches(2)
    second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *size, data)
    return saved(presentation.save)


@pytest.fixture(scope="module")
def workbook() -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        costs = book.add_worksheet("Costs")
        costs.write_row(2, 1, ["Item", "Price", "Paid"])
        costs.write_row(3, 1, ["Pilot", 1548.5, True])
        long = book.add_worksheet("Long")
        long.write_row(0, 0, ["name", "value"])
        for row in range(1, ROWS_A_PAGE + 20):
            long.write_row(row, 0, [f"name{row}", row])
        book.add_worksheet("Nothing").hide()
        book.set_properties({"title": "Ledger"})
    return file.getvalue()


def test_a_letter_keeps_headings_lists_tables_and_its_pages(letter: bytes) -> None:
    document = opened(letter, "docx")
    assert document.page_count == 2 and document.info.title == "Harbour report"
    first, second = (document.read_page(number, format="markdown") for number in (1, 2))
    assert first.markdown.split("\n\n")[:3] == [
        "# Traffic",
        "Ships came in great numbers.",
        "- Ferries\n   - By night\n1. Sign",
    ]
    assert first.text_content.tables[0].rows == (("merged", "", "r0c2"), ("r1c0", "r1c1", "r1c2"))
    assert first.markdown.endswith("The page ends")
    assert second.markdown == "## Costs\n\nThe pilot costs 1,548 EUR."


def test_a_letter_s_outline_comments_and_author_are_data(letter: bytes) -> None:
    facts = opened(letter, "docx").facts()
    assert [(entry.level, entry.title, entry.page) for entry in facts.outline] == [(1, "Traffic", 1), (2, "Costs", 2)]
    assert [(note.text, note.author) for note in facts.annotations] == [("How many?", "Bo")]
    assert facts.metadata.author == "A. Writer"


def test_slides_have_bullets_tables_charts_as_numbers_and_notes(slides: bytes) -> None:
    document = opened(slides, "pptx")
    first, second = (document.read_page(number, format="markdown") for number in (1, 2))
    assert first.markdown == "# Plan\n\n- Alpha\n- Beta\n\n## Notes\n\nsay hello"
    assert second.text_content.tables[0].rows == (("a", ""), ("", "42"))
    assert second.text_content.tables[1].rows == (("", "Sales"), ("Q1", "1.5"), ("Q2", "2.25"))
    assert second.text_content.tables[0].box[:2] == (72.0, 144.0)
    assert [entry.title for entry in document.facts().outline] == ["Plan", "Numbers"]


def test_a_sheet_tells_where_its_cells_are_and_a_long_one_has_several_pages(workbook: bytes) -> None:
    document = opened(workbook, "xlsx")
    assert [(entry.title, entry.page) for entry in document.facts().outline] == [
        ("Costs", 1),
        ("Long", 2),
        ("Nothing", 4),
    ]
    assert document.facts().metadata.title == "Ledger"
    costs, last, nothing = (document.read_page(number, format="markdown") for number in (1, 3, 4))
    assert "Cells B3:D4." in costs.markdown
    assert costs.text_content.tables[0].rows == (("Item", "Price", "Paid"), ("Pilot", "1548.5", "TRUE"))
    assert last.text_content.tables[0].rows[:2] == (("name", "value"), (f"name{ROWS_A_PAGE}", str(ROWS_A_PAGE)))
    assert len(last.text_content.tables[0].rows) == 21
    assert "hidden" in nothing.markdown


@pytest.mark.parametrize("kind", ["letter", "slides", "workbook"])
def test_each_kind_is_told_by_its_content(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    wanted = {"letter": "docx", "slides": "pptx", "workbook": "xlsx"}[kind]
    assert sniff_file(io.BytesIO(data)).format == wanted


def test_pages_that_are_not_there_and_pictures_of_pages_are_refused(letter: bytes) -> None:
    document = opened(letter, "docx")
    with pytest.raises(SourceNotFound):
        document.read_page(3, format="text")
    with pytest.raises(InvalidArgument):
        document.render(1, dpi=72, max_pixels=1000)
    with pytest.raises(LimitExceeded):
        opened(letter, "docx", max_pages=1)


def test_a_bomb_is_refused_before_a_library_gets_it(letter: bytes) -> None:
    file = io.BytesIO(letter)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("word/bomb.xml", "w") as part:
        for _ in range(40):
            part.write(bytes(1 << 20))
    with pytest.raises(LimitExceeded, match="unpacks"):
        opened(file.getvalue(), "docx")


@pytest.mark.parametrize("kind", ["letter", "slides", "workbook"])
def test_damage_anywhere_is_one_clear_error_or_none(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    format = {"letter": "docx", "slides": "pptx", "workbook": "xlsx"}[kind]
    for cut in range(1, 12):
        damaged = bytearray(data)
        at = len(data) * cut // 12
        damaged[at : at + 40] = bytes(40)
        for broken in (bytes(damaged), data[:at]):
            try:
                document = opened(broken, format)
                document.read_page(1, format="markdown")
                document.facts()
            except (DamagedMedia, LimitExceeded) as error:
                assert error.hint


@pytest.mark.parametrize("part", ["word/document.xml", "[Content_Types].xml", "word/styles.xml"])
def test_a_part_of_nonsense_is_one_clear_error_or_none(letter: bytes, part: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(letter)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"<a><b/></a>" if name == part else old.read(name))
    try:
        opened(file.getvalue(), "docx").read_page(1, format="markdown")
    except DamagedMedia as error:
        assert error.hint


def test_without_the_extra_the_error_names_it(letter: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "docx", None)
    monkeypatch.delitem(sys.modules, "vision.media.office_docx", raising=False)
    with pytest.raises(EngineUnavailable) as caught:
        opened(letter, "docx")
    assert "[office]" in caught.value.hint
