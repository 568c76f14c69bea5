"""An extraction as a reply: data, evidence and errors, in parts where there are more items than fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from tools.common import clipped
from tools.cursor import past_the_end
from tools.paging import LEAST_TOKENS, estimate_tokens, tokens_of
from tools.result import Evidence
from vision.extraction.found import Filling, Found, Missing, assemble
from vision.schema.shape import Choice, Node, Record, Rows, pointer
from vision.schema.validity import complaints
from vision.types import Box

_OVERHEAD_TOKENS = 900
_CHARACTERS = 120


class ValueEvidence(Evidence):
    """Where a value of `data` stands; `text` as it stands there."""

    path: str = Field(description="JSON Pointer into data")
    confidence: float = Field(ge=0, le=1, description="that this is the value: of its label, and of the reading")
    source: Literal["form", "text", "model"] = Field(
        description="form: a form field; text: beside its label or in a table; model: told by the model"
    )


@dataclass(frozen=True)
class Part:
    """`next_item`: how many items of the arrays are done, None when all are."""

    data: Any
    evidence: tuple[ValueEvidence, ...]
    errors: dict[str, str]
    unsupported: tuple[str, ...]
    valid: bool
    next_item: int | None


def part_of(node: Node, filling: Filling, done: int, tokens: int) -> Part:
    """The part of a reply's size that begins with item `done`, counted through all arrays. What is in no array comes
    with each part. Raises InvalidArgument for an item that is not there.
    """
    places = [(path, place) for path in _arrays(node, "") for place in range(filling.counts.get(path, 0))]
    if done and done >= len(places):
        raise past_the_end()
    room = tokens - _OVERHEAD_TOKENS - _cost(node, _renamed(filling, {}))
    taken: list[tuple[str, int]] = []
    for path, place in places[done:]:
        room -= _cost_of_item(filling, pointer(path, place))
        if room < 0 and taken:
            break
        taken.append((path, place))
    end = done + len(taken)
    kept = _kept(places, taken)
    return _part(node, _renamed(filling, kept), end if end < len(places) else None)


def _arrays(node: Node, path: str) -> list[str]:
    """The outermost arrays."""
    if isinstance(node, Rows):
        return [path]
    if isinstance(node, Record):
        return [at for name, inner in node.properties for at in _arrays(inner, pointer(path, name))]
    if isinstance(node, Choice):
        return list(dict.fromkeys(at for option in node.options for at in _arrays(option, path)))
    return []


def _kept(places: list[tuple[str, int]], taken: list[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Of each array the items taken: the first, and how many."""
    kept = {path: (0, 0) for path, _ in places}
    for path, place in taken:
        first, count = kept[path]
        kept[path] = (place if count == 0 else first, count + 1)
    return kept


def _renamed(filling: Filling, kept: dict[str, tuple[int, int]]) -> Filling:
    """The filling with those items alone, counted from 0; of arrays that are not named nothing."""
    part = Filling(chosen=filling.chosen)
    arrays = [path for path in filling.counts if not any(path.startswith(f"{other}/") for other in filling.counts)]

    def moved(path: str) -> str | None:
        for array in arrays:
            if path.startswith(f"{array}/"):
                place, slash, rest = path[len(array) + 1 :].partition("/")
                first, count = kept.get(array, (0, 0))
                inside = first <= int(place) < first + count
                return f"{array}/{int(place) - first}{slash}{rest}" if inside else None
        return path

    part.values = {at: value for path, value in filling.values.items() if (at := moved(path)) is not None}
    part.counts = {at: count for path, count in filling.counts.items() if (at := moved(path)) is not None}
    part.counts.update({array: kept.get(array, (0, 0))[1] for array in arrays})
    return part


def _part(node: Node, filling: Filling, next_item: int | None) -> Part:
    errors: dict[str, str] = {}
    data = assemble(node, filling, errors)
    evidence = tuple(_evidence(path, found) for path, found in filling.values.items() if isinstance(found, Found))
    wrong = dict(complaints(node, data))
    for path, why in wrong.items():
        errors.setdefault(path, why)
    unseen = (at for at, found in filling.values.items() if isinstance(found, Found) and found.unsupported)
    return Part(data, evidence, errors, tuple(unseen), not wrong, next_item)


def _evidence(path: str, found: Found) -> ValueEvidence:
    box: Box | None = None
    if found.box is not None:
        x1, y1, x2, y2 = (float(round(edge)) for edge in found.box)
        box = (x1, y1, x2, y2)
    return ValueEvidence(
        path=path,
        text=clipped(found.text, _CHARACTERS),
        page=found.page,
        box=box,
        confidence=min(1.0, found.confidence),
        source=found.source,
    )


def _cost(node: Node, part: Filling) -> int:
    """Tokens of what is in no array."""
    errors: dict[str, str] = {}
    data = str(assemble(node, part, errors))
    found = sum(tokens_of(_evidence(path, one)) for path, one in part.values.items() if isinstance(one, Found))
    return estimate_tokens(data) + found + sum(tokens_of(path) + tokens_of(why) for path, why in errors.items())


def _cost_of_item(filling: Filling, path: str) -> int:
    cost = LEAST_TOKENS // 6
    for at, value in filling.values.items():
        if at == path or at.startswith(f"{path}/"):
            if isinstance(value, Missing):
                cost += tokens_of(at) + tokens_of(value.reason)
            else:
                cost += tokens_of(_evidence(at, value)) + tokens_of(str(value.value)) + tokens_of(at[len(path) :])
    return cost
