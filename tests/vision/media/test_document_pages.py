from __future__ import annotations

import pytest

from vision.errors import InvalidArgument
from vision.media.document_pages import DocumentPage, page_from_ocr, parse_pages
from vision.types import PageText, TextLine, TextTable


@pytest.mark.parametrize(
    ("spec", "pages"),
    [
        ("", (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        (" All ", (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        ("3", (3,)),
        ("1-3,9", (1, 2, 3, 9)),
        ("9, 1 - 2", (9, 1, 2)),
        ("2,1-3,2", (2, 1, 3)),
        ("7-", (7, 8, 9)),
        ("-3", (1, 2, 3)),
    ],
)
def test_pages_are_named_in_the_order_given(spec: str, pages: tuple[int, ...]) -> None:
    assert parse_pages(spec, 9) == pages


@pytest.mark.parametrize("spec", ["x", "1,,2", "-", "0", "10", "12-", "5-3", "1-10", "1.5", "--2", "9" * 5000, "1;2"])
def test_what_names_no_pages_is_an_error_that_tells_the_form_and_the_page_count(spec: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_pages(spec, 9)
    assert "1-5,9" in raised.value.hint
    assert "9 pages" in raised.value.hint
    assert len(raised.value.message) < 200


def _line(text: str, x1: float, y1: float, x2: float, y2: float) -> TextLine:
    return TextLine(text=text, box=(x1, y1, x2, y2), confidence=0.97)


def test_ocr_lines_become_headings_paragraphs_and_tables_without_doubling_the_tables_lines() -> None:
    read = PageText(
        lines=(
            _line("Harbour accounts", 100, 100, 700, 160),
            _line("The committee met in the old town hall and spoke at length", 100, 220, 1100, 250),
            _line("about the bridge.", 100, 262, 400, 292),
            _line("Quay", 100, 350, 180, 380),
            _line("Ships", 400, 350, 480, 380),
            _line("North", 100, 400, 180, 430),
            _line("12", 400, 400, 440, 430),
            _line("- Paint the crane", 100, 500, 420, 530),
        ),
        tables=(TextTable(box=(90, 340, 500, 440), rows=(("Quay", "Ships"), ("North", "12"))),),
    )
    page = page_from_ocr(DocumentPage(number=4, width=595, height=842, needs_ocr=True), read, 2.0)
    assert page.markdown == (
        "# Harbour accounts\n\n"
        "The committee met in the old town hall and spoke at length about the bridge.\n\n"
        "| Quay | Ships |\n| --- | --- |\n| North | 12 |\n\n"
        "- Paint the crane"
    )
    assert (page.source, page.needs_ocr, page.number) == ("ocr", False, 4)
    assert page.text_content.tables[0].box == (45, 170, 250, 220)
    assert {line.page for line in page.text_content.lines} == {4}
    assert page.text_content.lines[0].box == (50, 50, 350, 80)
    assert page.text_content.lines[0].confidence == 0.97
    assert "North\t12" in page.text


def test_a_page_on_which_ocr_read_nothing_is_empty() -> None:
    page = page_from_ocr(DocumentPage(number=1, width=10, height=10, needs_ocr=True), PageText(), 1.0)
    assert (page.markdown, page.text, page.text_content) == ("", "", PageText())
