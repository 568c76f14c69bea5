"""Keeping a reply within what an agent's context can take: texts and tables in parts, whatever their size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from pydantic import BaseModel

from tools.cursor import past_the_end
from vision.types import Frozen, TextTable

# A reply that holds nothing else takes at least so much of a text, however little was left: it must get on.
LEAST_TOKENS = 60


def estimate_tokens(text: str) -> int:
    """Tokens that common tokenisers make of `text`, estimated high: 3 ASCII characters or 1 other character each."""
    other = sum(1 for character in text if ord(character) > 127)
    return (len(text) - other) // 3 + other


def tokens_of(value: BaseModel | str | Sequence[str]) -> int:
    """What `value` costs in a reply, which is JSON."""
    if isinstance(value, BaseModel):
        return estimate_tokens(value.model_dump_json())
    return estimate_tokens(json.dumps(value, ensure_ascii=False))


class Budget:
    """Counts down the tokens of a reply."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens
        self.spent = 0
        self.full = False

    def take_all(self, *values: BaseModel | str) -> bool:
        """Whether all of `values` still fit; if so, their tokens are spent."""
        cost = sum(tokens_of(v) for v in values)
        if cost > self.left:
            self.full = True
            return False
        self.spend(cost)
        return True

    def spend(self, cost: int) -> None:
        """Counts what is in the reply in any case."""
        self.left -= cost
        self.spent += cost


def split_text(text: str, tokens: int) -> tuple[str, str]:
    """The longest start of `text` within `tokens`, cut at a line or a space where there is one, and the rest."""
    low, high = 0, min(len(text), 3 * max(tokens, 0) + 2)
    while low < high:  # the cost grows with the text, so the cut can be searched for
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens_of(text[:middle]) <= tokens else (low, middle - 1)
    if low == len(text):
        return text, ""
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, low // 2, low)
        if at > 0:
            low = at + len(mark)
            break
    return text[:low], text[low:]


@dataclass(frozen=True)
class At:
    """A place in a sequence: so many items are done, of the next one so many rows (of a table), then characters."""

    item: int = 0
    row: int = 0
    character: int = 0


T = TypeVar("T", bound=Frozen)


def fill(
    items: Sequence[T], start: At, budget: Budget, *, copies: int = 1, empty: bool = True
) -> tuple[list[T], At | None]:
    """The items from `start` on that fit, and where the next reply begins: None when all are given.

    A table is cut between rows. A text is cut only when it opens the reply (`empty`: nothing came before) and does not
    fit in it; so is a table's row, whose parts have text in some cells and "" in the others. Followed to its end, this
    gives everything once; each reply gets on. `copies`: how often a text stands in the reply.

    Raises InvalidArgument for a place that is not there.
    """
    _check(items, start)
    parts: list[T] = []
    at: At | None = start
    while at is not None and at.item < len(items):
        item, before = items[at.item], at
        opens = empty and not parts
        if isinstance(item, TextTable):
            part, at = _table_part(item, before, budget, opens)
        else:
            part, at = _text_part(item, before, budget, copies, opens)
        if part is None:
            return parts, before
        parts.append(cast(T, part))
        if at.item == before.item:
            return parts, at
    return parts, None


def _check(items: Sequence[Frozen], at: At) -> None:
    if at == At():
        return
    if at.item >= len(items):
        raise past_the_end()
    item = items[at.item]
    if isinstance(item, TextTable):
        inside = at.row < len(item.rows) and at.character < max(1, sum(map(len, item.rows[at.row])))
    else:
        inside = at.row == 0 and at.character < max(1, len(_text_of(item)))
    if not inside:
        raise past_the_end()


def _text_of(item: Frozen) -> str:
    return str(getattr(item, "text"))  # noqa: B009


def _text_part(item: Frozen, at: At, budget: Budget, copies: int, opens: bool) -> tuple[Frozen | None, At]:
    rest = _text_of(item)[at.character :]
    whole = item.model_copy(update={"text": rest})
    if budget.take_all(whole, *[rest] * (copies - 1)):
        return whole, At(at.item + 1)
    if not opens:
        return None, at
    frame = tokens_of(item.model_copy(update={"text": ""}))
    first, more = split_text(rest, max((budget.left - frame) // copies, LEAST_TOKENS))
    budget.spend(frame + copies * tokens_of(first))
    return (
        item.model_copy(update={"text": first}),
        At(at.item, 0, at.character + len(first)) if more else At(at.item + 1),
    )


def _table_part(table: TextTable, at: At, budget: Budget, opens: bool) -> tuple[TextTable | None, At]:
    frame = tokens_of(table.model_copy(update={"rows": ()}))
    room = budget.left - frame
    rows: list[tuple[str, ...]] = []
    place = at
    while place.row < len(table.rows):
        row, _ = split_row(table.rows[place.row], place.character, None)
        cost = tokens_of(row) + 1
        if cost > room:
            break
        room -= cost
        rows.append(row)
        place = At(at.item, place.row + 1)
    if not rows and table.rows:
        if not opens:
            budget.full = True
            return None, at
        first, taken = split_row(table.rows[at.row], at.character, max(room, LEAST_TOKENS))
        rows, place = [first], _after_row(table.rows[at.row], at, taken)
        room -= tokens_of(first)
    budget.spend(budget.left - room)
    return table.model_copy(update={"rows": tuple(rows)}), At(at.item + 1) if place.row >= len(table.rows) else place


def _after_row(row: tuple[str, ...], at: At, taken: int) -> At:
    done = at.character + taken
    return At(at.item, at.row + 1) if done >= sum(map(len, row)) else At(at.item, at.row, done)


def split_row(row: tuple[str, ...], skip: int, tokens: int | None) -> tuple[tuple[str, ...], int]:
    """The row without its first `skip` characters, counted through its cells, cut to `tokens`, and how many it has."""
    cells: list[str] = []
    taken = 0
    for cell in row:
        rest, skip = cell[skip:], max(0, skip - len(cell))
        first = rest if tokens is None else split_text(rest, tokens)[0]
        cells.append(first)
        taken += len(first)
        if tokens is not None:
            tokens = tokens - tokens_of(first) if first == rest else 0
    return tuple(cells), taken
