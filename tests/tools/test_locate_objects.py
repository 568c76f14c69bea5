from __future__ import annotations

import time
from typing import Any, Literal

import pytest

from tools.locate_objects import Match, matches
from tools.paging import tokens_of
from vision.types import Box, PageText, TextLine


def line(text: str, box: Box = (0, 0, 100, 10)) -> TextLine:
    return TextLine(text=text, box=box, confidence=0.9)


def found(target: str, *lines: TextLine, rotation: Literal[0, 90, 180, 270] = 0) -> list[Match]:
    return matches(target, PageText(lines=lines, rotation=rotation))


def test_a_word_gets_its_share_of_the_lines_box() -> None:
    (match,) = found("save", line("Open Save As"))
    assert match.label == "Save"
    assert match.box == (42, 0, 75, 10)
    assert match.confidence == 0.9


@pytest.mark.parametrize(
    ("rotation", "box", "share"),
    [
        (0, (0, 0, 120, 10), (50, 0, 90, 10)),
        (90, (0, 0, 10, 120), (0, 30, 10, 70)),  # lines run upwards
        (180, (0, 0, 120, 10), (30, 0, 70, 10)),
        (270, (0, 0, 10, 120), (0, 50, 10, 90)),  # downwards
    ],
)
def test_on_a_turned_page_the_share_lies_where_the_word_stands(rotation: Any, box: Box, share: Box) -> None:
    (match,) = found("save", line("Open Save As", box), rotation=rotation)
    assert match.box == share


@pytest.mark.parametrize(
    ("rotation", "box"), [(0, (0, 0, 10, 100)), (180, (0, 0, 10, 100)), (90, (0, 0, 100, 10)), (270, (0, 0, 100, 10))]
)
def test_a_line_that_runs_another_way_than_its_page_gives_its_whole_box(rotation: Any, box: Box) -> None:
    (match,) = found("save", line("Open Save As", box), rotation=rotation)
    assert match.box == box


def test_every_occurrence_is_found() -> None:
    assert len(found("ab", line("ab cd ab"), line("ABBA"))) == 3


def test_a_misread_letter_is_found_with_less_confidence() -> None:
    (match,) = found("Send invoice", line("Send lnvoice"), line("Save draft"))
    assert match.label == "Send lnvoice"
    assert match.confidence < 0.9


@pytest.mark.parametrize("target", ["Cancel", "OK"])
def test_what_is_not_there_is_not_found(target: str) -> None:
    assert found(target, line("Send invoice"), line("O")) == []


def test_long_lines_of_one_letter_are_told_apart_at_once() -> None:
    lines = [line("a" * 40_000), line("a" * 3000)] * 20
    began = time.monotonic()
    assert found("a" * 199 + "b", *lines) == []
    assert found("a" * 499 + "b", *lines) == []
    assert time.monotonic() - began < 2


@pytest.mark.anyio
@pytest.mark.parametrize("screen", ["EN", "ZH"])
async def test_a_button_is_found_where_it_stands(ask: Any, sample_maker: Any, screen: str) -> None:
    truth = getattr(sample_maker, f"SCREEN_{screen}")
    source = f"screenshot-{screen.lower()}.png"
    as_box = await ask("locate_objects", source=source, target=truth.button)
    as_point = await ask("locate_objects", source=source, target=truth.button, kind="point")
    (button,), (point,) = as_box.objects, as_point.objects
    left, top, right, bottom = truth.button_box
    assert left <= button.box[0] < button.box[2] <= right and top <= button.box[1] < button.box[3] <= bottom
    assert left <= point.point[0] <= right and top <= point.point[1] <= bottom
    assert button.line == truth.button


@pytest.mark.anyio
async def test_text_of_a_document_is_found_on_its_page(ask: Any) -> None:
    result = await ask("locate_objects", source="report.pdf", target="Market Quay")
    assert [place.page for place in result.objects] == [2]


@pytest.mark.anyio
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
async def test_a_word_in_mid_line_is_found_however_the_picture_is_turned(
    ask: Any, shared_service: Any, turn: int
) -> None:
    from PIL import Image, ImageDraw, ImageFont

    upright = Image.new("RGB", (900, 400), "white")
    draw = ImageDraw.Draw(upright)
    font = ImageFont.load_default(30)
    for row, text in enumerate(("Hello wonderful world of reading", "Second line has apples", "Third line of text")):
        draw.text((40, 50 + 100 * row), text, fill="black", font=font)
    x1, y1, x2, y2 = draw.textbbox((40 + draw.textlength("Hello ", font=font), 50), "wonderful", font=font)
    truth = {0: (x1, y1, x2, y2), 90: (400 - y2, x1, 400 - y1, x2), 180: (900 - x2, 400 - y2, 900 - x1, 400 - y1)}
    truth[270] = (y1, 900 - x2, y2, 900 - x1)
    upright.rotate(-turn, expand=True).save(shared_service._cwd / f"turned-{turn}.png")
    (place,) = (await ask("locate_objects", source=f"turned-{turn}.png", target="wonderful")).objects
    assert place.box == pytest.approx(truth[turn], abs=25)


@pytest.mark.anyio
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
async def test_a_word_in_mid_line_is_found_however_a_pdf_page_is_turned(
    ask: Any, shared_service: Any, turn: int
) -> None:
    import pymupdf

    with pymupdf.open() as document:
        page = document.new_page(width=600, height=800)
        for row in range(8):
            page.insert_text((40, 60 + 30 * row), f"Hello wonder{row} world of reading", fontsize=12)
        (word,) = page.search_for("wonder3")
        page.set_rotation(turn)
        truth = tuple(word * page.rotation_matrix)
        document.save(shared_service._cwd / f"rotate-{turn}.pdf")
    (place,) = (await ask("locate_objects", source=f"rotate-{turn}.pdf", target="wonder3")).objects
    assert place.box == pytest.approx(truth, abs=8)


@pytest.mark.anyio
async def test_many_matches_in_long_lines_keep_within_a_reply_and_say_so(ask: Any, shared_service: Any) -> None:
    import pymupdf

    with pymupdf.open() as document:
        page = document.new_page(width=4000, height=600)
        for row in range(20):
            page.insert_text((10, 20 + 25 * row), "every tree here is evergreen " * 60, fontsize=4)
        document.save(shared_service._cwd / "long-lines.pdf")
    few = await ask("locate_objects", source="long-lines.pdf", target="evergreen", tokens=2000)
    many = await ask("locate_objects", source="long-lines.pdf", target="evergreen", tokens=20_000)
    assert tokens_of(few) <= 2000 < tokens_of(many) <= 20_000
    assert 0 < len(few.objects) < len(many.objects) == 100
    for result in (few, many):
        assert result.truncated and any("more than" in notice for notice in result.notices)
        assert all(len(place.line) <= 202 and "evergreen" in place.line for place in result.objects)
