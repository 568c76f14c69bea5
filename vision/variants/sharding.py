"""A variant cut up for a server that spans GPUs: every GPU gets an equal part, unlike the model host's layers by room.

Tensor parallel servers cut each matrix of the language model, heads of its KV cache, and the MLPs of the vision tower;
pipeline parallel ones share out layers. The tower's attention and the projector are counted whole on every GPU: vLLM
replicates them, and which stage holds them differs between servers.
"""

from __future__ import annotations

from typing import NamedTuple

from vision.variants.catalogue import Variant
from vision.variants.estimate import (
    CONTEXT_BYTES,
    FRAGMENTATION,
    WEIGHT_ROUNDING,
    WORKSPACE_BYTES,
    Build,
    Capacity,
    layer_weights,
    prefill_bytes,
    vision_bytes,
    weights_beside_layers,
)
from vision.variants.plan import PartBytes, Quantisation

_AWQ_GROUP = 128  # rows that share a scale: a cut through a group cannot be read


class Sharding(NamedTuple):
    """Parts of each matrix, and stages of layers; `gpus` of one replica is their product."""

    tensor: int
    pipeline: int

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


class Load(NamedTuple):
    """What a server does at once: tiles in the vision tower, tokens of prompts in a step, and bytes that it keeps for
    itself on each GPU.
    """

    tiles: int
    tokens: int
    reserve: int


def tensor_sizes(variant: Variant, quantisation: Quantisation, most: int) -> list[int]:
    """Tensor parallel sizes up to `most` that cut the variant evenly.

    Heads must divide, and KV heads divide or be repeated whole (more GPUs than KV heads); so must the rows of the MLP,
    of an expert and of the tower's MLP. With AWQ a cut must not go through a group of rows.
    """
    return [size for size in range(1, most + 1) if _cuts(variant, quantisation, size)]


def _cuts(variant: Variant, quantisation: Quantisation, size: int) -> bool:
    text, unit = variant.text, size * (_AWQ_GROUP if quantisation == "awq" and size > 1 else 1)
    rows = (text.heads * text.head_dim, text.expert_size or text.intermediate_size)
    return (
        text.heads % size == 0
        and (text.kv_heads % size == 0 or size % text.kv_heads == 0)
        and all(one % unit == 0 for one in rows)
        and variant.vision.intermediate_size % size == 0
    )


def kv_bytes_per_gpu(build: Build, sharding: Sharding) -> int:
    """Bytes of a token's KV on each GPU; a KV head is on at least one."""
    text = build.variant.text
    heads = -(-text.kv_heads // sharding.tensor)
    return 2 * _stage(build, sharding) * heads * text.head_dim * build.width


def shard(build: Build, capacity: Capacity, sharding: Sharding, load: Load, available: int) -> PartBytes:
    """One GPU's bytes. Its KV cache is what the rest leaves of `available`, as in the servers; negative: no room."""
    text, tower = build.variant.text, build.variant.vision
    inside = layer_weights(build) * _stage(build, sharding)
    cut = 2 * text.vocab_size * text.hidden_size + 2 * tower.layers * tower.hidden_size * tower.intermediate_size
    beside = cut * build.width
    repeated = max(1, sharding.tensor // text.kv_heads) - 1
    copies = 2 * text.hidden_size * text.head_dim * text.kv_heads * repeated * _stage(build, sharding) * build.width
    # Each stage is counted as the one that has everything.
    weights = weights_beside_layers(build) - beside + _up(beside + inside + copies, sharding.tensor)
    working = capacity.model_copy(update={"context": max(capacity.context, load.tokens)})
    activations = max(vision_bytes(build, load.tiles), prefill_bytes(build, working, load.tokens))
    features = load.tokens * text.hidden_size * build.width  # of pictures whose prompt is under way
    rounding = int(weights * WEIGHT_ROUNDING + (activations + features) * FRAGMENTATION)
    overhead = CONTEXT_BYTES[build.kind] + WORKSPACE_BYTES[build.kind] + load.reserve + rounding
    pool = available - weights - activations - features - overhead
    return PartBytes(
        device=f"each {'GPU' if build.kind != 'cpu' else 'machine'}",
        weights=weights,
        kv_cache=pool,
        activations=activations,
        caches=features,
        overhead=overhead,
        total=weights + pool + activations + features + overhead,
        available=available,
    )


def _stage(build: Build, sharding: Sharding) -> int:
    """Layers of the fullest stage."""
    return _up(build.variant.text.layers, sharding.pipeline)


def _up(value: int, parts: int) -> int:
    return -(-value // parts)
