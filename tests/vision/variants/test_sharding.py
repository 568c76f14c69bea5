from __future__ import annotations

import pytest

from vision.variants.catalogue import Variant, variant_named, variants
from vision.variants.estimate import (
    Build,
    Capacity,
    kv_bytes_per_token,
    layer_weights,
    weights_beside_layers,
)
from vision.variants.plan import Quantisation
from vision.variants.sharding import Load, Sharding, kv_bytes_per_gpu, shard, tensor_sizes

CAPACITY = Capacity(context=8192, batch=1, max_tiles=12, max_frames=8, prefix_tokens=0)
LOAD = Load(tiles=13, tokens=4096, reserve=1 << 30)
GPU = 80 << 30


def whole(variant: Variant, quantisation: Quantisation = "none") -> Build:
    return Build(variant, quantisation, "bfloat16", "cuda")


def weights(build: Build) -> int:
    return weights_beside_layers(build) + build.variant.text.layers * layer_weights(build)


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_one_gpu_holds_the_whole_and_several_hold_no_less_together(variant: Variant):
    build = whole(variant)
    assert shard(build, CAPACITY, Sharding(1, 1), LOAD, GPU).weights == weights(build)
    last = weights(build) + 1
    for size in tensor_sizes(variant, "none", 16):
        part = shard(build, CAPACITY, Sharding(size, 1), LOAD, GPU)
        assert weights(build) <= part.weights * size and part.weights < last
        last = part.weights


@pytest.mark.parametrize(
    "variant", [v for v in variants() if not v.text.sliding_window], ids=lambda variant: variant.name
)
def test_kv_heads_are_divided_or_repeated(variant: Variant):
    build = whole(variant)
    token = kv_bytes_per_token(build)
    assert kv_bytes_per_gpu(build, Sharding(1, 1)) == token
    for size in tensor_sizes(variant, "none", 16):
        one = kv_bytes_per_gpu(build, Sharding(size, 1))
        assert one * min(size, variant.text.kv_heads) == token
        for stages in (2, 3, 8):
            assert kv_bytes_per_gpu(build, Sharding(size, stages)) * stages >= one


def test_parts_add_up_and_the_cache_is_what_is_left():
    part = shard(whole(variant_named("3.5-38B")), CAPACITY, Sharding(2, 1), LOAD, GPU)
    named = (part.weights, part.kv_cache, part.activations, part.caches, part.overhead)
    assert sum(named) == part.total == part.available == GPU and min(named) > 0
    assert shard(whole(variant_named("3.5-38B")), CAPACITY, Sharding(1, 1), LOAD, GPU // 2).kv_cache < 0


@pytest.mark.parametrize(("kind", "bits"), [("q8_0", 8.5), ("q4_k_m", 4.89)])
def test_gguf_types_shrink_all_that_is_between_the_embeddings(kind: Quantisation, bits: float):
    for variant in variants():
        text = variant.text
        embeddings = 2 * text.vocab_size * text.hidden_size
        inside = variant.parameters.language - embeddings
        least = (variant.parameters.vision + variant.parameters.projector + embeddings) * 2 + inside * bits / 8
        assert weights(whole(variant, kind)) == pytest.approx(least, rel=0.002)
