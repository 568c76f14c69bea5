"""What was found for a schema, and how it becomes data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vision.schema.shape import Choice, Leaf, Node, Record, pointer
from vision.types import Box

Source = Literal["form", "text", "model"]
NOTHING = "nothing that was read is labelled so"


@dataclass(frozen=True)
class Found:
    """A value, as `text` on the page. `box`: None where only the page is known, `page`: None where not even that."""

    value: Any
    text: str
    page: int | None
    box: Box | None
    confidence: float
    source: Source

    @property
    def unsupported(self) -> bool:
        """A model's value that stands in nothing that was read."""
        return self.source == "model" and self.box is None


@dataclass(frozen=True)
class Missing:
    """Why there is no value."""

    reason: str


@dataclass
class Filling:
    """`values` by JSON Pointer; `counts`: how many items the arrays have; `chosen`: which alternative it is."""

    values: dict[str, Found | Missing] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)

    def found(self, path: str) -> list[Found]:
        """The values found at a path and below it."""
        inside = f"{path}/"
        return [
            value
            for at, value in self.values.items()
            if isinstance(value, Found) and (at == path or at.startswith(inside))
        ]

    def add(self, other: Filling) -> None:
        self.values.update(other.values)
        self.counts.update(other.counts)
        self.chosen.update(other.chosen)


def assemble(node: Node, filling: Filling, errors: dict[str, str], path: str = "") -> Any:
    """The data of the schema's shape: null where nothing was found, with the reason in `errors`."""
    if isinstance(node, Leaf):
        value = filling.values.get(path, Missing(NOTHING))
        if isinstance(value, Missing):
            errors[path] = value.reason
            return None
        return value.value
    if isinstance(node, Choice):
        option = node.options[filling.chosen.get(path, 0)]
        if node.nullable and not filling.found(path):
            errors[path] = NOTHING
            return None
        return assemble(option, filling, errors, path)
    if isinstance(node, Record):
        if node.nullable and not filling.found(path):
            errors[path] = NOTHING
            return None
        return {name: assemble(value, filling, errors, pointer(path, name)) for name, value in node.properties}
    if path not in filling.counts:
        missing = filling.values.get(path)
        errors[path] = missing.reason if isinstance(missing, Missing) else NOTHING
        return None if node.nullable else []
    return [assemble(node.item, filling, errors, pointer(path, place)) for place in range(filling.counts.get(path, 0))]
