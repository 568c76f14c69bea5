"""From a prompt to its first token: what is known already is looked up, the rest is seen and run in small parts."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vision.cache import ByteBoundedCache
from vision.chat.types import Stage, Usage
from vision.errors import LimitExceeded
from vision.host.batch import Row
from vision.host.caches import PrefixCache
from vision.host.decoding import Detokeniser, Sampler
from vision.host.grammar import Grammar
from vision.host.model import kv_of
from vision.host.prompt import Prompt
from vision.host.work import Work

if TYPE_CHECKING:
    from transformers import DynamicCache

    from vision.host.model import Model
    from vision.variants.plan import Plan

# Tokens of a prompt that are run at once: bounds the memory this takes, and how long others wait for their turn.
_PREFILL_TOKENS = 2048


@dataclass(frozen=True)
class Prepared:
    """A question whose pictures are cut; `since`: when it came, by the monotonic clock. `grammar`: what its answer is
    held to. An attempt that fails for want of memory has not used it yet: it is the row's from the first token on.
    """

    work: Work
    prompt: Prompt
    since: float
    grammar: Grammar | None = None


@dataclass(frozen=True)
class Admitted:
    """A row whose prompt is in `cache`, and the logits (1, vocabulary) for its first token."""

    row: Row
    cache: DynamicCache
    logits: torch.Tensor


class Admission:
    """Keeps features and KV between prompts. Not for several threads."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self._model = model
        self._features: ByteBoundedCache[torch.Tensor] = ByteBoundedCache(plan.feature_cache_bytes)
        self.prefixes = PrefixCache(plan.prefix_cache_bytes if model.sliceable else 0, model.tile.tokens)

    @property
    def feature_bytes(self) -> int:
        return self._features.size

    def run(self, prepared: Prepared) -> Generator[Stage, None, Admitted]:
        """Yields before each part of the work; returns the row. Raises LimitExceeded, Interrupted, torch's errors."""
        work, prompt = prepared.work, prepared.prompt
        room = self._model.context - len(prompt.ids)
        if room < 1:
            raise LimitExceeded(
                f"the prompt has {len(prompt.ids)} tokens; the model is run with a context of {self._model.context}",
                "Ask about fewer pictures, pages or frames at once, or with less detail.",
            )
        prefix = self.prefixes.longest(prompt)
        known = prefix.length if prefix else 0
        seen_before = int(np.count_nonzero(prompt.ids[:known] == prompt.image_id))
        first_tile = seen_before // self._model.tile.tokens
        features, looked_at = yield from self._see(prompt, first_tile)
        cache = self._model.cache(prefix.kv if prefix else None)
        logits = yield from self._prefill(prompt, known, features, cache)
        if self._model.sliceable:
            self.prefixes.put(prompt.keys, prompt.digests, kv_of(cache))
        usage = Usage(
            prompt_tokens=len(prompt.ids),
            cached_tokens=known,
            tiles=len(prompt.digests),
            cached_tiles=len(prompt.digests) - looked_at,
            first_token_s=round(time.monotonic() - prepared.since, 3),
        )
        row = Row(
            work=work,
            prompt=prompt,
            room=min(room, work.ask.max_tokens),
            ends=self._model.ends,
            sampler=Sampler(work.ask),
            text=Detokeniser(self._model.tokenizer),
            usage=usage,
            grammar=prepared.grammar,
        )
        return Admitted(row, cache, logits)

    def _see(self, prompt: Prompt, first: int) -> Generator[Stage, None, tuple[torch.Tensor | None, int]]:
        """(tokens, hidden size): the features of the tiles from `first` on; and how many of them were not known."""
        names = [digest.hex() for digest in prompt.digests]
        found = {name: known for name in names[first:] if (known := self._features.get(name)) is not None}
        # A tile may come several times in one prompt, as in a video that stands still.
        unknown = list(
            {name: place for place, name in enumerate(names) if place >= first and name not in found}.items()
        )
        for begin in range(0, len(unknown), self._model.tiles_at_once):
            yield Stage(name="seeing", done=begin, total=len(unknown))
            part = unknown[begin : begin + self._model.tiles_at_once]
            for (name, _), tile in zip(part, self._model.see(prompt.tiles[[at for _, at in part]]), strict=True):
                found[name] = tile
                self._features.put(name, tile, tile.numel() * tile.element_size())
        return (torch.cat([found[name] for name in names[first:]]) if names[first:] else None), len(unknown)

    def _prefill(
        self, prompt: Prompt, known: int, features: torch.Tensor | None, cache: DynamicCache
    ) -> Generator[Stage, None, torch.Tensor]:
        """Runs the tokens from `known` on; the logits (1, vocabulary) after the last."""
        ids = prompt.ids[known:]
        if features is not None:
            # A known beginning may end within a tile, whose first tokens are then not asked for.
            features = features[len(features) - int(np.count_nonzero(ids == prompt.image_id)) :]
        embedded = self._model.embed(ids, prompt.image_id, features)
        logits: torch.Tensor | None = None
        for begin in range(0, len(ids), _PREFILL_TOKENS):
            yield Stage(name="prefill", done=begin, total=len(ids))
            logits = self._model.prefill(embedded[:, begin : begin + _PREFILL_TOKENS], cache)
        assert logits is not None  # a prompt always has a token that is not known
        return logits

    def forget(self) -> None:
        """Drops everything that was kept, for want of memory."""
        self.prefixes.clear()
        self._features.clear()
