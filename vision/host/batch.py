"""Answers that are made side by side, one token each at a step.

Their KV lies in one cache, shorter ones padded on the left. What is padded is masked, and each row counts its own
places, so a row's tokens are those it would have alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from vision.chat.types import Delta, Finished, Usage
from vision.host.caches import KV
from vision.host.decoding import Detokeniser, Sampler, repeats_itself
from vision.host.model import kv_of
from vision.host.prompt import Prompt
from vision.host.work import Work

if TYPE_CHECKING:
    from transformers import DynamicCache

    from vision.host.model import Model

_CHECK_REPETITION_EVERY = 16


@dataclass
class Row:
    """One answer in the making. `tokens`: what was picked so far; the last of them is not in the cache yet."""

    work: Work
    prompt: Prompt
    room: int
    ends: frozenset[int]
    sampler: Sampler
    text: Detokeniser
    usage: Usage
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return len(self.prompt.ids) + len(self.tokens) - 1

    def take(self, token: int) -> bool:
        """Adds the next token and emits its text; True when the answer is complete."""
        self.tokens.append(token)
        if token in self.ends:
            return self._finish("stop")
        if piece := self.text.push(token):
            self.work.emit(Delta(text=piece))
        if len(self.tokens) >= self.room:
            return self._finish("length")
        if len(self.tokens) % _CHECK_REPETITION_EVERY == 0 and repeats_itself(self.tokens):
            return self._finish("repetition")
        return False

    def _finish(self, reason: str) -> bool:
        if piece := self.text.rest():
            self.work.emit(Delta(text=piece))
        usage = self.usage.model_copy(update={"completion_tokens": len(self.tokens)})
        self.work.emit(Finished.model_validate({"reason": reason, "usage": usage}))
        return True


class Batch:
    """The rows and their common cache. Not for several threads."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.rows: list[Row] = []
        self._cache: DynamicCache | None = None

    def add(self, row: Row, cache: DynamicCache) -> None:
        """Takes a row whose prompt is in `cache` (of one row)."""
        if self._cache is None:
            self._cache = cache
        else:
            pairs = zip(kv_of(self._cache), kv_of(cache), strict=True)
            self._cache = self._model.cache(
                tuple((_joined(keys, more[0]), _joined(values, more[1])) for (keys, values), more in pairs)
            )
        self.rows.append(row)

    def kv(self, row: Row) -> KV:
        """A copy of what the cache holds for the row."""
        assert self._cache is not None
        place, first = self.rows.index(row), self._width() - row.length
        return tuple(
            (keys[place : place + 1, :, first:].clone(), values[place : place + 1, :, first:].clone())
            for keys, values in kv_of(self._cache)
        )

    def remove(self, gone: list[Row]) -> None:
        if not gone:
            return
        keep = [place for place, row in enumerate(self.rows) if not any(row is other for other in gone)]
        self.rows = [self.rows[place] for place in keep]
        if not self.rows:
            self._cache = None
            return
        assert self._cache is not None
        first = self._width() - max(row.length for row in self.rows)
        if self._model.sliceable:
            kept = torch.tensor(keep)
            self._cache = self._model.cache(
                tuple((_rows(keys, kept, first), _rows(values, kept, first)) for keys, values in kv_of(self._cache))
            )

    def step(self) -> list[Row]:
        """One token more for every row; those whose answer is complete, still in the batch."""
        assert self._cache is not None
        width = self._width()
        tokens = torch.tensor([[row.tokens[-1]] for row in self.rows])
        places = torch.tensor([[row.length] for row in self.rows])
        pads = [width - row.length for row in self.rows]
        mask = None
        if any(pads):
            mask = (torch.arange(width + 1)[None] >= torch.tensor(pads)[:, None]).long()
        logits = self._model.step(tokens, self._cache, mask, places)
        likeliest = logits.argmax(-1).tolist()  # for all rows at once: each look at a device waits for it
        return [
            row
            for place, row in enumerate(self.rows)
            if row.take(row.sampler.pick(logits[place]) if row.sampler.draws else likeliest[place])
        ]

    def undo_step(self) -> None:
        """After a step that failed half-way: layers that had already taken the new token lose it again."""
        if not self._model.sliceable:
            return
        assert self._cache is not None
        width = max(row.length for row in self.rows)
        self._cache = self._model.cache(
            tuple((keys[:, :, :width], values[:, :, :width]) for keys, values in kv_of(self._cache))
        )

    def _width(self) -> int:
        assert self._cache is not None
        return self._cache.get_seq_length()


def _joined(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(rows, heads, tokens, size) of both, the shorter padded on the left with zeros."""
    width = max(tensor.shape[2], other.shape[2])
    return torch.cat([_padded(tensor, width), _padded(other, width)])


def _padded(tensor: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))


def _rows(tensor: torch.Tensor, kept: torch.Tensor, first: int) -> torch.Tensor:
    return tensor[kept.to(tensor.device), :, first:]
