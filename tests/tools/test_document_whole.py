"""read_document on documents as wholes: outline first, search, passages and answers from the pages that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymupdf
import pytest

from tests.scripted_model import MODEL, PLAN, ScriptedModel, says, text_of
from tools.paging import tokens_of
from vision.chat.types import ImagePart
from vision.errors import InvalidArgument

pytestmark = pytest.mark.anyio
PAGES = 40
REFUSED = says("The answer cannot be told from these pages.")


@pytest.fixture(scope="module", autouse=True)
def book(sample_files: Any) -> Path:
    """Forty pages of text, a chapter every four of them; pages 11 and 12 are drawings without a word."""
    path = sample_files.report.parent / "book.pdf"
    with pymupdf.open() as made:
        for number in range(1, PAGES + 1):
            page = made.new_page(width=300, height=400)
            if number in (11, 12):
                page.draw_circle((150, 200), 80, fill=(1, 0, 0))
                continue
            page.insert_text((20, 40), f"Chapter {(number + 3) // 4}, leaf {number}", fontsize=14)
            for line in range(12):
                page.insert_text((20, 80 + 16 * line), f"Line {line} tells of the {_PLACES[number % 5]}.", fontsize=9)
        made[28].insert_text((20, 300), "The ferry to Ostrava costs 17 crowns a head.", fontsize=9)
        made.set_toc([[1 + (n % 4 != 1), f"Part {n}", n] for n in range(1, PAGES + 1)])
        made.save(path)
    return path


_PLACES = ("harbour", "mill", "market", "chapel", "orchard")


def cpu(model: ScriptedModel, *scripts: Any) -> ScriptedModel:
    """On a processor one page is shown at a time."""
    model.choice = MODEL.model_copy(update={"plan": PLAN.model_copy(update={"device": "cpu"})})
    model.scripts = list(scripts)
    return model


def pictures(model: ScriptedModel) -> list[int]:
    return [sum(isinstance(part, ImagePart) for part in ask.messages[-1].parts) for ask in model.asked]


async def test_a_long_document_begins_with_its_outline(ask: Any) -> None:
    result = await ask("read_document", source="book.pdf")
    assert [entry.title for entry in result.document.outline][:2] == ["Part 1", "Part 2"]
    assert result.pages[0].number == 1 and result.markdown.startswith("<!-- page 1 -->")
    assert result.document.has == {"outline": PAGES}
    assert any("document.outline" in notice for notice in result.notices) == (result.next_cursor is not None)
    if result.next_cursor is not None:
        assert (await ask("read_document", source="book.pdf", cursor=result.next_cursor)).document is None


async def test_an_outline_that_is_too_long_gives_its_upper_levels(ask: Any) -> None:
    result = await ask("read_document", source="book.pdf", tokens=2200)
    assert {entry.level for entry in result.document.outline} == {1} and result.document.has["outline"] == PAGES
    assert tokens_of(result) <= 2200


@pytest.mark.parametrize("tokens", [1500, 8000])
async def test_the_whole_outline_comes_in_parts(ask: Any, tokens: int) -> None:
    titles: list[str] = []
    arguments: dict[str, Any] = {"format": "outline"}
    for _ in range(20):
        result = await ask("read_document", source="book.pdf", tokens=tokens, **arguments)
        titles += [entry.title for entry in result.document.outline]
        assert result.markdown == "" and result.pages == ()
        if result.next_cursor is None:
            break
        arguments = {"cursor": result.next_cursor}
    assert titles == [f"Part {n}" for n in range(1, PAGES + 1)]


async def test_a_picture_has_no_outline(ask: Any) -> None:
    with pytest.raises(InvalidArgument, match="outline"):
        await ask("read_document", source="screenshot-en.png", format="outline")


async def test_words_are_found_in_all_of_it_with_page_and_box(ask: Any) -> None:
    result = await ask("read_document", source="book.pdf", search="Ostrava crowns")
    (passage,) = result.passages
    assert passage.page == 29 and "17 crowns" in passage.text and passage.box[1] > 200
    assert (result.search.matches, result.search.matching_pages) == (1, "29")
    assert result.search.pages + (2 if result.search.not_searched else 0) == PAGES
    assert result.markdown == "" and result.used.pages == ()


async def test_many_hits_come_in_parts_each_once(ask: Any) -> None:
    seen: list[tuple[int, str]] = []
    arguments: dict[str, Any] = {"search": "chapel"}
    for _ in range(20):
        result = await ask("read_document", source="book.pdf", tokens=1400, **arguments)
        seen += [(passage.page, passage.text) for passage in result.passages]
        if result.next_cursor is None:
            break
        arguments = {"cursor": result.next_cursor}
    assert len(seen) == result.search.matches == len(set(seen))
    assert {page for page, _ in seen} == {n for n in range(1, PAGES + 1) if n % 5 == 3}


async def test_a_search_within_pages_stays_there(ask: Any) -> None:
    result = await ask("read_document", source="book.pdf", search="chapel", pages="1-10")
    assert {passage.page for passage in result.passages} == {3, 8} and result.search.pages == 10


async def test_what_is_nowhere_is_said_to_be_nowhere(ask: Any) -> None:
    result = await ask("read_document", source="report.pdf", search="xylophone")
    assert result.passages == () and any("Nothing" in notice for notice in result.notices)


async def test_without_a_model_a_question_gets_the_passages_and_no_answer(ask: Any) -> None:
    result = await ask("read_document", source="book.pdf", question="What does the ferry to Ostrava cost?")
    assert result.answer is None and result.in_document is None
    assert result.passages[0].page == 29 and "17 crowns" in result.passages[0].text
    assert result.pages == () and result.markdown == ""


async def test_the_model_is_shown_the_page_that_holds_the_words_and_no_other(ask: Any, model: ScriptedModel) -> None:
    cpu(model, says('It costs "17 crowns a head", on page 29.'))
    result = await ask("read_document", source="book.pdf", question="What does the ferry to Ostrava cost?")
    assert result.answer and result.in_document is True and result.used.pages == (29,)
    assert pictures(model) == [1] and "page 29 of a document" in text_of(model.asked[0])
    assert [(one.page, "17 crowns" in one.text) for one in result.evidence] == [(29, True)]
    assert result.unsupported == ()


async def test_a_page_that_was_not_shown_does_not_support_an_answer(ask: Any, model: ScriptedModel) -> None:
    cpu(model, says("It costs 17 crowns, see page 3."))
    result = await ask("read_document", source="book.pdf", question="What does the ferry to Ostrava cost?")
    assert result.unsupported == ("page 3",)


async def test_where_the_first_pages_do_not_hold_it_the_next_are_shown(ask: Any, model: ScriptedModel) -> None:
    cpu(model, REFUSED, says("The orchard, on page 9."))
    result = await ask("read_document", source="book.pdf", question="What of the orchard?", pages="1-10")
    assert result.answer == "The orchard, on page 9." and result.in_document is True
    assert len(result.used.pages) == 2 and pictures(model) == [1, 1]


async def test_what_no_page_holds_is_not_in_this_document(ask: Any, model: ScriptedModel) -> None:
    cpu(model, *[REFUSED] * 8)
    result = await ask("read_document", source="book.pdf", question="Who painted the orchard?", pages="13-40")
    assert result.in_document is False and "cannot be told" in result.answer
    assert any("Not in this document" in notice for notice in result.notices)
    assert len(model.asked) <= 3


async def test_pages_that_are_pictures_are_sifted_by_small_pictures_of_them(ask: Any, model: ScriptedModel) -> None:
    """Page 12 is the one from whose small picture the model can answer."""
    model.scripts = []

    def answer(prompt: str) -> Any:
        return says("Red.") if "page 12 " in prompt else REFUSED

    class Answers(list):  # type: ignore[type-arg]
        def pop(self, at: int = 0) -> Any:
            return answer(text_of(model.asked[-1]))

        def __bool__(self) -> bool:
            return True

    cpu(model)
    model.scripts = Answers()
    result = await ask("read_document", source="book.pdf", question="Which colour has it?", pages="5-20")
    assert result.answer == "Red." and result.used.pages == (12,)
    assert max(pictures(model)) == 1 and len(model.asked) == 3


async def test_words_to_look_for_may_come_with_a_question(ask: Any, model: ScriptedModel) -> None:
    cpu(model, says("17 crowns."))
    result = await ask("read_document", source="book.pdf", question="Combien ça coûte ?", search="ferry Ostrava")
    assert result.used.pages == (29,)


async def test_a_letter_without_pictures_of_its_pages_is_answered_from_its_text(
    ask: Any, model: ScriptedModel, sample_files: Any
) -> None:
    docx = pytest.importorskip("docx", reason="the extra [office] is not installed")
    letter = docx.Document()
    letter.add_heading("Ferries", 1)
    letter.add_paragraph("The ferry to Ostrava costs 17 crowns a head.")
    letter.save(sample_files.report.parent / "letter.docx")
    model.scripts = [says("17 crowns, on page 1.")]
    result = await ask("read_document", source="letter.docx", question="What does the ferry cost?")
    assert result.answer == "17 crowns, on page 1." and result.in_document is True
    assert pictures(model) == [0] and "costs 17 crowns" in text_of(model.asked[0])
    assert "# Ferries" in result.markdown and [one.page for one in result.evidence] == [1]
