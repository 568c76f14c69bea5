from __future__ import annotations

import base64
from typing import Any

import pymupdf
import pytest

from tools.cursor import Cursors
from tools.read_document import ReadDocumentParameters
from vision.errors import InvalidArgument, LimitExceeded, UnsupportedMedia
from vision.service import VisionService

pytestmark = pytest.mark.anyio


def table_rows(markdown: str) -> list[tuple[str, ...]]:
    lines = [line.strip("| ") for line in markdown.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.split("|")) for line in lines if not set(line) <= {"|", "-", " "}]


@pytest.mark.parametrize("source", ["report.pdf", "report-scan.pdf"])
async def test_headings_text_and_tables_come_as_markdown(ask: Any, sample_maker: Any, source: str) -> None:
    result = await ask("read_document", source=source)
    assert [page.source for page in result.pages] == ["text-layer" if source == "report.pdf" else "ocr"] * 3
    for number, page in enumerate(sample_maker.REPORT.pages, 1):
        assert f"<!-- page {number} -->" in result.markdown
        assert any(line.lstrip("# ") == page.heading for line in result.markdown.splitlines() if line.startswith("#"))
        for line in page.lines:
            assert line in result.markdown.replace("\n", " ")
        for row in page.table:
            assert row in table_rows(result.markdown)


@pytest.mark.parametrize("tokens", [500, 1100, 2000])
async def test_a_long_document_comes_in_parts_that_make_the_whole(ask: Any, tokens: int) -> None:
    """Text and tables, each once, although only the first call names the pages and the format."""
    whole = await ask("read_document", source="report.pdf", pages="3,2", format="json")
    parts: dict[int, str] = {}
    rows: dict[int, list[tuple[str, ...]]] = {}
    arguments: dict[str, Any] = {"pages": "3,2", "format": "json"}
    for _ in range(60):
        part = await ask("read_document", tokens=tokens, source="report.pdf", **arguments)
        for page in part.pages:
            parts[page.number] = parts.get(page.number, "") + page.markdown
            rows.setdefault(page.number, []).extend(row for table in page.tables for row in table.rows)
        assert part.truncated == (part.next_cursor is not None)
        if part.next_cursor is None:
            break
        assert part.next_cursor != arguments.get("cursor")
        arguments = {"cursor": part.next_cursor}
    else:
        pytest.fail("it does not end")
    assert list(parts) == [3, 2]
    assert parts == {page.number: page.markdown for page in whole.pages}
    assert rows == {page.number: [row for table in page.tables for row in table.rows] for page in whole.pages}
    assert any(rows.values())


async def test_a_cursor_past_the_end_is_refused(ask: Any) -> None:
    result = await ask("read_document", source="report.pdf", pages="1", format="json")
    parameters = ReadDocumentParameters(source="report.pdf", pages="1", format="json")
    cursors = Cursors("read_document", 4, ("pages", "format"))
    for place in ((1, 0, 0, 0), (0, 9, 0, 0), (0, 0, 0, 90_000), (0, 0, 3, 0)):
        cursor = cursors.make(result.sources[0].sha256, parameters, *place)
        with pytest.raises(InvalidArgument, match="past the end"):
            await ask("read_document", source="report.pdf", cursor=cursor)


async def test_json_gives_each_page_with_its_tables(ask: Any, sample_maker: Any) -> None:
    result = await ask("read_document", source="report.pdf", pages="2", format="json")
    (page,) = result.pages
    assert page.tables[0].rows == sample_maker.REPORT.pages[1].table
    assert result.markdown == ""


async def test_pages_are_given_in_the_order_asked_for(ask: Any) -> None:
    result = await ask("read_document", source="report.pdf", pages="3,1", format="text")
    assert [page.number for page in result.pages] == [3, 1]
    assert result.used.pages == (3, 1)
    assert result.page_count == 3


async def test_a_picture_is_a_document_of_one_page(ask: Any) -> None:
    result = await ask("read_document", source="screenshot-en.png")
    assert result.page_count == 1
    assert "Amount due: 1,548.00 EUR" in result.markdown


async def test_a_question_is_not_answered_without_a_model(ask: Any) -> None:
    result = await ask("read_document", source="report.pdf", question="How many passengers?", pages="1")
    assert result.answer is None
    assert any("does not understand" in notice for notice in result.notices)


async def test_a_password_opens_an_encrypted_pdf(ask: Any, shared_service: Any, tmp_path: Any) -> None:
    import pymupdf

    folder = shared_service._cwd
    with pymupdf.open(folder / "report.pdf") as report:
        report.save(folder / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="open sesame")
    result = await ask("read_document", source="locked.pdf", password="open sesame", pages="1")
    assert "Harbour Lights" in result.markdown
    for password, code in ((None, "password_required"), ("wrong", "wrong_password")):
        with pytest.raises(Exception) as caught:
            await ask("read_document", source="locked.pdf", password=password)
        assert caught.value.code == code  # type: ignore[attr-defined]
        assert "open sesame" not in str(caught.value)


async def test_video_and_bad_pages_are_refused(ask: Any) -> None:
    with pytest.raises(UnsupportedMedia, match="video"):
        await ask("read_document", source="video.mp4")
    with pytest.raises(InvalidArgument, match="backwards"):
        await ask("read_document", source="report.pdf", pages="4-2")


def _in_uri(document: pymupdf.Document) -> str:
    return "data:application/pdf;base64," + base64.b64encode(document.tobytes()).decode()


async def test_a_picture_that_cannot_be_read_costs_none_of_the_page_s_own_text(
    ask: Any, shared_service: VisionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = pymupdf.open().new_page(width=400, height=100)
    screen.insert_text((20, 50), "Save changes?", fontsize=20)
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 80), "Above the screenshot", fontsize=11)
    page.insert_image((72, 100, 472, 200), pixmap=screen.get_pixmap(dpi=150))

    async def fail(*_: Any) -> None:
        raise LimitExceeded("The recogniser was ended after 30 s", "Name fewer pages.")

    monkeypatch.setattr(shared_service, "read_page_raster", fail)
    result = await ask("read_document", source=_in_uri(document))
    assert "Above the screenshot" in result.markdown
    (shown,) = result.pages
    assert (shown.source, shown.reason) == (
        "text-layer",
        "1 picture on it could not be read: The recogniser was ended after 30 s",
    )


async def test_running_heads_are_told_beside_the_markdown_that_leaves_them_out(ask: Any) -> None:
    document = pymupdf.open()
    for number in range(1, 5):
        page = document.new_page()
        page.insert_text((72, 40), "Harbour authority, annual report", fontsize=9)
        page.insert_textbox((72, 90, 500, 500), f"Part {number} of what was found in the harbour. " * 20, fontsize=11)
        page.insert_text((290, 815), str(number), fontsize=9)
    source = _in_uri(document)
    whole = await ask("read_document", source=source)
    assert "annual report" not in whole.markdown
    assert [page.furniture for page in whole.pages] == [
        ("Harbour authority, annual report", str(n)) for n in range(1, 5)
    ]
    plain = await ask("read_document", source=source, format="text")
    assert plain.markdown.count("annual report") == 4
    assert not any(page.furniture for page in plain.pages)
