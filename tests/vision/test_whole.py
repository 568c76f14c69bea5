from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image, ImageDraw, ImageFont

from vision.call import Call
from vision.config import Settings
from vision.errors import DamagedMedia, PasswordRequired, WorkerFailed
from vision.reading import ReadPage
from vision.service import VisionService
from vision.whole import Whole, spec, unreadable
from vision.workers import jobs

pytestmark = pytest.mark.anyio
PAGES = 12


def scanned(text: str) -> bytes:
    """A picture of a line of print."""
    picture = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(picture).text((30, 70), text, "black", font=ImageFont.load_default(48))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whole")
    with pymupdf.open() as book:
        for number in range(1, PAGES + 1):
            page = book.new_page(width=300, height=400)
            if number == 5:
                page.insert_image((0, 0, 300, 70), stream=scanned("The pilot costs 1548 EUR"))
            else:
                page.insert_text((30, 60), f"Chapter {number}", fontsize=20)
                page.insert_text((30, 90), f"Here the lighthouse keeper writes entry {number * 111}.")
                page.insert_text((30, 150), "The lamp was trimmed at dusk, as on every other day of the year.")
        book[2].insert_text((30, 120), "A whale passed the harbour at noon.")
        book.set_toc([[1, "Log", 1], [2, "Whales", 3]])
        book.set_metadata({"title": "The log", "author": "A. Keeper", "creationDate": "D:20240305120000+01'00'"})
        book[0].insert_link(
            {"kind": pymupdf.LINK_URI, "from": pymupdf.Rect(30, 40, 90, 60), "uri": "https://a.example/"}
        )
        book[0].insert_link({"kind": pymupdf.LINK_GOTO, "from": pymupdf.Rect(30, 70, 90, 80), "page": 2})
        marked = book[1]
        note = marked.add_highlight_annot(pymupdf.Rect(30, 45, 140, 65))
        note.set_info(content="look here", title="Bo")
        note.update()
        form = book[3]
        for kind, name, value in (
            (pymupdf.PDF_WIDGET_TYPE_TEXT, "keeper", "Ada"),
            (pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "lit", True),
        ):
            widget = pymupdf.Widget()
            widget.field_type, widget.field_name, widget.field_value = kind, name, value
            top = 200 if name == "keeper" else 240
            widget.rect = pymupdf.Rect(30, top, 130, top + 20)
            form.add_widget(widget)
        book.save(made / "log.pdf")
        book.save(made / "locked.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="open sesame")
    with pymupdf.open() as book:
        page = book.new_page(width=300, height=400)
        page.insert_text((30, 60), "Here is what the harbour master wrote in his book of the year.")
        page.insert_image((0, 100, 300, 170), stream=scanned("The pilot costs 1548 EUR"))
        book.save(made / "figure.pdf")
    with pymupdf.open() as book:
        for number in range(1, PAGES + 1):
            book.new_page(width=300, height=400).insert_text((30, 60), f"Chapter {number} of the lighthouse")
        # An entry in the tree of pages that is no page.
        book.update_object(book.page_xref(6), "42")
        book.save(made / "damaged.pdf")
    return made


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[VisionService]:
    with VisionService(Settings(engine="ocr"), folder) as made:
        yield made


async def within(service: VisionService, source: str, password: str | None = None, **asked: Any) -> Any:
    """The facts, or what a search or pages give, of one call."""
    call = Call(within_s=120.0)
    with await service.open(source, call) as media:
        whole = Whole(service, media, call, password)
        if "text" in asked:
            return await whole.search(asked.pop("text"), most=5, **{"read_s": 60.0, **asked})
        if asked:
            return [read async for read in whole.pages(**{"output": "text", **asked})]
        return await whole.facts()


async def test_what_a_document_says_about_itself_is_data(service: VisionService) -> None:
    facts = await within(service, "log.pdf")
    assert (facts.page_count, facts.metadata.title, facts.metadata.author) == (PAGES, "The log", "A. Keeper")
    assert facts.metadata.created == "2024-03-05T12:00:00+01:00"
    assert [(entry.level, entry.title, entry.page) for entry in facts.outline] == [(1, "Log", 1), (2, "Whales", 3)]
    assert {(link.page, link.uri, link.to_page) for link in facts.links} == {
        (1, "https://a.example/", None),
        (1, None, 3),
    }
    assert {(field.name, field.kind, field.value) for field in facts.form_fields} == {
        ("keeper", "text", "Ada"),
        ("lit", "checkbox", True),
    }
    (note,) = facts.annotations
    assert (note.page, note.kind, note.text, note.author) == (2, "Highlight", "look here", "Bo")
    assert note.marked and "Chapter 2" in note.marked
    assert facts.incomplete == ()


async def test_a_search_finds_the_page_and_the_place(service: VisionService) -> None:
    searched = await within(service, "log.pdf", text="whale")
    (hit,) = searched.found.hits
    assert hit.page == 3 and "A whale passed" in hit.text
    assert 100 < hit.box[1] < hit.box[3] < 160
    assert searched.numbers == tuple(range(1, PAGES + 1)) and not searched.failed


async def test_scanned_pages_are_read_for_a_search_or_named(service: VisionService) -> None:
    unread = await within(service, "log.pdf", text="pilot", read_s=0.0, pages="3-6")
    # One page is read in any case, so that each call gets on; a second call has it from before.
    assert unread.unread in ((), (5,))
    searched = await within(service, "log.pdf", text="pilot")
    assert [hit.page for hit in searched.found.hits] == [5] and searched.unread == ()
    assert searched.sparse == (5,)


async def test_pages_read_once_are_kept_by_content(service: VisionService, folder: Path) -> None:
    first = await within(service, "log.pdf", pages="2,1,7")
    (folder / "copy.pdf").write_bytes((folder / "log.pdf").read_bytes())
    worked: list[str] = []
    decoding = service._decoders.run

    def counted(job: jobs.Job[Any, Any], *rest: Any, **more: Any) -> Any:
        worked.append(job.name)
        return decoding(job, *rest, **more)

    service._decoders.run = counted  # type: ignore[method-assign]
    try:
        again: list[ReadPage] = await within(service, "copy.pdf", pages="7,1-2")
        assert worked == []
        await within(service, "copy.pdf", pages="1-3")
        assert worked == ["document"]
    finally:
        service._decoders.run = decoding  # type: ignore[method-assign]
    assert [read.page.number for read in again] == [7, 1, 2] and [read.place for read in again] == [0, 1, 2]
    assert {read.page.number: read.page for read in again} == {read.page.number: read.page for read in first}


async def test_what_a_password_opened_is_not_given_without_it(service: VisionService) -> None:
    assert len(await within(service, "locked.pdf", password="open sesame", pages="1-2")) == 2
    for asked in ({}, {"pages": "1"}, {"text": "whale"}):
        with pytest.raises(PasswordRequired):
            await within(service, "locked.pdf", **asked)


async def test_a_damaged_page_is_named_and_the_others_come(service: VisionService) -> None:
    reads = await within(service, "damaged.pdf", pages="5-9")
    failed = {read.page.number for read in reads if unreadable(read.page) is not None}
    assert [read.page.number for read in reads] == [5, 6, 7, 8, 9] and failed == {7}
    searched = await within(service, "damaged.pdf", text="lighthouse")
    assert [number for number, _ in searched.failed] == [7] and searched.found.matches == PAGES - 1
    assert (await within(service, "damaged.pdf")).page_count == PAGES
    with pytest.raises(DamagedMedia):
        await within(service, "damaged.pdf", pages="7")


async def test_a_page_that_ends_its_decoder_costs_that_page_alone(service: VisionService) -> None:
    """As with a crash in native code: the rest is read by the next process."""
    decoding = service.document

    def dying(*given: Any, pages: str, **more: Any) -> Any:
        held = decoding(*given, pages=pages, **more)

        class Dying:
            async def __aenter__(self) -> Any:
                results = await held.__aenter__()

                async def until() -> Any:
                    async for item, pixels in results:
                        if item.page.number == 8:
                            raise WorkerFailed("the decoder process ended unexpectedly", "Try again.")
                        yield item, pixels

                return until()

            async def __aexit__(self, *error: Any) -> Any:
                return await held.__aexit__(*error)

        return Dying()

    service.kept.clear()
    service.document = dying  # type: ignore[method-assign]
    try:
        reads = await within(service, "log.pdf", pages="6-10")
    finally:
        service.document = decoding  # type: ignore[method-assign]
    assert [(read.page.number, unreadable(read.page) is not None) for read in reads] == [
        (6, False), (7, False), (8, True), (9, False), (10, False)
    ]  # fmt: skip


async def test_who_sees_the_pictures_gets_a_page_without_the_recogniser(service: VisionService) -> None:
    before = len(service._texts._entries)
    call = Call(within_s=120.0)
    with await service.open("figure.pdf", call) as media:
        (read,) = await Whole(service, media, call).beside_pictures([1])
    assert "harbour master" in read.page.text and "1548" not in read.page.text
    assert len(service._texts._entries) == before
    with await service.open("damaged.pdf", call) as media:
        reads = await Whole(service, media, call).beside_pictures([7, 6])
    assert [read.page.number for read in reads] == [6]


def test_numbers_are_named_as_runs() -> None:
    assert spec([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"
    assert spec([5, 1, 2]) == "5,1-2" and spec([]) == ""
