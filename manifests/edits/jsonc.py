"""JSON with comments and trailing commas: one member added, changed or removed, every other byte as it was.

Each edit is read again before anybody gets it: the result must mean what the text meant, and the member.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

from manifests.edits.json_spans import Member, Scanned, Value, scan
from manifests.edits.meaning import Path, with_value, without
from manifests.edits.text import Broken, Span, WrongType, applied, indent_at, line_end, line_start, newline_of

_UNIT = b"  "


class _Read(NamedTuple):
    text: bytes
    scanned: Scanned


def meaning(text: bytes) -> Any:
    """What the text says; {} where it says nothing. Raises Broken, WrongType."""
    return _read(text).scanned.meaning


def has_comments(text: bytes) -> bool:
    return bool(_read(text).scanned.comments)


def put(text: bytes, path: Path, value: Any) -> bytes:
    """The text with `value` at `path`, whose objects are made where there are none. Raises Broken, WrongType."""
    read = _read(text)
    expected = with_value(read.scanned.meaning, path, value)
    if read.scanned.root is None:
        newline = newline_of(text)
        apart = newline if text and not text.endswith(b"\n") else b""
        return _checked(text + apart + _rendered(expected, b"", _UNIT, newline) + newline, expected)
    return _checked(applied(text, _put(read, read.scanned.root, path, value)), expected)


def take(text: bytes, path: Path, made: Collection[Path] = ()) -> bytes:
    """The text without what stands at `path`, and without those objects of `made` that hold nothing then.

    Raises Broken, WrongType.
    """
    read = _read(text)
    while path[:-1] in made and _holds_only(read, path):
        path = path[:-1]
    around = _object(read, path[:-1])
    found = _member(around, path[-1]) if around is not None else None
    if around is None or found is None:
        return text
    return _checked(applied(text, _without(read, around, found)), without(read.scanned.meaning, path))


def _read(text: bytes) -> _Read:
    scanned = scan(text)
    if not isinstance(scanned.meaning, dict):
        raise WrongType("it holds no object")
    return _Read(text, scanned)


def _member(value: Value, key: str) -> Member | None:
    found = [member for member in value.members or () if member.key == key]
    if len(found) > 1:
        raise WrongType(f'"{key}" stands in it twice')
    return found[0] if found else None


def _object(read: _Read, path: Path) -> Value | None:
    """The object at a path."""
    value = read.scanned.root
    for key in path:
        member = _member(value, key) if value is not None else None
        value = member.value if member is not None else None
    return value if value is not None and value.members is not None else None


def _holds_only(read: _Read, path: Path) -> bool:
    """Whether the object around `path` holds nothing else, comments included."""
    around = _object(read, path[:-1])
    own = _member(around, path[-1]) if around is not None else None
    if around is None or own is None or around.members != (own,):
        return False
    starts = [start for start, _ in read.scanned.comments if around.start < start < around.end]
    return all(own.start < start < own.end for start in starts)


def _put(read: _Read, around: Value, path: Path, value: Any) -> list[Span]:
    member = _member(around, path[0])
    if member is None:
        for key in reversed(path[1:]):
            value = {key: value}
        return _added(read, around, path[0], value)
    if len(path) == 1:
        return [_replaced(read, around, member, value)]
    if member.value.members is None:
        raise WrongType(f'"{member.key}" is no object')
    return _put(read, member.value, path[1:], value)


def _replaced(read: _Read, around: Value, member: Member, value: Any) -> Span:
    text, old = read.text, member.value
    if b"\n" not in text[old.start : old.end] and not (isinstance(value, dict) and _in_lines(text, around)):
        return Span(old.start, old.end, _one_line(value))
    indent = indent_at(text, member.start)
    return Span(old.start, old.end, _rendered(value, indent, _unit(read), newline_of(text)))


def _added(read: _Read, around: Value, key: str, value: Any) -> list[Span]:
    text = read.text
    if not around.members:
        return _into_empty(read, around, key, value)
    last = around.members[-1]
    if not _in_lines(text, around):
        compact = text[last.start : last.value.start].endswith(b":")
        member = (b"" if compact else b" ") + _one_line({key: value}, compact)[1:-1]
        if last.comma is None:
            return [Span(last.end, last.end, b"," + member)]
        return [Span(last.comma + 1, last.comma + 1, member + b",")]
    member = _on_lines(read, key, value, indent_at(text, around.members[0].start))
    if last.comma is None:
        at = _past_comments(read, last.end)
        return [Span(last.end, last.end, b","), Span(at, at, member)]
    at = _past_comments(read, last.comma + 1)
    return [Span(at, at, member + b",")]


def _into_empty(read: _Read, around: Value, key: str, value: Any) -> list[Span]:
    text, start, end = read.text, around.start + 1, around.end - 1
    root = read.scanned.root
    if b"\n" not in text.strip() and around != root:
        return [Span(end, end, _one_line({key: value}, compact=b'": ' not in text)[1:-1])]
    base = indent_at(text, around.start)
    member, close = _on_lines(read, key, value, base + _unit(read)), newline_of(text) + base
    inside = [comment for comment in read.scanned.comments if start <= comment[0] < end]
    if not inside:
        return [Span(start, end, member + close)]
    at = inside[-1][1]
    return [Span(at, at, member if b"\n" in text[at:end] else member + close)]


def _past_comments(read: _Read, at: int) -> int:
    """Past the comments that follow on the same line: they speak of what stands before them."""
    for start, end in read.scanned.comments:
        if start >= at and not read.text[at:start].strip(b" \t"):
            at = end
    return at


def _in_lines(text: bytes, value: Value) -> bool:
    """Whether the object's members stand on lines of their own."""
    return bool(value.members) and b"\n" in text[value.start : value.members[0].start]


