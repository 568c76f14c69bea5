"""Where the members of a JSON text with comments and trailing commas stand. What they mean, `json` says.

A scanner of our own: JSON's words are six signs, strings, and what is between, and `json` judges all of them. The
parsers that give spans refuse some of it (tree-sitter-json: trailing commas, and numbers such as 1e+5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from manifests.edits.text import Broken

# A string, a comment, a sign, any other word; then what is none of these and makes the text broken.
_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|//[^\r\n]*|/\*.*?\*/|[{}\[\],:]|[^\s"{}\[\],:/]+|[/"]', re.DOTALL)
_STRING, _SLASH, _COMMA, _COLON = b'"/,:'
_OPEN, _CLOSE, _OBJECT = b"{[", b"}]", b"{"[0]
# Members are told down to here, which is as deep as entries stand: of large files most is deeper.
_DEPTH = 4


@dataclass(frozen=True)
class Value:
    """Bytes `start` to `end`. `members` are those of an object, None for anything else, and () of one far inside."""

    start: int
    end: int
    members: tuple[Member, ...] | None = None


@dataclass(frozen=True)
class Member:
    """`key: value`. `start` is where its key begins, `comma` where the comma after it stands, if there is one."""

    key: str
    start: int
    value: Value
    comma: int | None

    @property
    def end(self) -> int:
        return self.value.end


@dataclass(frozen=True)
class Scanned:
    """`root` is None where nothing but blanks and comments stands; `comments` are spans."""

    root: Value | None
    meaning: Any
    comments: tuple[tuple[int, int], ...]


class _Token(NamedTuple):
    """`first` is the byte that it begins with."""

    first: int
    start: int
    end: int


@dataclass
class _Open:
    """An object or list whose end has not come yet."""

    start: int
    is_object: bool
    key: _Token | None = None
    members: list[Member] = field(default_factory=list)


@lru_cache(maxsize=4)  # each file is read several times on its way: what it says, the edit, the check of it
def scan(text: bytes) -> Scanned:
    """Raises Broken where it is not JSON, even with comments and trailing commas."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Broken(f"it is not UTF-8 text (byte {e.start})") from e
    found = [_Token(text[match.start()], *match.span()) for match in _TOKENS.finditer(text)]
    comments = [token for token in found if token.first == _SLASH and token.end - token.start > 1]
    tokens = [token for token in found if token.first != _SLASH] if comments else found
    places = tuple((token.start, token.end) for token in comments)
    if not tokens:
        return Scanned(None, {}, places)
    trailing = [
        (token.start, token.end)
        for (before, token), after in zip(pairwise(tokens), tokens[2:], strict=False)
        if token.first == _COMMA and after.first in _CLOSE and before.first not in (*_OPEN, _COMMA)
    ]
    meaning = _loaded(_blanked(text, [*places, *trailing]) if places or trailing else text)
    return Scanned(_root(text, tokens), meaning, places)


def _blanked(text: bytes, spans: Collection[tuple[int, int]]) -> bytes:
    """Of the same length: places in errors stay those of the file."""
    blank = bytearray(text)
    for start, end in spans:
        blank[start:end] = re.sub(rb"[^\r\n]", b" ", text[start:end])
    return bytes(blank)


def _loaded(text: bytes) -> Any:
    def refuse(name: str) -> NoReturn:
        raise Broken(f"{name} is no JSON value")

    try:
        return json.loads(text.decode(), parse_constant=refuse)
    except json.JSONDecodeError as e:
        raise Broken(f"it is not valid JSON: {e.msg} in line {e.lineno}, column {e.colno}") from e
    except RecursionError as e:
        raise Broken("it is nested too deeply") from e
    except ValueError as e:  # a number of thousands of digits
        raise Broken(f"it is not valid JSON: {e}") from e


def _root(text: bytes, tokens: list[_Token]) -> Value:
    """Of tokens that are valid JSON but for trailing commas."""
    opened = [_Open(0, is_object=False)]
    value, deeper = Value(0, 0), 0
    for token in tokens:
        if deeper:
            deeper += 1 if token.first in _OPEN else -1 if token.first in _CLOSE else 0
            if deeper:
                continue
        elif token.first in _OPEN:
            opened.append(_Open(token.start, token.first == _OBJECT))
            deeper = len(opened) > _DEPTH
            continue
        around = opened[-1]
        if token.first == _COMMA and around.members:
            around.members[-1] = replace(around.members[-1], comma=token.start)
        elif token.first == _STRING and around.is_object and around.key is None:
            around.key = token
        elif token.first not in (_COMMA, _COLON):
            value = Value(token.start, token.end)
            if token.first in _CLOSE:
                done = opened.pop()
                value = Value(done.start, token.end, tuple(done.members) if done.is_object else None)
            _take_in(text, opened[-1], value)
    return value


def _take_in(text: bytes, around: _Open, value: Value) -> None:
    """The value of the key that came before it; of a list nothing is told."""
    if around.key is not None:
        key, around.key = around.key, None
        around.members.append(Member(json.loads(text[key.start : key.end]), key.start, value, None))
