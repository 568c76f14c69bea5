"""Documents made here with PyMuPDF, and the shared media when INTERNVL_MCP_MEDIA names them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from vision.errors import (
    DamagedMedia,
    InvalidArgument,
    LimitExceeded,
    PasswordRequired,
    SourceNotFound,
    UnsupportedMedia,
    VisionError,
    WrongPassword,
)
from vision.media.document_mupdf import mupdf, mupdf_errors, pymupdf
from vision.media.document_pages import DocumentPage
from vision.media.documents import open_document, page_from_ocr, read_picture
from vision.types import PageText, TextLine

LOREM = (
    "The committee met in the old town hall and spoke at length about the bridge, the harbour and the price of bread. "
)


def _pdf(*, rotate: int = 0, password: str | None = None) -> bytes:
    """One page: a title, a paragraph, a ruled table of three rows, a list."""
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_text((72, 80), "Harbour accounts", fontsize=24)
    page.insert_textbox((72, 110, 520, 200), LOREM * 2, fontsize=11)
    rows = [("Quay", "Ships", "Tons"), ("North", "12", "3,400"), ("South", "7", "1,250")]
    for y in range(4):
        page.draw_line((72, 220 + 24 * y), (372, 220 + 24 * y))
    for x in range(4):
        page.draw_line((72 + 100 * x, 220), (72 + 100 * x, 292))
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            page.insert_text((78 + 100 * x, 236 + 24 * y), cell, fontsize=11)
    page.insert_text((72, 330), "\u2022 Dredge the channel", fontsize=11)
    page.insert_text((72, 346), "\u2022 Paint the crane", fontsize=11)
    page.set_rotation(rotate)
    document.set_metadata({"title": "Accounts"})
    if password is None:
        return document.tobytes()
    return document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw="owner")


def _scan(text: str = "Only a picture") -> bytes:
    """A page that holds a picture of text and nothing else."""
    source = pymupdf.open()
    page = source.new_page(width=300, height=200)
    page.insert_text((30, 60), text, fontsize=20)
    document = pymupdf.open()
    document.new_page(width=300, height=200).insert_image((0, 0, 300, 200), pixmap=page.get_pixmap(dpi=72))
    return document.tobytes()


def test_a_page_becomes_markdown_with_heading_table_and_list() -> None:
    with open_document(_pdf()) as document:
        page = document.read_page(1, format="markdown")
        assert document.page_count == 1
        assert document.info.title == "Accounts"
    assert page.source == "text-layer"
    assert not page.needs_ocr
    assert page.markdown.startswith("# Harbour accounts\n\nThe committee met")
    assert (
        "| Quay | Ships | Tons |\n| --- | --- | --- |\n| North | 12 | 3,400 |\n| South | 7 | 1,250 |" in page.markdown
    )
    assert page.markdown.endswith("- Dredge the channel\n- Paint the crane")
    assert page.markdown.count("3,400") == 1
    assert [table.rows[2] for table in page.text_content.tables] == [("South", "7", "1,250")]
    assert "3,400" in [line.text for line in page.text_content.lines]


def test_text_format_gives_text_and_no_markdown() -> None:
    with open_document(_pdf()) as document:
        page = document.read_page(1, format="text")
    assert page.markdown == ""
    assert page.text.splitlines()[0] == "Harbour accounts"
    assert "North 12 3,400" in page.text


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_turned_page_reads_the_same_and_its_boxes_lie_where_a_viewer_shows_the_words(rotate: int) -> None:
    with open_document(_pdf(rotate=rotate)) as document:
        page = document.read_page(1, format="markdown")
        title = page.text_content.lines[0]
        whole = document.render(1, dpi=72, max_pixels=10**7)
        crop = document.render(1, dpi=72, region=title.box, max_pixels=10**7)
    assert "| North | 12 | 3,400 |" in page.markdown
    assert (page.width, page.height) == ((842, 595) if rotate in {90, 270} else (595, 842))
    assert whole.pixels.shape == (round(page.height), round(page.width), 3)
    assert title.text == "Harbour accounts"
    assert (crop.pixels < 128).sum() > 300
    outside = whole.pixels.copy()
    x1, y1, x2, y2 = (round(value) for value in title.box)
    outside[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2] = 255
    assert (outside < 128).sum() < (whole.pixels < 128).sum() - 300


def test_content_that_lies_sideways_is_read_upright_and_shown_as_before() -> None:
    document = pymupdf.open()
    page = document.new_page(width=842, height=595)
    for at in range(3):
        page.insert_text((100 + 20 * at, 500), f"Sideways line {at}", fontsize=12, rotate=90)
    data = document.tobytes()
    with open_document(data) as opened:
        before = opened.render(1, dpi=72, max_pixels=10**7).pixels
        read = opened.read_page(1, format="markdown")
        again = opened.read_page(1, format="markdown")
        after = opened.render(1, dpi=72, max_pixels=10**7).pixels
    assert [line.text for line in read.text_content.lines] == [f"Sideways line {at}" for at in range(3)]
    assert again == read
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after.astype(int)).mean() < 1
    x1, y1, x2, y2 = read.text_content.lines[0].box
    assert x2 - x1 < y2 - y1


def test_columns_are_read_one_after_the_other_under_a_title_over_both() -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 60), "A title that runs over both of the columns", fontsize=20)
    page.insert_textbox((72, 90, 280, 700), "LEFTSTART " + LOREM * 8 + "LEFTEND", fontsize=11)
    page.insert_textbox((310, 90, 520, 700), "RIGHTSTART " + LOREM * 8 + "RIGHTEND", fontsize=11)
    with open_document(document.tobytes()) as opened:
        text = opened.read_page(1, format="text").text
    places = [text.index(word) for word in ("A title", "LEFTSTART", "LEFTEND", "RIGHTSTART", "RIGHTEND")]
    assert places == sorted(places)


def test_a_table_without_rules_becomes_a_table() -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_textbox((72, 60, 520, 120), LOREM * 2, fontsize=11)
    rows = [("Part", "Count", "Price"), ("Bolt", "40", "1.20"), ("Nut", "", "0.80"), ("Washer", "12", "0.10")]
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            page.insert_text((72 + 120 * x, 160 + 18 * y), cell, fontsize=11)
    with open_document(document.tobytes()) as opened:
        read = opened.read_page(1, format="markdown")
    assert [table.rows for table in read.text_content.tables] == [tuple(rows)]
    assert read.markdown.endswith("| Nut |  | 0.80 |\n| Washer | 12 | 0.10 |")


def _long_table(*, again: bool) -> bytes:
    """A ruled table of three columns over two pages; `again`: its headings stand on the second page too."""
    document = pymupdf.open()
    for number, rows in enumerate((range(26), range(26, 40))):
        page = document.new_page(width=595, height=842)
        headings = [("Quay", "Ships", "Tons")] if again or number == 0 else []
        table = [*headings, *((f"Quay {row}", str(row), f"{row},400") for row in rows)]
        for y in range(len(table) + 1):
            page.draw_line((72, 80 + 25 * y), (372, 80 + 25 * y))
        for x in range(4):
            page.draw_line((72 + 100 * x, 80), (72 + 100 * x, 80 + 25 * len(table)))
        for y, row in enumerate(table):
            for x, cell in enumerate(row):
                page.insert_text((78 + 100 * x, 96 + 25 * y), cell, fontsize=11)
    return document.tobytes()


@pytest.mark.parametrize("again", [False, True])
def test_a_table_that_goes_on_over_the_page_says_so_and_keeps_its_headings(again: bool) -> None:
    with open_document(_long_table(again=again)) as document:
        second = document.read_page(2, format="markdown")
        assert "continued" not in document.read_page(1, format="markdown").markdown
    head = "| Quay | Ships | Tons |\n| --- | --- | --- |\n| Quay 26 | 26 | 26,400 |"
    assert second.markdown.startswith(f"<!-- table continued from page 1 -->\n\n{head}")
    assert len(second.text_content.tables[0].rows) == 14 + again


def test_a_notes_mark_is_no_digit_of_the_number_before_it() -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 100), "The council met in 1843", fontsize=11)
    page.insert_text((72 + pymupdf.get_text_length("The council met in 1843", fontsize=11), 96), "12", fontsize=7)
    with open_document(document.tobytes()) as opened:
        assert opened.read_page(1, format="markdown").markdown == "The council met in 1843¹²"


def test_chinese_text_is_joined_without_spaces() -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 80), "安装程序如何工作以及怎样选择语言", fontname="china-s", fontsize=12)
    page.insert_text((72, 95), "和地区选项", fontname="china-s", fontsize=12)
    with open_document(document.tobytes()) as opened:
        assert "选择语言和地区选项" in opened.read_page(1, format="markdown").markdown


def test_a_scanned_page_needs_ocr_and_takes_what_ocr_read_in_points() -> None:
    with open_document(_scan()) as document:
        page = document.read_page(1, format="markdown")
        picture = document.render(1, dpi=144, max_pixels=10**7)
    assert page.needs_ocr
    assert page.ocr_reason == "the page has no text layer"
    assert picture.pixels.shape == (400, 600, 3)
    assert picture.scale == pytest.approx(2)
    read = PageText(lines=(TextLine(text="Only a picture", box=(60, 90, 300, 130), confidence=0.9),))
    composed = page_from_ocr(page, read, picture.scale)
    assert composed.source == "ocr"
    assert not composed.needs_ocr
    assert composed.markdown == "Only a picture"
    assert composed.text_content.lines[0].box == (30, 45, 150, 65)


def test_a_text_layer_of_unknown_characters_needs_ocr() -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_textbox((72, 72, 500, 300), "\u0001\u0002\u0003\u0004 " * 60, fontsize=11)
    page.insert_text((72, 400), "Page 1", fontsize=11)
    lines = open_document(document.tobytes()).read_page(1, format="text")
    assert lines.needs_ocr
    assert lines.ocr_reason is not None


def _layered(text: str) -> bytes:
    """A scan with an invisible text layer."""
    document = pymupdf.open(stream=_scan(), filetype="pdf")
    document[0].insert_textbox((5, 5, 295, 195), text, fontsize=9, render_mode=3)
    return document.tobytes()


def test_a_picture_over_the_page_with_a_stamp_is_read_by_ocr_alone() -> None:
    with open_document(_layered("Page 3")) as document:
        page = document.read_page(1, format="text")
    assert (page.needs_ocr, page.text) == (True, "")


def test_an_earlier_ocr_layer_is_used_where_a_strip_of_the_page_says_the_same() -> None:
    with open_document(_layered(LOREM)) as document:
        page = document.read_page(1, format="text")
        picture = document.render(1, dpi=72)
    assert page.ocr_reason == "the text layer lies unseen under a picture"
    asked: list[tuple[int, ...]] = []

    def reading(text: str) -> DocumentPage:
        def read(pixels: np.ndarray) -> PageText:
            asked.append(pixels.shape)
            return PageText(lines=(TextLine(text=text, box=(5, 5, 290, 15), confidence=0.95),))

        return read_picture(page, picture, read)

    kept = reading("The committee met in the old town hall and spoke at length")
    assert (kept.source, kept.ocr_reason) == ("text-layer", None)
    assert kept.text.startswith("The committee met")
    assert [shape[0] < 60 for shape in asked] == [True]
    replaced = reading("What this page really shows is something else altogether")
    assert replaced.source == "ocr"
    assert replaced.ocr_reason == "the text layer lies unseen under a picture and says something else"
    assert replaced.text == "What this page really shows is something else altogether"
    assert asked[-1] == (200, 300, 3)


def test_a_text_layer_with_letters_exchanged_is_doubted() -> None:
    document = pymupdf.open()
    moved = LOREM.translate(str.maketrans("aeiou", "qwxzk"))
    document.new_page().insert_textbox((72, 72, 500, 400), moved * 3, fontsize=11)
    with open_document(document.tobytes()) as opened:
        page = opened.read_page(1, format="markdown")
    assert page.ocr_reason == "the letters of the text layer are not those of a language"


def _with_screenshot() -> bytes:
    shot = pymupdf.open()
    screen = shot.new_page(width=400, height=100)
    screen.insert_text((20, 50), "Save changes?", fontsize=20)
    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_text((72, 80), "Above the screenshot", fontsize=11)
    page.insert_image((72, 100, 472, 200), pixmap=screen.get_pixmap(dpi=150))
    page.insert_text((72, 230), "Below the screenshot", fontsize=11)
    return document.tobytes()


@pytest.mark.parametrize("format", ["markdown", "text"])
def test_words_in_a_picture_stand_between_the_lines_around_it(format: Literal["markdown", "text"]) -> None:
    with open_document(_with_screenshot()) as document:
        page = document.read_page(1, format=format)
        picture = document.render(1, dpi=72)
    assert page.needs_ocr

    def read(pixels: np.ndarray) -> PageText:
        assert 90 < pixels.shape[0] < 115
        assert 390 < pixels.shape[1] < 415
        inside = TextLine(text="Save changes?", box=(22, 35, 160, 58), confidence=0.95)
        beside = TextLine(text="not in the picture", box=(460, 35, 540, 58), confidence=0.95)
        return PageText(lines=(inside, beside))

    composed = read_picture(page, picture, read)
    assert composed.ocr_reason == "the words in 1 picture were read by OCR"
    assert [line.text for line in composed.text_content.lines] == [
        "Above the screenshot",
        "Save changes?",
        "Below the screenshot",
    ]
    assert 100 < composed.text_content.lines[1].box[1] < 200
    between = "\n\n" if format == "markdown" else "\n"
    text = composed.markdown if format == "markdown" else composed.text
    assert text == between.join(("Above the screenshot", "Save changes?", "Below the screenshot"))


def test_a_picture_without_words_leaves_nothing_behind() -> None:
    with open_document(_with_screenshot()) as document:
        page = document.read_page(1, format="markdown")
        composed = read_picture(page, document.render(1, dpi=72), lambda pixels: PageText())
    assert composed.markdown == "Above the screenshot\n\nBelow the screenshot"
    assert composed.ocr_reason is None


def test_an_empty_page_needs_no_ocr() -> None:
    document = pymupdf.open()
    document.new_page()
    with open_document(document.tobytes()) as opened:
        assert not opened.read_page(1, format="markdown").needs_ocr


def test_the_password_opens_and_its_absence_or_error_is_told() -> None:
    data = _pdf(password="tide")
    with open_document(data, password="tide") as document:
        assert "Harbour" in document.read_page(1, format="text").text
    with pytest.raises(PasswordRequired, match="protected") as missing:
        open_document(data)
    assert "password" in missing.value.hint
    with pytest.raises(WrongPassword):
        open_document(data, password="ebb")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DamagedMedia),
        (b"not a document at all", DamagedMedia),
        (b"<html><body>Hello</body></html>", DamagedMedia),
        (b"%PDF-1.7\nnothing follows", DamagedMedia),
        (b"PK\x03\x04" + b"\0" * 100, UnsupportedMedia),
    ],
)
def test_what_is_no_document_is_one_clear_error(data: bytes, error: type[VisionError]) -> None:
    with pytest.raises(error) as raised:
        open_document(data)
    assert raised.value.hint


def test_a_document_cut_off_in_the_middle_is_repaired_or_refused() -> None:
    data = _pdf()
    with open_document(data[: int(len(data) * 0.9)]) as document:
        assert "Harbour" in document.read_page(1, format="text").text


def test_an_epub_is_read_page_by_page() -> None:
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="2.0"><metadata/><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    chapter = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Chapter One</h1><p>Hello from a book.</p></body></html>'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr("META-INF/container.xml", container)
        book.writestr("c.opf", package)
        book.writestr("a.xhtml", chapter)
    with open_document(buffer.getvalue()) as document:
        assert document.info.format == "EPUB"
        assert document.read_page(1, format="markdown").markdown == "# Chapter One\n\nHello from a book."


def test_limits_and_missing_pages_are_told() -> None:
    document = pymupdf.open()
    for _ in range(3):
        document.new_page()
    data = document.tobytes()
    with pytest.raises(LimitExceeded, match="3 pages"):
        open_document(data, max_pages=2)
    with open_document(data) as opened:
        with pytest.raises(SourceNotFound) as missing:
            opened.read_page(4, format="text")
        assert "1 to 3" in missing.value.hint
        with pytest.raises(InvalidArgument):
            opened.render(1, dpi=72, region=(5000, 5000, 6000, 6000), max_pixels=10**6)
        with pytest.raises(InvalidArgument):
            opened.render(1, dpi=0, max_pixels=10**6)


def test_a_huge_page_is_rendered_at_the_resolution_that_fits() -> None:
    document = pymupdf.open()
    document.new_page(width=8400, height=8400)
    with open_document(document.tobytes()) as opened:
        picture = opened.render(1, dpi=200, max_pixels=1_000_000)
    height, width, _ = picture.pixels.shape
    assert 900_000 < height * width <= 1_000_000
    assert picture.scale == pytest.approx(picture.dpi / 72)
    assert picture.dpi < 10


def test_annotations_are_drawn() -> None:
    document = pymupdf.open()
    page = document.new_page(width=200, height=200)
    box = page.add_rect_annot((50, 50, 150, 150))
    box.set_colors(stroke=(1, 0, 0), fill=(1, 0, 0))
    box.update()
    with open_document(document.tobytes()) as opened:
        pixels = opened.render(1, dpi=72, max_pixels=10**6).pixels
    assert tuple(pixels[100, 100]) == (255, 0, 0)


def test_another_file_that_a_document_names_is_never_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"BT /F1 24 Tf 20 100 Td (SECRETWORD) Tj ET")
    name = str(secret).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length 0 /F (" + name + b") >>\nstream\n\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (at, each) for at, each in enumerate(objects, 1))
    data = b"%PDF-1.7\n" + body + b"trailer << /Root 1 0 R /Size 6 >>\n%%EOF"
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    with open_document(data) as document:
        page = document.read_page(1, format="markdown")
        pixels = document.render(1, dpi=72, max_pixels=10**6).pixels
    watching = False
    assert "SECRET" not in page.text + page.markdown
    assert (pixels == 255).all()
    assert not [path for path in opened if path == str(secret)]


def test_every_mupdf_exception_is_mapped() -> None:
    classes = [
        value
        for value in vars(mupdf).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__name__.startswith("FzError")
    ]
    assert len(classes) > 5
    assert all(issubclass(value, mupdf.FzErrorBase) for value in classes)
    for error in (pymupdf.FileDataError("x"), RuntimeError("x"), KeyError("x")):
        with pytest.raises(DamagedMedia), mupdf_errors("Testing"):
            raise error
    with pytest.raises(LimitExceeded), mupdf_errors("Testing"):
        raise MemoryError


def test_stdout_stays_clean_and_the_layout_models_stay_unloaded(tmp_path: Path) -> None:
    (tmp_path / "page.pdf").write_bytes(_pdf())
    (tmp_path / "broken.pdf").write_bytes(_pdf()[:-300].replace(b"endobj", b"endbj", 3))
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        import vision.media.documents as documents
        assert "pymupdf" not in sys.modules
        for name in ("page.pdf", "broken.pdf"):
            with documents.open_document(Path(name).read_bytes()) as document:
                document.read_page(1, format="markdown")
                document.render(1, dpi=72, max_pixels=10**6)
        assert "onnxruntime" not in sys.modules
        assert sys.modules.get("pymupdf.layout", "absent") == "absent"
        from vision.media.document_mupdf import pymupdf
        pymupdf.message("a message of MuPDF's")
    """)
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b""


