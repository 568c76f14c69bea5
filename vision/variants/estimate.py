"""How many bytes a variant takes on each device, part by part. Arithmetic on shapes: nothing is loaded or measured.

A device's bytes are `base_cost` (what it holds whatever its share of the model) and `layer_cost` for each layer of the
language model on it. Beside the layers, the first device holds vision tower, projector, embeddings, final norm and
lm_head. Where figures could go either way they are rounded up; the fraction of free memory that a plan leaves alone is
the second margin.
"""

from __future__ import annotations

from typing import NamedTuple

from vision.types import Frozen
from vision.variants.catalogue import TOKENS_IN_TOWER, TOKENS_PER_TILE, Variant
from vision.variants.plan import DeviceKind, Dtype, PartBytes, Quantisation

MIB = 1 << 20
DTYPE_BYTES: dict[Dtype, int] = {"bfloat16": 2, "float16": 2, "float32": 4}

# What the model host does: tiles that go through the vision tower at once, tokens of a prompt in one forward pass.
VISION_CHUNK: dict[DeviceKind, int] = {"cuda": 8, "xpu": 8, "mps": 8, "cpu": 1}
PREFILL_CHUNK = 2048

# Before any tensor: on a GPU the driver's context with the kernels of torch, cuBLAS and bitsandbytes, on the CPU the
# interpreter with torch and transformers. Estimates, except cpu: 0.45 GiB beside weights was seen on a 1B shape.
CONTEXT_BYTES: dict[DeviceKind, int] = {"cuda": 600 * MIB, "xpu": 600 * MIB, "mps": 400 * MIB, "cpu": 448 * MIB}
WORKSPACE_BYTES: dict[DeviceKind, int] = {"cuda": 64 * MIB, "xpu": 64 * MIB, "mps": 64 * MIB, "cpu": 0}
# torch's allocator: blocks of weights are rounded up to 2 MiB; tensors that come and go leave gaps.
WEIGHT_ROUNDING = 0.005
FRAGMENTATION = 0.05
# AWQ with groups of 128: 4 bits, and a float16 scale and a 4-bit zero a group. nf4: with double quantisation.
AWQ_BITS = 4 + (16 + 4) / 128
NF4_BITS = 4.127
# GGUF, bits a weight: blocks of 32 with a float16 scale; Q4_K with Q6_K for some matrices (llama.cpp's own figure).
GGUF_BITS: dict[Quantisation, float] = {"q8_0": 8.5, "q4_k_m": 4.89}
# Tokens of a prompt that are kept for an answer and a question beside the tiles.
ANSWER_TOKENS = 1024
QUESTION_TOKENS = 256


class Capacity(Frozen):
    """What a plan can take on: see Plan for the words. `prefix_tokens`: tokens whose KV the prefix cache holds."""

    context: int
    batch: int
    max_tiles: int
    max_frames: int
    prefix_tokens: int


class Build(NamedTuple):
    """A variant as it is loaded on a kind of device."""

    variant: Variant
    quantisation: Quantisation
    dtype: Dtype
    kind: DeviceKind

    @property
    def width(self) -> int:
        """Bytes of one number in activations and KV cache."""
        return DTYPE_BYTES[self.dtype]


class Cost(NamedTuple):
    weights: int = 0
    kv_cache: int = 0
    activations: int = 0
    caches: int = 0
    overhead: int = 0

    @property
    def total(self) -> int:
        return sum(self)


def base_cost(build: Build, capacity: Capacity, first: bool, feature_cache: int = 0) -> Cost:
    """A device's bytes without its layers. `feature_cache`: bytes of vision features in this device's memory."""
    weights = weights_beside_layers(build) if first else 0
    activations = _peak_activations(build, capacity, first)
    caches = feature_cache if first else 0
    context = CONTEXT_BYTES[build.kind] + WORKSPACE_BYTES[build.kind]
    return Cost(weights, 0, activations, caches, context + _slack(weights, activations + caches))


def layer_cost(build: Build, capacity: Capacity) -> Cost:
    """One layer of the language model: its weights and its share of KV and prefix cache."""
    weights = layer_weights(build)
    kv_token = kv_bytes_per_token(build) / build.variant.text.layers
    kv = _up(kv_token * capacity.context * capacity.batch)
    prefix = _up(kv_token * capacity.prefix_tokens)
    return Cost(weights, kv, 0, prefix, _slack(weights, kv + prefix))


def part(device: str, base: Cost, layer: Cost, layers: int, available: int) -> PartBytes:
    """The estimate for a device that holds so many layers."""
    cost = Cost(*(b + layers * one for b, one in zip(base, layer, strict=True)))
    return PartBytes(device=device, **cost._asdict(), total=cost.total, available=available)


def kv_bytes_per_token(build: Build) -> int:
    return build.variant.kv_bytes_per_token * build.width // 2


def weights_beside_layers(build: Build) -> int:
    """Vision tower, projector, embeddings, final norm, lm_head: never quantised."""
    return _parameters_beside_layers(build.variant) * build.width


