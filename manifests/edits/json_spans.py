"""Where the members of a JSON text with comments and trailing commas stand. What they mean, `json` says.

A scanner of our own: JSON's words are six signs, strings, and what is between, and `json` judges all of them. The
parsers that give spans refuse some of it (tree-sitter-json: trailing commas, and numbers such as 1e+5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NoReturn

from manifests.edits.text import Broken

_TOKENS = re.compile(
    rb'(?P<string>"(?:[^"\\]|\\.)*")|(?P<comment>//[^\r\n]*|/\*.*?\*/)|(?P<sign>[{}\[\],:])|(?P<other>[^\s"{}\[\],:/]+|[/"])',
    re.DOTALL,
)


@dataclass(frozen=True)
class Value:
    """Bytes `start` to `end`. `members` are those of an object, None for anything else."""

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


@dataclass(frozen=True)
class _Token:
    kind: str
    start: int
    end: int
    sign: bytes


@dataclass
class _Open:
    """An object or list whose end has not come yet."""

    start: int
    is_object: bool
    key: _Token | None = None
    members: list[Member] = field(default_factory=list)


def scan(text: bytes) -> Scanned:
    """Raises Broken where it is not JSON, even with comments and trailing commas."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Broken(f"it is not UTF-8 text (byte {e.start})") from e
    found = [_token(match) for match in _TOKENS.finditer(text)]
    comments = tuple((token.start, token.end) for token in found if token.kind == "comment")
    tokens = [token for token in found if token.kind != "comment"]
    if not tokens:
        return Scanned(None, {}, comments)
    signs = [b"", *(token.sign for token in tokens)]
    trailing = [
        (token.start, token.end)
        for before, (token, after) in zip(signs, pairwise(tokens), strict=False)
        if token.sign == b"," and after.sign in (b"}", b"]") and before not in (b"{", b"[", b",")
    ]
    meaning = _loaded(_blanked(text, [*comments, *trailing]))
    return Scanned(_root(text, tokens), meaning, comments)


def _token(match: re.Match[bytes]) -> _Token:
    kind = match.lastgroup or ""
    return _Token(kind, match.start(), match.end(), match[0] if kind == "sign" else b"")


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
    value = Value(0, 0)
    for token in tokens:
        around = opened[-1]
        if token.sign in (b"{", b"["):
            opened.append(_Open(token.start, token.sign == b"{"))
            continue
        if token.sign in (b",", b":"):
            if token.sign == b"," and around.members:
                last = around.members[-1]
                around.members[-1] = Member(last.key, last.start, last.value, token.start)
            continue
        if token.kind == "string" and around.is_object and around.key is None:
            around.key = token
            continue
        value = Value(token.start, token.end)
        if token.sign:
            done = opened.pop()
            value = Value(done.start, token.end, tuple(done.members) if done.is_object else None)
            around = opened[-1]
        if around.key is not None:
            key, around.key = around.key, None
            around.members.append(Member(json.loads(text[key.start : key.end]), key.start, value, None))
    return value