def _media(kind: str) -> Path:
    root = os.environ.get("INTERNVL_MCP_MEDIA")
    if not root:
        pytest.skip("INTERNVL_MCP_MEDIA is not set: the shared media were not tested")
    return Path(root) / kind


def test_every_hostile_document_gives_a_result_or_one_error() -> None:
    files = sorted(_media("hostile").glob("*.pdf"))
    assert files
    for path in files:
        try:
            with open_document(path.read_bytes()) as document:
                page = document.read_page(1, format="markdown")
                picture = document.render(1, dpi=150, max_pixels=1_000_000)
                assert page.width > 0
                assert picture.pixels.shape[0] * picture.pixels.shape[1] <= 1_000_000, path.name
        except VisionError as error:
            assert error.message, path.name
            assert error.hint, path.name


def test_the_table_that_rotate_shows_sideways_keeps_every_row() -> None:
    folder = _media("documents")
    truth = {row["file"]: row["truth"] for row in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())}
    for name in ("nics_table.pdf", "nics_table_rotated.pdf"):
        with open_document((folder / name).read_bytes()) as document:
            tables = document.read_page(1, format="markdown").text_content.tables
        rows = [set(row) for table in tables for row in table.rows]
        for expected in truth[name]["table_sample"][1:]:
            assert any(set(expected) <= row for row in rows), (name, expected)


def test_three_columns_are_read_in_order() -> None:
    with open_document((_media("documents") / "federal_register_3col.pdf").read_bytes()) as document:
        text = document.read_page(1, format="text").text
    words = ["SUMMARY:", "ADDRESSES:", "eRulemaking Portal", "Examining the AD Docket", "Confidential Business"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)
