"""What a model is asked for values in, and how: pages first, then what is wanted, a line each."""

from __future__ import annotations

from vision.chat.types import ImagePart, TextPart
from vision.prompts.extract import extract
from vision.schema.reading import read_schema

A, B = ImagePart(data=b"a"), ImagePart(data=b"b")
SCHEMA = {
    "properties": {
        "no": {"type": "string", "title": "Number", "description": "on top"},
        "kind": {"enum": ["bill", "receipt", None]},
        "due": {"type": ["string", "null"], "format": "date"},
        "lines": {"type": "array", "items": {"properties": {"price": {"type": "number"}}}},
    }
}


def words(prompt: object) -> str:
    (message,) = prompt.messages  # type: ignore[attr-defined]
    return "".join("<image>\n" if isinstance(part, ImagePart) else part.text for part in message.parts)


def test_pages_come_first_then_each_value_with_its_name_and_type() -> None:
    prompt = extract([(3, A, "Bill no. 7")], read_schema(SCHEMA), 12)
    said = words(prompt)
    assert said.startswith("<image>\nThe image is page 3 of a document.\nText read on page 3:\nBill no. 7\n")
    assert said.endswith(
        "no: Number – on top (string)\nkind (bill | receipt)\ndue (string, date)\nlines (array)\nlines[].price (number)"
    )
    assert prompt.json_schema is not None and prompt.json_schema["required"] == ["no", "kind", "due", "lines"]


def test_a_schema_in_chinese_is_asked_in_chinese() -> None:
    said = words(extract([(1, A, ""), (2, B, "")], read_schema({"properties": {"合计": {"type": "number"}}}), 12))
    assert said.startswith("Image-1: <image>\nImage-2: <image>\n这些图片依次是文档的第1, 2页。\n请把")
    assert said.endswith("合计 (number)")


def test_pages_without_pictures_are_asked_about_by_their_text() -> None:
    prompt = extract([(1, None, "Total 5")], read_schema({"properties": {"total": {"type": "number"}}}), 1)
    assert prompt.messages[0].parts == (TextPart(text=words(prompt)),) and "Total 5" in words(prompt)
    assert prompt.lighter() is None and prompt.pictures == 0
