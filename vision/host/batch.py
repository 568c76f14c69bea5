"""Answers that are made side by side, one token each at a step.

Their KV lies in one cache, shorter ones padded on the left. What is padded is masked, and each row counts its own
places, so a row's tokens are those it would have alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from vision.chat.types import Delta, Finished, Usage
from vision.errors import ModelFailed
from vision.host.caches import KV
from vision.host.decoding import Detokeniser, Sampler, likeliest, repeats_itself
from vision.host.grammar import Grammar
from vision.host.model import kv_of
from vision.host.prompt import Prompt
from vision.host.work import Work

if TYPE_CHECKING:
    from transformers import DynamicCache

    from vision.host.model import Model

_CHECK_REPETITION_EVERY = 16
# How an answer ends.
End = Finished | ModelFailed


@dataclass
class Row:
    """One answer in the making. `tokens`: what was picked so far; the last of them is not in the cache yet. `grammar`:
    what the answer is held to.
    """

    work: Work
    prompt: Prompt
    room: int
    ends: frozenset[int]
    sampler: Sampler
    text: Detokeniser
    usage: Usage
    grammar: Grammar | None = None
    tokens: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return len(self.prompt.ids) + len(self.tokens) - 1

    def take(self, token: int | None) -> End | None:
        """Adds the next token and emits its text; what the answer ends with, for the caller to emit, once it ends."""
        if token is None:
            return ModelFailed(
                "the model's numbers overflowed and gave no answer",
                "Choose a dtype with more range (bfloat16 or float32), or another variant.",
            )
        self.tokens.append(token)
        if token in self.ends:
            return self._finish("stop")
        if self.grammar is not None and (error := self.grammar.take(token)) is not None:
            return error
        if piece := self.text.push(token):
            self.work.emit(Delta(text=piece))
        if len(self.tokens) >= self.room:
            return self._finish("length")
        if len(self.tokens) % _CHECK_REPETITION_EVERY == 0 and repeats_itself(self.tokens):
            return self._finish("repetition")
        return None

    def _finish(self, reason: str) -> Finished:
        if piece := self.text.rest():
            self.work.emit(Delta(text=piece))
        usage = self.usage.model_copy(update={"completion_tokens": len(self.tokens)})
        return Finished.model_validate({"reason": reason, "usage": usage})


def pick(rows: list[Row], logits: torch.Tensor) -> list[int | None]:
    """The next token of each row; `logits` (rows, vocabulary). None where there are no numbers to pick by.

    What a row's grammar bars is struck out of `logits`.
    """
    for place, row in enumerate(rows):
        if row.grammar is not None:
            row.grammar.hold(logits[place])
    return [
        row.sampler.draw(logits[place]) if row.sampler.draws and token is not None else token
        for place, (row, token) in enumerate(zip(rows, likeliest(logits), strict=True))
    ]


class Batch:
    """The rows and their common cache. Not for several threads."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.rows: list[Row] = []
        self._cache: DynamicCache | None = None

    def add(self, row: Row, cache: DynamicCache) -> None:
        """Takes a row whose prompt is in `cache` (of one row). When that fails the batch is as before."""
        if self._cache is None:
            self._cache = cache
        else:
            before, width = len(self.rows), self._width()
            try:
                # Layer by layer: of one layer only are the old and the new tensors there at once.
                for layer, more in zip(_layers(self._cache), _layers(cache), strict=True):
                    layer.keys, layer.values = _joined(layer.keys, more.keys), _joined(layer.values, more.values)
            except (RuntimeError, MemoryError):
                for layer in _layers(self._cache):
                    layer.keys, layer.values = (part[:before, :, -width:] for part in (layer.keys, layer.values))
                raise
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
        """When that fails for want of memory it can be done again."""
        if not gone:
            return
        keep = [place for place, row in enumerate(self.rows) if not any(row is other for other in gone)]
        if not keep:
            self.clear()
            return
        assert self._cache is not None
        width = max(self.rows[place].length for place in keep)
        kept = torch.tensor(keep)
        for layer in _layers(self._cache):
            if len(layer.keys) == len(self.rows):
                layer.keys, layer.values = _rows(layer.keys, kept, width), _rows(layer.values, kept, width)
        self.rows = [self.rows[place] for place in keep]

    def clear(self) -> None:
        self.rows, self._cache = [], None

    def step(self) -> list[tuple[Row, End]]:
        """One token more for every row; those that end, still in the batch, and what with (not emitted yet)."""
        assert self._cache is not None
        width = self._width()
        tokens = torch.tensor([[row.tokens[-1]] for row in self.rows])
        places = torch.tensor([[row.length] for row in self.rows])
        pads = [width - row.length for row in self.rows]
        mask = None
        if any(pads):
            mask = (torch.arange(width + 1)[None] >= torch.tensor(pads)[:, None]).long()
        picked = pick(self.rows, self._model.step(tokens, self._cache, mask, places))
        ends = [(row, row.take(token)) for row, token in zip(self.rows, picked, strict=True)]
        return [(row, end) for row, end in ends if end is not None]

    def undo_step(self) -> None:
        """After a step that failed half-way: layers that had already taken the new token lose it again."""
        if not self._model.sliceable:
            return
        assert self._cache is not None
        width = max(row.length for row in self.rows)
        for layer in _layers(self._cache):
            layer.keys, layer.values = layer.keys[:, :, :width], layer.values[:, :, :width]

    def _width(self) -> int:
        assert self._cache is not None
        return self._cache.get_seq_length()


def _layers(cache: DynamicCache) -> list[Any]:
    return cache.layers


def _joined(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(rows, heads, tokens, size) of both, the shorter padded on the left with zeros."""
    width = max(tensor.shape[2], other.shape[2])
    return torch.cat([_padded(tensor, width), _padded(other, width)])


def _padded(tensor: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))


def _rows(tensor: torch.Tensor, kept: torch.Tensor, width: int) -> torch.Tensor:
    return tensor[kept.to(tensor.device), :, -width:]
