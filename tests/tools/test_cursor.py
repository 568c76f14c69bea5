from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tools.cursor import Cursors
from tools.extract_text import ExtractTextParameters
from tools.read_document import ReadDocumentParameters
from vision.errors import InvalidArgument

SHA = "ab" * 32
CURSORS = Cursors("read_document", 2, ("pages", "format"))


def parameters(**given: Any) -> ReadDocumentParameters:
    return ReadDocumentParameters(source="a.pdf", **given)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_without_a_cursor_a_call_begins_at_the_beginning() -> None:
    given = parameters(pages="3")
    resumed, start = CURSORS.resume(given, None)
    assert resumed is given
    assert start.place == (0, 0)
    start.check(SHA)


def test_a_cursor_alone_goes_on_with_the_same_parameters() -> None:
    cursor = CURSORS.make(SHA, parameters(pages="5-8", format="json", question="Why?"), 3, 17)
    resumed, start = CURSORS.resume(parameters(cursor=cursor), cursor)
    assert (resumed.pages, resumed.format) == ("5-8", "json")
    assert start.place == (3, 17)
    start.check(SHA)


def test_parameters_may_be_repeated_beside_the_cursor() -> None:
    cursor = CURSORS.make(SHA, parameters(pages="5-8"), 1, 0)
    resumed, _ = CURSORS.resume(parameters(cursor=cursor, pages="5-8", format="markdown"), cursor)
    assert resumed.pages == "5-8"


@pytest.mark.parametrize("given", [{"pages": "1"}, {"format": "text"}, {"format": "markdown"}])
def test_other_parameters_than_the_cursors_are_refused(given: dict[str, Any]) -> None:
    cursor = CURSORS.make(SHA, parameters(format="json"), 1, 0)
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        CURSORS.resume(parameters(cursor=cursor, **given), cursor)


def test_no_password_stands_in_a_cursor() -> None:
    cursor = CURSORS.make(SHA, parameters(password="open sesame", pages="1-2"), 1, 0)
    assert "open sesame" not in base64.urlsafe_b64decode(cursor + "==").decode()
    resumed, _ = CURSORS.resume(parameters(cursor=cursor, password="open sesame"), cursor)
    assert resumed.password == "open sesame"


def test_the_cursor_of_another_source_is_refused() -> None:
    cursor = CURSORS.make(SHA, parameters(), 1, 0)
    _, start = CURSORS.resume(parameters(cursor=cursor), cursor)
    with pytest.raises(InvalidArgument, match="another source"):
        start.check("cd" * 32)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "zzz",
        "W10",
        "é",
        "A" * 10_000,
        base64.urlsafe_b64encode(b"[" * 2900).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        encoded(["read_document", SHA[:16], [-1, 0], {}]),
        encoded(["read_document", SHA[:16], [1], {}]),
        encoded(["read_document", SHA[:16], [True, 0], {}]),
        encoded(["read_document", SHA[:16], [1 << 60, 0], {}]),
        encoded(["read_document", 5, [1, 0], {}]),
        encoded(["read_document", SHA[:16], [1, 0], {"password": "x"}]),
        encoded(["read_document", SHA[:16], [1, 0], {"format": "html"}]),
        encoded({"place": 1}),
        Cursors("extract_text", 2, ()).make(SHA, ExtractTextParameters(source="a"), 1, 0),
    ],
)
def test_a_broken_or_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidArgument, match="cursor"):
        CURSORS.resume(parameters(cursor=cursor), cursor)
