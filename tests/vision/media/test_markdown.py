from __future__ import annotations

from typing import Literal

import pytest

from vision.media.markdown import (
    Flow,
    StyledLine,
    body_size,
    lines_from_page_text,
    plain_text,
    table_markdown,
    to_markdown,
)
from vision.types import Box, PageText, TextLine, TextTable


def _lines(*texts: str, size: float = 10, width: float = 300, **style: bool) -> Flow:
    return [
        StyledLine(text, (50, 100 + 13 * at, 50 + width, 110 + 13 * at), size, **style) for at, text in enumerate(texts)
    ]


def test_a_tables_cells_cannot_break_out_of_it() -> None:
    rows = (("a|b", "c\nd"), ("only one",))
    assert table_markdown(rows) == "| a\\|b | c d |\n| --- | --- |\n| only one |  |"
    assert table_markdown(()) == ""


def test_lines_of_a_paragraph_are_joined_and_hyphens_at_line_ends_dropped() -> None:
    assert to_markdown(_lines("The commit-", "tee met in", "2019-", "2020")) == "The committee met in 2019- 2020"


def test_a_line_broken_before_it_was_full_stays_a_line() -> None:
    flow: Flow = [
        StyledLine("Date: 1 May", (50, 100, 110, 110), 10),
        StyledLine("Place: town hall", (50, 113, 130, 123), 10),
        StyledLine("A long line that shows how far to the right the text goes", (50, 126, 350, 136), 10),
    ]
    assert to_markdown(flow).splitlines() == [
        "Date: 1 May",
        "Place: town hall",
        "A long line that shows how far to the right the text goes",
    ]


def test_headings_are_ranked_by_their_size_against_the_body() -> None:
    flow: Flow = [
        StyledLine("Title", (50, 20, 200, 45), 20),
        StyledLine("Part", (50, 50, 200, 68), 14),
        StyledLine("Section", (50, 75, 200, 90), 12),
        *_lines("a body of text that is long enough to outweigh the three headings above it", "and goes on"),
    ]
    blocks = to_markdown(flow).split("\n\n")
    assert blocks[:3] == ["# Title", "## Part", "### Section"]
    assert not blocks[3].startswith("#")
    assert body_size([item for item in flow if isinstance(item, StyledLine)]) == 10


def test_code_keeps_its_lines_and_indentation() -> None:
    flow: Flow = [
        StyledLine("SELECT *", (50, 100, 98, 110), 10, mono=True),
        StyledLine("FROM t;", (62, 113, 104, 123), 10, mono=True),
    ]
    assert to_markdown(flow) == "```\nSELECT *\n  FROM t;\n```"


def test_pieces_of_one_row_are_one_line_and_tables_are_tabbed_in_plain_text() -> None:
    flow: Flow = [
        StyledLine("•", (50, 100, 54, 110), 10),
        StyledLine("first item", (60, 100, 120, 110), 10),
        TextTable(box=(50, 120, 200, 160), rows=(("a", "b"), ("c", "d"))),
    ]
    assert to_markdown(flow).startswith("- first item\n\n| a | b |")
    assert plain_text(flow) == "• first item\na\tb\nc\td"


def test_text_that_looks_like_a_heading_mark_is_escaped() -> None:
    assert to_markdown(_lines("# not a heading of ours but a comment, which goes on and on.")).startswith("\\# not")


@pytest.mark.parametrize(
    ("rotation", "boxes"),
    [
        (0, [(10, 100, 400, 112), (10, 115, 300, 127), (10, 160, 390, 172)]),
        (90, [(100, 10, 112, 400), (115, 110, 127, 400), (160, 20, 172, 400)]),
        (180, [(10, 200, 400, 212), (110, 185, 400, 197), (20, 140, 400, 152)]),
        (270, [(100, 10, 112, 400), (85, 10, 97, 300), (40, 10, 52, 390)]),
    ],
)
def test_paragraphs_of_a_turned_picture_are_those_of_the_upright_one(
    rotation: Literal[0, 90, 180, 270], boxes: list[Box]
) -> None:
    texts = ("a long line of text that", "goes on below", "and a paragraph of its own")
    lines = tuple(TextLine(text=text, box=box, confidence=1) for text, box in zip(texts, boxes, strict=True))
    read = PageText(lines=lines, rotation=rotation)
    markdown = to_markdown(lines_from_page_text(read), heading_ratio=1.4)
    assert markdown == "a long line of text that goes on below\n\nand a paragraph of its own"


def test_an_ocr_heading_without_descenders_is_a_heading_still() -> None:
    lines = (
        TextLine(text="Outlook for 2026", box=(60, 80, 219, 99), confidence=1),
        *(
            TextLine(text="The board expects more passengers next year", box=(60, y, 285, y + 15), confidence=1)
            for y in (120, 140, 160)
        ),
    )
    markdown = to_markdown(lines_from_page_text(PageText(lines=lines)), heading_ratio=1.4)
    assert markdown.splitlines()[0].lstrip("#") == " Outlook for 2026"
