"""JSON with comments and trailing commas: one member added, changed or removed, every other byte as it was.

tree-sitter says where things stand, `json` what they mean. Each edit is read again before anybody gets it: the result
must mean what the text meant, and the member.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import tree_sitter_json
from tree_sitter import Language, Node, Parser

from manifests.edits.meaning import Path, with_value, without
from manifests.edits.text import Broken, Span, WrongType, applied, indent_at, line_end, line_start, newline_of

_UNIT = b"  "


class _Read(NamedTuple):
    """A text and what was found in it. `root` is None where nothing but blanks and comments stands; `trailing` are the
    places of commas after last members, `comments` the comments' spans, without the end of their line.
    """

    text: bytes
    root: Node | None
    value: Any
    trailing: tuple[int, ...]
    comments: tuple[tuple[int, int], ...]


def meaning(text: bytes) -> Any:
    """What the text says; {} where it says nothing. Raises Broken."""
    return _read(text).value


def has_comments(text: bytes) -> bool:
    return bool(_read(text).comments)


def put(text: bytes, path: Path, value: Any) -> bytes:
    """The text with `value` at `path`, whose objects are made where there are none. Raises Broken, WrongType."""
    read = _read(text)
    expected = with_value(read.value, path, value)
    if read.root is None:
        unit = newline_of(text)
        begin = unit if text and not text.endswith(b"\n") else b""
        new = text + begin + _rendered(expected, b"", _UNIT, unit) + unit
    else:
        new = applied(text, _put(read, path, value))
    return _checked(new, expected)


def take(text: bytes, path: Path, made: Collection[Path] = ()) -> bytes:
    """The text without what stands at `path`, and without those objects of `made` that hold nothing then."""
    read = _read(text)
    while path[:-1] in made and _holds_only(read, path):
        path = path[:-1]
    expected = without(read.value, path)
    parent = _at(read, path[:-1])
    found = _member(parent, path[-1]) if parent is not None else None
    if parent is None or found is None:
        return text
    return _checked(applied(text, _without(read, parent, found)), expected)


def _read(text: bytes) -> _Read:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Broken(f"it is not UTF-8 text (byte {e.start})") from e
    tree = _parser().parse(text)
    tokens = list(_tokens(tree.root_node))
    trailing = tuple(
        token.start_byte
        for token, after in pairwise([token for token in tokens if token.type != "comment"])
        if token.type == "," and after.type in "}]"
    )
    comments = tuple(_comment(text, token) for token in tokens if token.type == "comment")
    blank = _blanked(text, [(at, at + 1) for at in trailing])
    if trailing:
        tree = _parser().parse(blank)
    blank = _blanked(blank, comments)
    if not blank.strip():
        return _Read(text, None, {}, (), comments)
    value = _loaded(blank)
    if tree.root_node.has_error:
        raise Broken("it is not valid JSON")
    root = next(node for node in tree.root_node.named_children if node.type != "comment")
    if not isinstance(value, dict):
        raise WrongType("it holds no object")
    return _Read(text, root, value, trailing, comments)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_json.language()))


def _loaded(text: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise Broken(f"{name} is no JSON value")

    try:
        return json.loads(text.decode(), parse_constant=refuse)
    except json.JSONDecodeError as e:
        raise Broken(f"it is not valid JSON: {e.msg} in line {e.lineno}, column {e.colno}") from e
    except RecursionError as e:
        raise Broken("it is nested too deeply") from e


def _tokens(root: Node) -> Iterator[Node]:
    """The leaves in order; a string is one."""
    cursor = root.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.type not in ("string", "comment") and cursor.goto_first_child():
            continue
        if node.end_byte > node.start_byte:
            yield node
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _comment(text: bytes, node: Node) -> tuple[int, int]:
    end = node.end_byte
    return node.start_byte, end - 1 if text[end - 1 : end] == b"\r" else end


def _blanked(text: bytes, spans: Collection[tuple[int, int]]) -> bytes:
    """Of the same length: positions in errors stay those of the file."""
    if not spans:
        return text
    blank = bytearray(text)
    for start, end in spans:
        for at in range(start, end):
            if blank[at] not in b"\r\n":
                blank[at] = 0x20
    return bytes(blank)


def _members(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type == "pair"]


def _member(node: Node, key: str) -> Node | None:
    found = [pair for pair in _members(node) if _key(pair) == key]
    if len(found) > 1:
        raise WrongType(f'"{key}" stands in it twice')
    return found[0] if found else None


def _key(pair: Node) -> Any:
    key = pair.child_by_field_name("key")
    return json.loads(key.text or b"null") if key is not None else None


def _value(pair: Node) -> Node:
    value = pair.child_by_field_name("value")
    assert value is not None
    return value


def _at(read: _Read, path: Path) -> Node | None:
    """The object at a path."""
    node = read.root
    for key in path:
        pair = _member(node, key) if node is not None else None
        node = _value(pair) if pair is not None else None
        if node is not None and node.type != "object":
            return None
    return node


def _holds_only(read: _Read, path: Path) -> bool:
    """Whether the object around `path` holds nothing else, comments included."""
    around = _at(read, path[:-1])
    if around is None or len(path) < 2:
        return False
    inside = (around.start_byte, around.end_byte)
    own = _member(around, path[-1])
    if own is None or len(_members(around)) != 1:
        return False
    return not any(
        inside[0] < start < inside[1] and not own.start_byte < start < own.end_byte for start, _ in read.comments
    )


def _put(read: _Read, path: Path, value: Any) -> list[Span]:
    node, rest = read.root, path
    assert node is not None
    while True:
        pair = _member(node, rest[0])
        if pair is None:
            for key in reversed(rest[1:]):
                value = {key: value}
            return _added(read, node, rest[0], value)
        if len(rest) == 1:
            return [_replaced(read, node, pair, value)]
        node, rest = _value(pair), rest[1:]
        if node.type != "object":
            raise WrongType(f'"{_key(pair)}" is no object')


def _replaced(read: _Read, around: Node, pair: Node, value: Any) -> Span:
    old = _value(pair)
    one_line = b"\n" not in (old.text or b"") and not (isinstance(value, dict) and _in_lines(read.text, around))
    indent = indent_at(read.text, pair.start_byte)
    new = _one_line(value) if one_line else _rendered(value, indent, _unit(read), newline_of(read.text))
    return Span(old.start_byte, old.end_byte, new)


def _added(read: _Read, node: Node, key: str, value: Any) -> list[Span]:
    text, members = read.text, _members(node)
    newline, unit = newline_of(text), _unit(read)
    if not members:
        return _into_empty(read, node, key, value)
    last = members[-1]
    comma = next((at for at in read.trailing if last.end_byte <= at < node.end_byte), None)
    if not _in_lines(text, node):
        colon = text[last.start_byte : _value(last).start_byte]
        member = _one_line({key: value}, compact=colon.endswith(b":"))[1:-1]
        blank = b"" if colon.endswith(b":") else b" "
        if comma is None:
            return [Span(last.end_byte, last.end_byte, b"," + blank + member)]
        return [Span(comma + 1, comma + 1, blank + member + b",")]
    indent = indent_at(text, members[0].start_byte)
    member = newline + indent + _one_line(key) + b": " + _rendered(value, indent, unit, newline)
    at = _past_comments(read, last.end_byte if comma is None else comma + 1)
    if comma is None:
        return [Span(last.end_byte, last.end_byte, b","), Span(at, at, member)]
    return [Span(at, at, member + b",")]


def _into_empty(read: _Read, node: Node, key: str, value: Any) -> list[Span]:
    text, start, end = read.text, node.start_byte + 1, node.end_byte - 1
    assert read.root is not None
    if b"\n" not in text.strip() and node.start_byte != read.root.start_byte:
        member = _one_line({key: value}, compact=b'": ' not in text)[1:-1]
        return [Span(end, end, member)]
    newline, unit, base = newline_of(text), _unit(read), indent_at(text, node.start_byte)
    indent = base + unit
    member = newline + indent + _one_line(key) + b": " + _rendered(value, indent, unit, newline)
    inside = [comment for comment in read.comments if start <= comment[0] < end]
    if not inside:
        return [Span(start, end, member + newline + base)]
    at = inside[-1][1]
    closes_below = b"\n" in text[at:end]
    return [Span(at, at, member if closes_below else member + newline + base)]


def _past_comments(read: _Read, at: int) -> int:
    """Past the comments that follow on the same line: they speak of what stands before them."""
    for start, end in read.comments:
        if start >= at and not read.text[at:start].strip(b" \t"):
            at = end
    return at


def _in_lines(text: bytes, node: Node) -> bool:
    """Whether the object's members stand on lines of their own."""
    members = _members(node)
    return bool(members) and b"\n" in text[node.start_byte : members[0].start_byte]


