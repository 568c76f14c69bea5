"""From a JSON Schema (2020-12) to what it asks for. One error for one that cannot be met, refers to itself, or asks for
what is not supported here, before any work is done.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import unquote

from vision.errors import InvalidArgument, LimitExceeded
from vision.schema.bounds import require_bounded
from vision.schema.merging import KINDS, TYPES, Merged, merge, names_values
from vision.schema.shape import Choice, Kind, Leaf, Node, Record, Rows, Words, pointer
from vision.schema.values import misfit

# With everything that is referred to written out.
_MOST_NODES = 500
_DEEPEST = 16


def read_schema(given: dict[str, Any] | str) -> Node:
    """What the schema asks for; `given` may be its JSON text. Takes milliseconds.

    Raises InvalidArgument (no schema, recursive, cannot be met, not supported) and LimitExceeded (too large).
    """
    schema = _parsed(given) if isinstance(given, str) else given
    require_bounded(schema)
    if not isinstance(schema, dict):
        raise InvalidArgument("the schema is no JSON object", 'Give a schema such as {"type": "object", …}.')
    return _Reader(schema).node((schema,), "", Words(), ())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as e:
        raise LimitExceeded("the schema is nested too deeply", "Give one that is flatter.") from e
    except ValueError as e:
        raise InvalidArgument(f"the schema is no JSON: {e}", "Give a JSON Schema as a JSON object.") from e


def _unmet(where: str, why: str) -> NoReturn:
    raise InvalidArgument(f"no value can meet the schema at {where or '/'}: {why}", "Mend the schema there.")


class _Reader:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def node(self, schemas: tuple[Any, ...], where: str, words: Words, trail: tuple[str, ...]) -> Node:
        """The node that meets all of `schemas`. `trail`: the references that led here."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise LimitExceeded(f"the schema asks for more than {_MOST_NODES} values", "Ask for fewer at a time.")
        if where.count("/") > 2 * _DEEPEST:
            raise LimitExceeded(f"the schema asks for values more than {_DEEPEST} levels deep", "Make it flatter.")
        flat: list[tuple[dict[str, Any], tuple[str, ...]]] = []
        for schema in schemas:
            self._flatten(schema, where, trail, flat)
        trail = tuple(dict.fromkeys(name for _, names in flat for name in names)) or trail
        merged = merge([schema for schema, _ in flat], where)
        words = replace(words, title=merged.title or words.title, description=merged.description or words.description)
        if merged.alternatives is not None:
            return self._choice(merged, [schema for schema, _ in flat], where, words, trail)
        return self._plain(merged, where, words, trail)

    def _flatten(
        self, schema: Any, where: str, trail: tuple[str, ...], flat: list[tuple[dict[str, Any], tuple[str, ...]]]
    ) -> None:
        """The schema with what it refers to and what its allOf holds, side by side."""
        if schema is True:
            return
        if schema is False:
            _unmet(where, "it is false")
        if not isinstance(schema, dict):
            raise InvalidArgument(f"at {where or '/'} stands no schema", "A schema is an object, true or false.")
        if len(flat) > _MOST_NODES:
            raise LimitExceeded(f"the schema has too many parts at {where or '/'}", "Make it simpler.")
        flat.append((schema, trail))
        reference = schema.get("$ref")
        if reference is not None:
            if reference in trail:
                raise InvalidArgument(
                    f"the schema is recursive: {reference!r} refers to itself",
                    "Write out as many levels as are wanted.",
                )
            self._flatten(self._referred(reference, where), where, (*trail, reference), flat)
        for part in _list(schema, "allOf", where):
            self._flatten(part, where, trail, flat)

    def _referred(self, reference: Any, where: str) -> Any:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise InvalidArgument(
                f"$ref at {where or '/'} leads out of the schema: {str(reference)[:200]!r}",
                "Put what it refers to under $defs and write #/$defs/NAME: nothing is fetched.",
            )
        found: Any = self._root
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and len(name) < 6 and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise InvalidArgument(
                    f"$ref at {where or '/'}: the schema has no {reference[:200]}", "Define it under $defs."
                )
        return found

    def _choice(
        self, merged: Merged, flat: list[dict[str, Any]], where: str, words: Words, trail: tuple[str, ...]
    ) -> Node:
        """Alternatives, each together with what stands beside them. Those that nothing can meet are left out."""
        keyword, options = merged.alternatives or ("anyOf", [])
        beside = tuple(
            {name: value for name, value in schema.items() if name not in (keyword, "$ref", "allOf")} for schema in flat
        )
        nodes: list[Node] = []
        failed: InvalidArgument | None = None
        for number, option in enumerate(options):
            try:
                nodes.append(self.node((option, *beside), f"{where}/{keyword}/{number}", words, trail))
            except LimitExceeded:
                raise
            except InvalidArgument as e:
                if not e.message.startswith("no value can meet"):
                    raise
                failed = failed or e
        if not nodes:
            raise failed or InvalidArgument(f"{keyword} at {where or '/'} is empty", "Name the alternatives.")
        return _one_of(nodes, words)

    def _plain(self, merged: Merged, where: str, words: Words, trail: tuple[str, ...]) -> Node:
        kinds = merged.kinds
        # Where no type is given null is as good as any, which nobody means.
        nullable = "null" in kinds and not kinds >= TYPES
        if merged.enum is not None:
            return self._leaf(merged, where, words)
        if "object" in kinds and (merged.properties or merged.required):
            return self._record(merged, where, words, trail, nullable)
        if "array" in kinds and (merged.items is not None or kinds <= {"array", "null"}):
            item = self.node((True if merged.items is None else merged.items,), f"{where}/items", Words(), trail)
            if isinstance(item, Leaf) and item.enum is not None and merged.unique and merged.min_items > len(item.enum):
                _unmet(where, f"minItems {merged.min_items} of {len(item.enum)} different values")
            return Rows(words, item, merged.min_items, merged.max_items, merged.unique, nullable)
        if "object" in kinds and not kinds & (set(KINDS) - {"null"}):
            raise InvalidArgument(
                f"the object at {where or '/'} names no properties", "Name those that are wanted under properties."
            )
        return self._leaf(merged, where, words)

    def _record(self, merged: Merged, where: str, words: Words, trail: tuple[str, ...], nullable: bool) -> Record:
        properties: list[tuple[str, Node]] = []
        names = dict.fromkeys((*merged.properties, *merged.required))
        for name in names:
            at = pointer(f"{where}/properties", name)
            if name in merged.forbidden or (merged.closed is not None and name not in merged.closed):
                if name in merged.required:
                    _unmet(where, f"{name!r} is required and not allowed")
                continue
            schemas = merged.properties.get(name, (True,))
            if False in schemas and name not in merged.required:
                continue
            properties.append((name, self.node(tuple(schemas), at, Words(name=name), trail)))
        return Record(words, tuple(properties), frozenset(merged.required), nullable)

    def _leaf(self, merged: Merged, where: str, words: Words) -> Leaf:
        kinds: frozenset[Kind] = frozenset(kind for kind in KINDS if kind in merged.kinds)
        if not kinds and merged.enum is None:
            _unmet(where, "no type is left")
        leaf = Leaf(words, kinds, None, merged.format, tuple(merged.patterns), merged.limits)
        if merged.enum is None:
            return leaf
        names_values(merged.enum, where)
        fitting = tuple(value for value in merged.enum if misfit(leaf, value) is None)
        if not fitting:
            _unmet(where, "none of the values it names fits the rest of it")
        return replace(leaf, enum=fitting)


