"""Which of the plans that fit is the best: one total order, the same on every machine.

An order that does not look at the machine is what makes the selector monotonic: more memory, more GPUs or a looser
policy only add plans to choose from, so the best of them cannot get worse.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from vision.variants.catalogue import Benchmark, Variant
from vision.variants.estimate import Build

Goal = Literal["quality", "balanced", "speed"]
Use = Literal["documents", "video", "general"]

_DOCUMENTS: tuple[Benchmark, ...] = ("docvqa", "chartqa", "infovqa", "ocrbench")
_VIDEO: tuple[Benchmark, ...] = ("mvbench", "videomme")
_REASONING: tuple[Benchmark, ...] = ("mmmu", "mathvista")
_GROUPS: dict[Use, tuple[tuple[Benchmark, ...], ...]] = {
    "documents": (_DOCUMENTS,),
    "video": (_VIDEO,),
    "general": (_DOCUMENTS, _VIDEO, _REASONING),
}

# Points taken off a published score when the language model is quantised: what it loses in accuracy (published
# comparisons find about half a point for int8 and one or two for 4 bits), more where its slower steps matter too.
# GGUF's blocks cost less than what bitsandbytes does, and make llama.cpp's steps faster, not slower.
# The balanced ones keep 16 bits where the next larger variant gains little: 8B rather than 14B int8 on 24 GB.
PENALTY: dict[Goal, dict[str, float]] = {
    "quality": {"none": 0.0, "int8": 0.5, "awq": 1.0, "nf4": 1.5, "q8_0": 0.3, "q4_k_m": 1.5},
    "balanced": {"none": 0.0, "int8": 1.2, "awq": 2.5, "nf4": 3.0, "q8_0": 0.3, "q4_k_m": 2.0},
    "speed": {"none": 0.0, "int8": 6.0, "awq": 4.0, "nf4": 6.0, "q8_0": 0.3, "q4_k_m": 2.0},
}
# Parameters a token may pass through: what answers quickly on a GPU when speed is wanted, and what a CPU can bear
# (1B in bfloat16 on two cores: 2.2 s a tile and 13 tokens/s).
_FAST_ON_GPU = 5_000_000_000
_BEARABLE_ON_CPU = 1_200_000_000
SLOW_ON_CPU = 2_500_000_000
# From here on, fewer devices are better than more context.
ENOUGH_RUNG = 3  # 8192 tokens for two at a time


class Rank(NamedTuple):
    """Compared from the left; larger is better."""

    on_gpu: bool
    takes_the_tiles: bool
    fast_enough: bool
    points: float
    generation: float
    bfloat16: bool
    rung: int
    fewer_devices: int
    rung_beyond: int


def published(variant: Variant, use: Use) -> float | None:
    """Mean of the use's benchmarks in percent, each group of them counting the same; None when one is not published."""
    means = []
    for group in _GROUPS[use]:
        values = [variant.scores[name].percent(name) for name in group if name in variant.scores]
        if len(values) < len(group):
            return None
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def points(variant: Variant, quantisation: str, goal: Goal, use: Use) -> float:
    """What the order counts: the published mean less the penalty, to a tenth as scores are published. 0 without one."""
    score = published(variant, use)
    return 0.0 if score is None else round(score - PENALTY[goal][quantisation], 1)


def fast_enough(variant: Variant, on_gpu: bool, goal: Goal) -> bool:
    if not on_gpu:
        return variant.parameters.active <= (SLOW_ON_CPU if goal == "quality" else _BEARABLE_ON_CPU)
    return goal != "speed" or variant.parameters.active <= _FAST_ON_GPU


def rank(build: Build, goal: Goal, use: Use, takes_the_tiles: bool, rung: int, devices: int) -> Rank:
    on_gpu = build.kind != "cpu"
    return Rank(
        on_gpu=on_gpu,
        takes_the_tiles=takes_the_tiles,
        fast_enough=fast_enough(build.variant, on_gpu, goal),
        points=points(build.variant, build.quantisation, goal, use),
        generation=build.variant.generation,
        bfloat16=build.dtype == "bfloat16",
        rung=min(rung, ENOUGH_RUNG),
        fewer_devices=-devices,
        rung_beyond=rung,
    )
