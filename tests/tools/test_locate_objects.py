from __future__ import annotations

from typing import Any

import pytest

from tools.locate_objects import matches
from vision.types import TextLine


def line(text: str, box: tuple[float, float, float, float] = (0, 0, 100, 10)) -> TextLine:
    return TextLine(text=text, box=box, confidence=0.9)


def test_a_word_gets_its_share_of_the_lines_box() -> None:
    ((label, box, confidence, _),) = matches("save", (line("Open Save As"),))
    assert label == "Save"
    assert box == (42, 0, 75, 10)
    assert confidence == 0.9


def test_every_occurrence_is_found() -> None:
    assert len(matches("ab", (line("ab cd ab"), line("ABBA")))) == 3


def test_a_misread_letter_is_found_with_less_confidence() -> None:
    ((label, _, confidence, _),) = matches("Send invoice", (line("Send lnvoice"), line("Save draft")))
    assert label == "Send lnvoice"
    assert confidence < 0.9


@pytest.mark.parametrize("target", ["Cancel", "OK"])
def test_what_is_not_there_is_not_found(target: str) -> None:
    assert (
        matches(
            target,
            (line("Send invoice"), line("O")),
        )
        == []
    )


@pytest.mark.anyio
@pytest.mark.parametrize("screen", ["EN", "ZH"])
async def test_a_button_is_found_where_it_stands(ask: Any, sample_maker: Any, screen: str) -> None:
    truth = getattr(sample_maker, f"SCREEN_{screen}")
    source = f"screenshot-{screen.lower()}.png"
    as_box = await ask("locate_objects", source=source, target=truth.button)
    as_point = await ask("locate_objects", source=source, target=truth.button, kind="point")
    (found,), (point,) = as_box.objects, as_point.objects
    left, top, right, bottom = truth.button_box
    assert left <= found.box[0] < found.box[2] <= right and top <= found.box[1] < found.box[3] <= bottom
    assert left <= point.point[0] <= right and top <= point.point[1] <= bottom
    assert as_box.evidence[0].text == truth.button


@pytest.mark.anyio
async def test_text_of_a_document_is_found_on_its_page(ask: Any) -> None:
    result = await ask("locate_objects", source="report.pdf", target="Market Quay")
    assert [found.page for found in result.objects] == [2]