def _one_of(nodes: list[Node], words: Words) -> Node:
    """The alternatives as one node: null makes the others nullable, plain types become one value of several types."""
    null = [node for node in nodes if isinstance(node, Leaf) and node.kinds == {"null"}]
    rest = [node for node in nodes if node not in null]
    if not rest:
        return replace(nodes[0], words=words)
    plain = [node for node in rest if isinstance(node, Leaf) and node == Leaf(node.words, node.kinds)]
    named = [node for node in rest if isinstance(node, Leaf) and node.enum is not None]
    one: Node
    if len(rest) == 1:
        one = rest[0]
    elif len(plain) == len(rest):
        one = Leaf(words, frozenset(kind for leaf in plain for kind in leaf.kinds))
    elif len(named) == len(rest):
        values = list({json.dumps(value): value for leaf in named for value in leaf.enum or ()}.values())
        one = Leaf(words, frozenset(kind for leaf in named for kind in leaf.kinds), tuple(values))
    else:
        return Choice(words, tuple(rest), bool(null))
    title, description = one.words.title or words.title, one.words.description or words.description
    one = replace(one, words=Words(words.name, title, description))
    if not null:
        return one
    if isinstance(one, Leaf):
        enum = one.enum if one.enum is None or None in one.enum else (*one.enum, None)
        return replace(one, kinds=one.kinds | {"null"}, enum=enum)
    return replace(one, nullable=True)


def _list(schema: dict[str, Any], keyword: str, where: str) -> list[Any]:
    value = schema.get(keyword, [])
    if not isinstance(value, list):
        raise InvalidArgument(f"{keyword} at {where or '/'} is no array", "Mend the schema there.")
    return value
