"""Keeping a reply within what an agent's context can take, and a cursor for the rest."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from vision.errors import InvalidArgument


def estimate_tokens(text: str) -> int:
    """Tokens that common tokenisers make of `text`, estimated high: 3 ASCII characters or 1 other character each."""
    other = sum(1 for character in text if ord(character) > 127)
    return (len(text) - other) // 3 + other


def tokens_of(value: BaseModel) -> int:
    return estimate_tokens(value.model_dump_json())


class Budget:
    """Counts down the tokens of a reply."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens
        self.spent = 0
        self.full = False

    def take_all(self, *values: BaseModel | str) -> bool:
        """Whether all of `values` still fit; if so, their tokens are spent."""
        cost = sum(estimate_tokens(v) if isinstance(v, str) else tokens_of(v) for v in values)
        if cost > self.left:
            self.full = True
            return False
        self.left -= cost
        self.spent += cost
        return True


def split_text(text: str, tokens: int) -> tuple[str, str]:
    """The longest start of `text` within `tokens`, cut at a line or a space where there is one, and the rest."""
    if estimate_tokens(text) <= tokens:
        return text, ""
    low, high = 0, len(text)
    while low < high:  # estimate_tokens grows with the text, so the cut can be searched for
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate_tokens(text[:middle]) <= tokens else (low, middle - 1)
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, low // 2, low)
        if at > 0:
            low = at + len(mark)
            break
    return text[:low], text[low:]


@dataclass(frozen=True)
class Cursor:
    """A place in a source: `item` counts what was done (pages or lines), `offset` characters into the next one."""

    sha256: str
    item: int
    offset: int = 0

    def encode(self) -> str:
        text = json.dumps([self.sha256[:16], self.item, self.offset])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def start_of(cursor: str | None, sha256: str) -> Cursor:
    """Where to begin. Raises InvalidArgument for a cursor that is broken or of another source."""
    if cursor is None:
        return Cursor(sha256, 0)
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        digest, item, offset = found
    except (binascii.Error, ValueError, TypeError) as e:
        raise InvalidArgument("this cursor is not one of ours", "Pass next_cursor of the last result unchanged.") from e
    if digest != sha256[:16] or not (isinstance(item, int) and isinstance(offset, int) and item >= 0 and offset >= 0):
        raise InvalidArgument(
            "this cursor belongs to another source, or the file has changed since", "Start again without a cursor."
        )
    return Cursor(sha256, item, offset)
