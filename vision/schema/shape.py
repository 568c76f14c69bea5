"""What a schema asks for: a tree of values, with everything inlined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["string", "number", "integer", "boolean", "null"]


@dataclass(frozen=True)
class Words:
    """How the schema speaks of a value: the property's name ("" for none), its title, its description."""

    name: str = ""
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class Limits:
    """None: no limit. Lengths in characters."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Leaf:
    """One value. `kinds`: of which it may be; `enum`: the values it may have, None for any."""

    words: Words
    kinds: frozenset[Kind]
    enum: tuple[Any, ...] | None = None
    format: str | None = None
    patterns: tuple[str, ...] = ()
    limits: Limits = Limits()

    @property
    def nullable(self) -> bool:
        return "null" in self.kinds and (self.enum is None or None in self.enum)


@dataclass(frozen=True)
class Record:
    """An object: its properties in the schema's order."""

    words: Words
    properties: tuple[tuple[str, Node], ...]
    required: frozenset[str] = field(default=frozenset())
    nullable: bool = False


@dataclass(frozen=True)
class Rows:
    """An array."""

    words: Words
    item: Node
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Choice:
    """One of several: the first that fits."""

    words: Words
    options: tuple[Node, ...]
    nullable: bool = False


Node = Leaf | Record | Rows | Choice


def phrases(node: Node) -> Iterator[str]:
    """All the words of the tree, for finding the pages that speak of them."""
    yield from (part for part in (node.words.title or node.words.name, node.words.description) if part)
    if isinstance(node, Record):
        for _, value in node.properties:
            yield from phrases(value)
    elif isinstance(node, Rows):
        yield from phrases(node.item)
    elif isinstance(node, Choice):
        for option in node.options:
            yield from phrases(option)


def pointer(path: str, step: str | int) -> str:
    """A JSON Pointer (RFC 6901) one step further."""
    return f"{path}/{str(step).replace('~', '~0').replace('/', '~1')}"
