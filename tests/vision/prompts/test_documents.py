from __future__ import annotations

import pytest

from vision.chat.types import ImagePart, TextPart
from vision.prompts.documents import ask_pages, is_refusal


@pytest.mark.parametrize(
    "answer",
    [
        "It cannot be told.",
        "It cannot be told from what is shown.",
        "The author is not mentioned on these pages.",
        "I can't find that in the document.",
        "The document does not provide the price of the ferry.",
        "There is no information about a refund.",
        "The text doesn't say. It is about whales.",
        "无法得知。",
        "文档中没有提到作者。",
        "从这些页面无法确定。",
        "",
    ],
)
def test_an_answer_that_says_it_is_not_there_is_a_refusal(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "17 crowns, on page 29.",
        "The ferry costs 17 crowns. The price of a cabin is not mentioned.",
        'It says "do not enter".',
        "star red.",
        "票价为17元。没有提到其他费用。",
        "页面上写着三百元。",
    ],
)
def test_an_answer_is_none(answer: str) -> None:
    assert not is_refusal(answer)


def test_pages_without_pictures_are_asked_about_by_their_text() -> None:
    prompt = ask_pages([(3, None, "Total 12 EUR")], "What is the total?", 1)
    ((part,),) = (message.parts for message in prompt.messages)
    assert isinstance(part, TextPart) and "Text read on page 3:\nTotal 12 EUR" in part.text
    assert "page 3 of a document" in part.text and "image" not in part.text.split("\n")[0]


def test_pages_with_pictures_come_in_their_order() -> None:
    prompt = ask_pages([(3, ImagePart(data=b"a"), ""), (5, ImagePart(data=b"b"), "x")], "What?", 2)
    assert prompt.pictures == 2
    assert [p.data for p in prompt.messages[0].parts if isinstance(p, ImagePart)] == [b"a", b"b"]