def _unit(read: _Read) -> bytes:
    """What one level of this file is indented by."""
    root = read.root
    if root is None or not _in_lines(read.text, root):
        return _UNIT
    outer = indent_at(read.text, root.start_byte)
    return indent_at(read.text, _members(root)[0].start_byte)[len(outer) :] or _UNIT


def _rendered(value: Any, indent: bytes, unit: bytes, newline: bytes) -> bytes:
    lines = json.dumps(value, indent=unit.decode(), ensure_ascii=False).encode().split(b"\n")
    return (newline + indent).join(lines)


def _one_line(value: Any, compact: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":") if compact else None).encode()


def _without(read: _Read, node: Node, pair: Node) -> list[Span]:
    text, members = read.text, _members(node)
    index = members.index(pair)
    commas = sorted([child.start_byte for child in node.children if child.type == ","] + list(read.trailing))
    until = members[index + 1].start_byte if index + 1 < len(members) else node.end_byte
    comma = next((at for at in commas if pair.end_byte <= at < until), None)
    start, end = pair.start_byte, pair.end_byte if comma is None else comma + 1
    if comma is not None and text[pair.end_byte : comma].strip():
        return [Span(start, pair.end_byte, b""), Span(comma, end, b"")]  # a comment stands before the comma
    if (
        len(members) == 1
        and not text[node.start_byte + 1 : start].strip()
        and not text[end : node.end_byte - 1].strip()
    ):
        return [Span(node.start_byte + 1, node.end_byte - 1, b"")]
    spans: list[Span] = []
    if comma is None and index:
        before = next(at for at in commas if members[index - 1].end_byte <= at < start)
        spans.append(Span(before, before + 1, b""))
        if not text[before + 1 : start].strip(b" \t"):
            return [Span(before, end, b"")]
    begin = line_start(text, start)
    alone = not text[begin:start].strip() and not text[end : line_end(text, end)].strip()
    if alone and begin:
        begin = begin - 2 if text[begin - 2 : begin] == b"\r\n" else begin - 1
        return [*spans, Span(begin, line_end(text, end), b"")]
    while comma is not None and text[end : end + 1] in (b" ", b"\t"):
        end += 1
    return [*spans, Span(start, end, b"")]


def _checked(text: bytes, expected: Any) -> bytes:
    if _read(text).value != expected:
        raise Broken("it is written in a way that cannot be edited without changing something else")
    return text
