"""What was computed once and is kept: vision features by tile content, KV by prompt prefix. Both bounded in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vision.host.prompt import Prompt

if TYPE_CHECKING:
    import torch

# One (keys, values) pair a layer, each (1, key heads, tokens, head size).
KV = tuple[tuple["torch.Tensor", "torch.Tensor"], ...]
# Reusing less costs more in copying than it saves.
_LEAST_TOKENS = 16


@dataclass(frozen=True)
class Prefix:
    """KV of the first `length` tokens of a prompt."""

    kv: KV
    length: int


@dataclass(eq=False)
class _Entry:
    keys: np.ndarray
    digests: tuple[bytes, ...]
    kv: KV
    size: int


class PrefixCache:
    """KV of earlier prompts and answers, least recently used dropped first. Not for several threads."""

    def __init__(self, capacity_bytes: int, tokens_a_tile: int) -> None:
        self.capacity = capacity_bytes
        self._tokens_a_tile = tokens_a_tile
        self._entries: list[_Entry] = []  # least recently used first

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self._entries)

    def clear(self) -> None:
        self._entries.clear()

    def longest(self, prompt: Prompt) -> Prefix | None:
        """The longest known beginning of the prompt, short of its last token (which has to be computed for its logits).

        The tensors are views of the cache's own: they must not be written to.
        """
        best, length = None, _LEAST_TOKENS - 1
        for entry in self._entries:
            common = self._common(entry, prompt)
            if common > length:
                best, length = entry, common
        length = min(length, len(prompt.ids) - 1)
        if best is None or length < _LEAST_TOKENS:
            return None
        self._entries.remove(best)
        self._entries.append(best)
        return Prefix(tuple((keys[:, :, :length], values[:, :, :length]) for keys, values in best.kv), length)

    def _common(self, entry: _Entry, prompt: Prompt) -> int:
        most = min(len(entry.keys), len(prompt.keys))
        different = np.flatnonzero(entry.keys[:most] != prompt.keys[:most])
        common = int(different[0]) if len(different) else most
        # Keys hold a part of each digest only: the whole ones decide.
        tiles = np.flatnonzero(prompt.keys[:common] < 0)
        for tile in range(-(-len(tiles) // self._tokens_a_tile)):
            if entry.digests[tile] != prompt.digests[tile]:
                return int(tiles[tile * self._tokens_a_tile])
        return common

    def put(self, keys: np.ndarray, digests: tuple[bytes, ...], kv: KV) -> None:
        """Keeps KV for `keys` (as in `Prompt.keys`), in place of entries that are a beginning of it."""
        size = sum(part.numel() * part.element_size() for pair in kv for part in pair)
        known = any(
            len(entry.keys) > len(keys) and np.array_equal(entry.keys[: len(keys)], keys) for entry in self._entries
        )
        if size > self.capacity or known:
            return
        self._entries = [entry for entry in self._entries if not _begins(keys, entry.keys)]
        self._entries.append(_Entry(keys, digests, kv, size))
        while self.size > self.capacity:
            self._entries.pop(0)


def _begins(keys: np.ndarray, beginning: np.ndarray) -> bool:
    return len(beginning) <= len(keys) and np.array_equal(keys[: len(beginning)], beginning)
