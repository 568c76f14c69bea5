"""From logits to tokens to text, and telling when an answer has begun to repeat itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from vision.chat.types import Ask

# What real answers repeat (rows of equal table cells, rulers, dotted lines) stays below these.
_LEAST_REPEATED_TOKENS, _LEAST_REPEATS, _LONGEST_UNIT = 240, 8, 60
# Below it the likeliest token alone has a chance, and dividing by it overflows.
_GREEDY_BELOW = 1e-5
_SEEDS = 1 << 63


def likeliest(logits: torch.Tensor) -> list[int | None]:
    """The likeliest token of each row of (batch, vocabulary), float32; None where a row is no numbers any more.

    One look at the device for all rows: each waits for it.
    """
    best = logits.max(-1)
    values, ids = torch.stack((best.values, best.indices.float())).tolist()  # float32 holds such ids exactly
    return [int(token) if math.isfinite(value) else None for value, token in zip(values, ids, strict=True)]


class Sampler:
    """Draws a token from the likeliest `top_k`, `top_p`; `draws` is False at temperature 0: the likeliest is taken."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.draws = ask.temperature >= _GREEDY_BELOW
        self._random = torch.Generator()
        if ask.seed is not None:
            self._random.manual_seed(ask.seed % _SEEDS)
        else:
            self._random.seed()

    def draw(self, logits: torch.Tensor) -> int:
        """`logits`: (vocabulary,) float32, finite."""
        ask = self._ask
        scores = logits.cpu() / ask.temperature
        ordered, ids = scores.sort(descending=True)
        if ask.top_k:
            ordered, ids = ordered[: ask.top_k], ids[: ask.top_k]
        chances = ordered.softmax(-1)
        # The smallest set whose chances reach top_p: a token stays while those before it have not reached it.
        chances[chances.cumsum(-1) - chances >= ask.top_p] = 0
        return int(ids[torch.multinomial(chances, 1, generator=self._random)])


class Detokeniser:
    """Gives an answer's text piece by piece as its tokens come. Marks such as <box> stay in it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._from = 0  # tokens before are settled; those between give the context that decoding needs
        self._given = 0

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        self._ids.append(token)
        now = self._decoded(self._ids[self._from :])
        return "" if now.endswith("\ufffd") else self._take(now)

    def rest(self) -> str:
        """What was held back."""
        return self._take(self._decoded(self._ids[self._from :]))

    def _take(self, now: str) -> str:
        before = self._decoded(self._ids[self._from : self._given])
        self._from, self._given = self._given, len(self._ids)
        return now[len(before) :]

    def _decoded(self, ids: list[int]) -> str:
        if not ids:
            return ""
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def repeats_itself(tokens: Sequence[int]) -> bool:
    """Whether the answer ends in one unit of up to 60 tokens over and over, for at least 240 tokens and 8 times."""
    for unit in range(1, _LONGEST_UNIT + 1):
        span = max(_LEAST_REPEATED_TOKENS, unit * _LEAST_REPEATS)
        if len(tokens) < span:
            continue
        tail = tokens[-span:]
        if tail[unit:] == tail[:-unit]:
            return True
    return False
