"""TOML: one table added, changed or removed, every other byte as it was.

tree-sitter says where things stand, tomllib what they mean; each edit is read again before anybody gets it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, NamedTuple

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from manifests.edits.meaning import Path, with_value, without
from manifests.edits.text import Broken, Span, after_line, applied, indent_at, line_end, line_start, newline_of


class _Read(NamedTuple):
    text: bytes
    root: Node
    value: dict[str, Any]


class _Pair(NamedTuple):
    """`key = value`, with the whole path that it sets; `inline`: the inline table that it stands in, or None."""

    node: Node
    path: Path
    inline: Node | None

    @property
    def value(self) -> Node:
        return self.node.named_children[1]

    @property
    def above(self) -> int:
        """How many parts of the path the header around it says."""
        return len(self.path) - len(_key(self.node.named_children[0]))


def meaning(text: bytes) -> Any:
    """What the text says. Raises Broken."""
    return _read(text).value


def has_comments(text: bytes) -> bool:
    return any(node.type == "comment" for node in _all(_read(text).root))


def put(text: bytes, path: Path, value: Any) -> bytes:
    """The text with `value` at `path`: a table of its own at the end where there was none. Raises Broken, WrongType."""
    read = _read(text)
    expected = with_value(read.value, path, value)
    return _checked(applied(text, _put(read, path, value)), expected)


def take(text: bytes, path: Path, made: Collection[Path] = ()) -> bytes:
    """The text without what stands at `path`. A table around it that was only written with it goes with it, so `made`
    matters only for one that stands there by itself.
    """
    read = _read(text)
    expected = without(read.value, path)
    spans = _without(read, path)
    if not spans:
        return text
    new = applied(text, spans)
    found = _read(new).value
    if len(path) > 1 and path[0] not in found and expected.get(path[0]) == {}:
        expected = without(expected, path[:1])
    return _checked(new, expected)


def _read(text: bytes) -> _Read:
    try:
        value = tomllib.loads(text.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise Broken(f"it is not UTF-8 text (byte {e.start})") from e
    except tomllib.TOMLDecodeError as e:
        raise Broken(f"it is not valid TOML: {e}") from e
    except RecursionError as e:
        raise Broken("it is nested too deeply") from e
    root = _parser().parse(text).root_node
    if root.has_error:
        raise Broken("it is not TOML that can be edited safely")
    return _Read(text, root, value)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_toml.language()))


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)


def _key(node: Node) -> Path:
    """The parts of a key, which may be dotted and quoted."""
    values = tomllib.loads(f"{(node.text or b'').decode()} = 0")
    parts: list[str] = []
    while isinstance(values, dict):
        [(part, values)] = values.items()
        parts.append(part)
    return tuple(parts)


def _header(table: Node) -> Path:
    return _key(table.named_children[0])


def _pairs(read: _Read) -> Iterator[_Pair]:
    for node in read.root.named_children:
        if node.type == "pair":
            yield from _with_inline(node, (), None)
        elif node.type == "table":
            for pair in _own_pairs(node):
                yield from _with_inline(pair, _header(node), None)


def _with_inline(node: Node, before: Path, inline: Node | None) -> Iterator[_Pair]:
    pair = _Pair(node, before + _key(node.named_children[0]), inline)
    yield pair
    if pair.value.type == "inline_table":
        for child in _own_pairs(pair.value):
            yield from _with_inline(child, pair.path, pair.value)


def _own_pairs(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type == "pair"]


def _tables(read: _Read, path: Path) -> list[Node]:
    """The tables at and below a path."""
    return [
        node
        for node in read.root.named_children
        if node.type in ("table", "table_array_element") and _header(node)[: len(path)] == path
    ]


def _put(read: _Read, path: Path, value: Any) -> list[Span]:
    pairs = list(_pairs(read))
    there = next((pair for pair in pairs if pair.path == path), None)
    if there is not None:
        return [Span(there.value.start_byte, there.value.end_byte, _rendered(value))]
    around = next((pair for pair in pairs if pair.path == path[:-1] and pair.value.type == "inline_table"), None)
    if around is not None:
        return [_into_inline(around.value, path[-1], value)]
    own = next((table for table in _tables(read, path[:-1]) if _header(table) == path[:-1]), None)
    if not isinstance(value, dict):
        return [_key_of_table(read, pairs, own, path, value)]
    gone = _without(read, path)
    return [*gone, Span(len(read.text), len(read.text), _new_table(read.text, path, value))]


def _into_inline(table: Node, key: str, value: Any) -> Span:
    pairs = _own_pairs(table)
    written = _rendered_key(key) + b" = " + _rendered(value)
    if pairs:
        return Span(pairs[-1].end_byte, pairs[-1].end_byte, b", " + written)
    return Span(table.start_byte + 1, table.end_byte - 1, b" " + written + b" ")


def _key_of_table(read: _Read, pairs: list[_Pair], own: Node | None, path: Path, value: Any) -> Span:
    """Into the table that has this header; else beside a dotted key, which lets its table have no header; else under a
    header that is new.
    """
    if own is not None:
        return _into_table(read, own, path[-1], value)
    dotted = next((pair for pair in pairs if pair.path[: len(path) - 1] == path[:-1] and pair.above < len(path)), None)
    if dotted is None:
        end = len(read.text)
        return Span(end, end, _new_table(read.text, path[:-1], {path[-1]: value}))
    written = b".".join(_rendered_key(part) for part in path[dotted.above :]) + b" = " + _rendered(value)
    if dotted.inline is not None:
        return Span(dotted.node.end_byte, dotted.node.end_byte, b", " + written)
    end = line_end(read.text, dotted.node.end_byte)
    return Span(end, end, newline_of(read.text) + indent_at(read.text, dotted.node.start_byte) + written)


def _into_table(read: _Read, table: Node, key: str, value: Any) -> Span:
    """Below its last pair, or its header."""
    pairs = _own_pairs(table)
    end = line_end(read.text, pairs[-1].end_byte if pairs else table.named_children[0].end_byte)
    return Span(end, end, newline_of(read.text) + _rendered_key(key) + b" = " + _rendered(value))


def _new_table(text: bytes, path: Path, value: Any) -> bytes:
    newline = newline_of(text)
    begin = b""
    if text.strip():
        begin = newline if text.endswith(b"\n") else newline * 2
    lines = [b"[" + b".".join(_rendered_key(key) for key in path) + b"]"]
    lines += [_rendered_key(key) + b" = " + _rendered(item) for key, item in value.items()]
    return begin + b"".join(line + newline for line in lines)


def _without(read: _Read, path: Path) -> list[Span]:
    text = read.text
    spans = [_table_span(text, table) for table in _tables(read, path)]
    inside = [(span.start, span.end) for span in spans]
    for pair in _pairs(read):
        if pair.path[: len(path)] != path or any(start <= pair.node.start_byte < end for start, end in inside):
            continue
        span = _pair_span(text, pair)
        spans.append(span)
        inside.append((span.start, span.end))
    return spans


def _table_span(text: bytes, table: Node) -> Span:
    """From its header to the end of its last line; the blank line that sets it apart goes with it.

    What follows the last pair, comments and blank lines, belongs to the next table or to nobody.
    """
    pairs = _own_pairs(table)
    start = line_start(text, table.start_byte)
    end = after_line(text, pairs[-1].end_byte if pairs else table.named_children[0].end_byte)
    apart = text[:start].removesuffix(b"\n").removesuffix(b"\r")
    next_line = text[end : after_line(text, end)]
    if apart.endswith(b"\n") and not next_line.strip():
        start = len(apart)
    return Span(start, end, b"")


def _pair_span(text: bytes, pair: _Pair) -> Span:
    node = pair.node
    if pair.inline is None:
        return Span(line_start(text, node.start_byte), after_line(text, node.end_byte), b"")
    pairs = _own_pairs(pair.inline)
    index = pairs.index(node)
    if index:
        return Span(pairs[index - 1].end_byte, node.end_byte, b"")
    if len(pairs) > 1:
        return Span(node.start_byte, pairs[1].start_byte, b"")
    return Span(pair.inline.start_byte + 1, pair.inline.end_byte - 1, b"")


def _rendered_key(key: str) -> bytes:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key.encode() if bare else _rendered(key)


def _rendered(value: Any) -> bytes:
    """Texts as TOML's basic strings, which escape as JSON does, and the delete character too."""
    if isinstance(value, dict):
        return b"{ " + b", ".join(_rendered_key(k) + b" = " + _rendered(v) for k, v in value.items()) + b" }"
    if isinstance(value, list):
        return b"[" + b", ".join(_rendered(item) for item in value) + b"]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").encode()


def _checked(text: bytes, expected: dict[str, Any]) -> bytes:
    if _comparable(_read(text).value) != _comparable(expected):
        raise Broken("it is written in a way that cannot be edited without changing something else")
    return text


def _comparable(value: dict[str, Any]) -> str:
    """A number may be nan, which equals nothing."""
    return json.dumps(value, sort_keys=True, default=repr)