def layer_weights(build: Build) -> int:
    beside = _parameters_beside_layers(build.variant) * 2
    inside = _total_bytes(build.variant, build.quantisation) - beside
    return _up(inside * build.width / 2 / build.variant.text.layers)


def can_be_quantised(variant: Variant) -> bool:
    """bitsandbytes replaces nn.Linear; experts fused into one tensor, as in transformers 5, stay as they are."""
    return variant.bytes.nf4 is not None


def tiles_in(context: int) -> int:
    """Most tiles (beside the thumbnail) of one picture in a prompt of so many tokens with its question and answer."""
    return max(1, (context - ANSWER_TOKENS - QUESTION_TOKENS) // TOKENS_PER_TILE - 1)


def _total_bytes(variant: Variant, quantisation: Quantisation) -> int:
    table = variant.bytes
    if quantisation == "int8" and table.int8 is not None:
        return table.int8
    if quantisation == "nf4" and table.nf4 is not None:
        return table.nf4
    if quantisation == "awq" and table.nf4 is not None:
        linear = (table.bf16 - table.nf4) / (2 - NF4_BITS / 8)
        return _up(table.bf16 - linear * (2 - AWQ_BITS / 8))
    if quantisation in GGUF_BITS:  # of the experts too; embeddings and lm_head are counted at 16 bits, which is more
        inside = variant.parameters.total - _parameters_beside_layers(variant)
        return _up(table.bf16 - inside * (2 - GGUF_BITS[quantisation] / 8))
    return table.bf16


def _parameters_beside_layers(variant: Variant) -> int:
    text = variant.text
    embedding = text.vocab_size * text.hidden_size
    return variant.parameters.vision + variant.parameters.projector + 2 * embedding + text.hidden_size


def _peak_activations(build: Build, capacity: Capacity, first: bool) -> int:
    """Vision tower, prefill and decoding take turns: the largest counts, beside what lives through all of them."""
    growing = kv_bytes_per_token(build) * capacity.context * capacity.batch // build.variant.text.layers
    if not first:
        return prefill_bytes(build, capacity) + growing
    # The prompt's embeddings, the features put into them, and the copy that masked_scatter makes.
    prompt = 3 * capacity.context * build.variant.text.hidden_size * build.width
    return prompt + growing + max(vision_bytes(build), prefill_bytes(build, capacity), _decode(build, capacity))


def vision_bytes(build: Build, tiles: int | None = None) -> int:
    """One layer of the tower on so many tiles at once (the model host's chunk), with SDPA: (tiles, 1025, hidden), no
    attention matrix.

    In the MLP five tensors of the residual's width live beside both halves of the MLP (the layer's input and residual
    and the caller's, the norm); in the attention also q, k, v, and with q/k norms their float32 copies. Both as traced
    by tests/vision/variants/test_traced.py.
    """
    shape = build.variant.vision
    tiles = tiles or VISION_CHUNK[build.kind]
    mlp = 5 * shape.hidden_size + 2 * shape.intermediate_size
    attention = (12 if shape.qk_norm else 8) * shape.hidden_size
    pixels = tiles * 3 * 448 * 448 * (build.width + 4)
    scores = tiles * shape.heads * TOKENS_IN_TOWER**2 * build.width if build.kind == "mps" else 0
    return tiles * TOKENS_IN_TOWER * max(mlp, attention) * build.width + scores + pixels


def prefill_bytes(build: Build, capacity: Capacity, chunk: int = PREFILL_CHUNK) -> int:
    """One layer of the language model on a chunk of one prompt: residual and norms, then attention or MLP."""
    text = build.variant.text
    tokens = min(chunk, capacity.context)
    stream = tokens * text.hidden_size * (4 * build.width + 4)
    mask = tokens * capacity.context * (1 + build.width)
    # With a mask transformers repeats keys and values for every head that shares them.
    repeated = 2 * capacity.context * text.heads * text.head_dim * build.width
    attention = tokens * 2 * (text.heads + text.kv_heads) * text.head_dim * build.width + repeated
    if build.kind == "mps":  # no kernel there is relied on to spare the attention matrix
        attention += tokens * capacity.context * text.heads * build.width
    return stream + mask + max(attention, _mlp(build, tokens))


def _mlp(build: Build, tokens: int) -> int:
    text = build.variant.text
    if text.experts:
        return tokens * text.experts_per_token * (3 * text.hidden_size + 3 * text.expert_size) * build.width
    wide = 3 * tokens * text.intermediate_size * build.width
    if build.quantisation == "none":
        return wide
    # A matrix at a time is brought back to the working type (nf4, awq), or products are kept as int32 (int8).
    unpacked = text.hidden_size * text.intermediate_size * build.width
    return wide + max(unpacked, tokens * text.intermediate_size * 4)


def _decode(build: Build, capacity: Capacity) -> int:
    """Logits of one position a prompt, in the working type and twice in float32 (scores and their softmax)."""
    return capacity.batch * build.variant.text.vocab_size * (build.width + 8)


def _slack(weights: int, moving: int) -> int:
    return _up(weights * WEIGHT_ROUNDING + moving * FRAGMENTATION)


def _up(value: float) -> int:
    return -int(-value // 1)
