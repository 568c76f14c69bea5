"""The variants that can be run: catalogue.json, read once. Sizes are bytes, counts are parameters, layers or tokens.

Only repositories in transformers' native layout (`-hf`, `-HF`) are listed: the others run code from their repository.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from vision.errors import UnknownVariant
from vision.types import Frozen

TOKENS_PER_TILE = 256
TOKENS_IN_TOWER = 1025  # 32 x 32 patches of 14 pixels and the class token
Benchmark = Literal["docvqa", "chartqa", "infovqa", "ocrbench", "mathvista", "mmmu", "mvbench", "videomme"]


class VisionShape(Frozen):
    """The vision tower: InternViT-300M or InternViT-6B, for tiles of 448 x 448 pixels."""

    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    attention_bias: bool
    qk_norm: bool
    norm_type: Literal["layer_norm", "rms_norm"]


class TextShape(Frozen):
    """The language model. `experts` is 0 for a dense one; `sliding_window` 0 when every layer sees all tokens."""

    model_type: Literal["qwen2", "qwen3", "qwen3_moe", "llama", "gpt_oss"]
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    experts: int
    experts_per_token: int
    expert_size: int
    sliding_window: int
    max_positions: int


class Parameters(Frozen):
    """`active`: those a token passes through. `fused_experts`: those no quantisation here can touch."""

    total: int
    active: int
    vision: int
    projector: int
    language: int
    fused_experts: int


class WeightBytes(Frozen):
    """float16 weighs as bf16, float32 twice that. None where bitsandbytes would leave the experts as they are."""

    bf16: int
    int8: int | None
    nf4: int | None


class Score(Frozen):
    """A published score, in percent (OCRBench: of 1000), and where it was published."""

    value: float = Field(ge=0)
    source: str

    def percent(self, benchmark: Benchmark) -> float:
        return self.value / 10 if benchmark == "ocrbench" else self.value


class Variant(Frozen):
    """One model. `only_when_named`: why it is not chosen by itself, None where it may be.

    `revision` is None where the repository's commit was not known when the catalogue was made; the one that is pulled
    is recorded beside the weights. `context`: tokens it was trained with.
    """

    name: str
    family: str
    repository: str
    awq_repository: str | None
    revision: str | None
    licence: str
    only_when_named: str | None
    context: int
    vision: VisionShape
    text: TextShape
    parameters: Parameters
    bytes: WeightBytes
    kv_bytes_per_token: int
    scores: dict[Benchmark, Score]

    @property
    def generation(self) -> float:
        """3.5 for InternVL3.5."""
        return float(self.family.removeprefix("InternVL"))


@cache
def variants() -> tuple[Variant, ...]:
    """Every variant: newest generation first, small before large."""
    text = resources.files("vision.variants").joinpath("catalogue.json").read_text(encoding="utf-8")
    return tuple(Variant.model_validate(entry) for entry in json.loads(text)["variants"])


def variant_named(name: str) -> Variant:
    """By name ("InternVL3.5-8B"), short name ("3.5-8B") or repository, in any case. Raises UnknownVariant."""
    wanted = _plain(name)
    for variant in variants():
        if wanted in _names(variant):
            return variant
    known = {short: v.name for v in variants() for short in _names(v)}
    close = difflib.get_close_matches(wanted, known, n=4, cutoff=0.6)
    offered = list(dict.fromkeys(known[match] for match in close)) or [variant.name for variant in variants()]
    lead = "Did you mean" if close else "Known"
    raise UnknownVariant(f"there is no variant {name!r}", f"{lead}: {', '.join(offered)}{'?' if close else '.'}")


def _names(variant: Variant) -> tuple[str, ...]:
    name, repository = _plain(variant.name), _plain(variant.repository)
    return name, name.removeprefix("internvl"), repository, repository.rpartition("/")[2]


def _plain(name: str) -> str:
    return name.strip().lower().replace("3_5", "3.5").replace("2_5", "2.5")
