"""What edits of every format have in common: spans of bytes, the mark at a file's beginning, its line endings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"


class Broken(Exception):
    """The text is not of its format; the message says where or why."""


class WrongType(Exception):
    """There is something else where a table of servers, or an entry, should be."""


class Span(NamedTuple):
    """Bytes `start` to `end` become `new`."""

    start: int
    end: int
    new: bytes


def applied(text: bytes, spans: Iterable[Span]) -> bytes:
    """The text with its spans replaced; they do not overlap. Of insertions at one place the first given comes first."""
    pieces: list[bytes] = []
    at = 0
    for span in sorted(spans, key=lambda span: span.start):
        pieces += (text[at : span.start], span.new)
        at = span.end
    return b"".join((*pieces, text[at:]))


def without_mark(data: bytes) -> tuple[bytes, bytes]:
    """The byte order mark, or nothing, and the rest."""
    return (BOM, data[len(BOM) :]) if data.startswith(BOM) else (b"", data)


def newline_of(text: bytes) -> bytes:
    """The line ending that the first line has; of a text without any, a line feed."""
    at = text.find(b"\n")
    return b"\r\n" if at > 0 and text[at - 1 : at] == b"\r" else b"\n"


def line_start(text: bytes, at: int) -> int:
    return text.rfind(b"\n", 0, at) + 1


def line_end(text: bytes, at: int) -> int:
    """Where the line ends that `at` is in: before its line ending."""
    end = text.find(b"\n", at)
    if end < 0:
        return len(text)
    return end - 1 if end and text[end - 1 : end] == b"\r" else end


def after_line(text: bytes, at: int) -> int:
    """The beginning of the line after the one that `at` is in."""
    end = text.find(b"\n", at)
    return len(text) if end < 0 else end + 1


def indent_at(text: bytes, at: int) -> bytes:
    """The blanks that the line of `at` begins with."""
    line = text[line_start(text, at) : at]
    return line[: len(line) - len(line.lstrip(b" \t"))]