def _unit(read: _Read) -> bytes:
    """What one level of this file is indented by."""
    root = read.scanned.root
    if root is None or not root.members or not _in_lines(read.text, root):
        return _UNIT
    return indent_at(read.text, root.members[0].start).removeprefix(indent_at(read.text, root.start)) or _UNIT


def _on_lines(read: _Read, key: str, value: Any, indent: bytes) -> bytes:
    newline = newline_of(read.text)
    return newline + indent + _one_line(key) + b": " + _rendered(value, indent, _unit(read), newline)


def _rendered(value: Any, indent: bytes, unit: bytes, newline: bytes) -> bytes:
    lines = json.dumps(value, indent=unit.decode(), ensure_ascii=False).encode().split(b"\n")
    return (newline + indent).join(lines)


def _one_line(value: Any, compact: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":") if compact else None).encode()


def _without(read: _Read, around: Value, member: Member) -> list[Span]:
    text, members = read.text, around.members or ()
    index = members.index(member)
    start, end = member.start, member.end if member.comma is None else member.comma + 1
    if member.comma is not None and text[member.end : member.comma].strip():
        return [Span(start, member.end, b""), Span(member.comma, end, b"")]  # a comment stands before the comma
    if len(members) == 1 and not (text[around.start + 1 : start] + text[end : around.end - 1]).strip():
        return [Span(around.start + 1, around.end - 1, b"")]
    spans: list[Span] = []
    comma = members[index - 1].comma if index and member.comma is None else None
    if comma is not None:
        if not text[comma + 1 : start].strip(b" \t"):
            return [Span(comma, end, b"")]
        spans.append(Span(comma, comma + 1, b""))
    begin = line_start(text, start)
    if begin and not text[begin:start].strip() and not text[end : line_end(text, end)].strip():
        begin -= 2 if text[begin - 2 : begin] == b"\r\n" else 1
        return [*spans, Span(max(begin, spans[0].end if spans else 0), line_end(text, end), b"")]
    while member.comma is not None and text[end : end + 1] in (b" ", b"\t"):
        end += 1
    return [*spans, Span(start, end, b"")]


def _checked(text: bytes, expected: Any) -> bytes:
    if _read(text).scanned.meaning != expected:
        raise Broken("it is written in a way that cannot be edited without changing something else")
    return text
