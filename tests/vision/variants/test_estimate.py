from __future__ import annotations

import pytest

from vision.variants.candidates import GPU_LADDER
from vision.variants.catalogue import Variant, variant_named, variants
from vision.variants.estimate import (
    AWQ_BITS,
    Build,
    base_cost,
    kv_bytes_per_token,
    layer_cost,
    layer_weights,
    part,
    tiles_in,
    weights_beside_layers,
)
from vision.variants.plan import Quantisation

RUNG = GPU_LADDER[3]
ALL = [pytest.param(variant, id=variant.name) for variant in variants()]


def build(name: str, quantisation: Quantisation = "none", **changes: object) -> Build:
    return Build(variant_named(name), quantisation, "bfloat16", "cuda")._replace(**changes)


@pytest.mark.parametrize("variant", ALL)
def test_weights_of_the_parts_are_those_of_the_whole(variant: Variant):
    quantised = {"none": variant.bytes.bf16, "int8": variant.bytes.int8, "nf4": variant.bytes.nf4}
    for quantisation, whole in quantised.items():
        if whole is None:
            continue
        one = Build(variant, quantisation, "bfloat16", "cuda")
        parts = weights_beside_layers(one) + variant.text.layers * layer_weights(one)
        assert whole <= parts < whole + variant.text.layers


def test_only_the_layers_shrink_when_quantised():
    plain, small = build("3.5-8B"), build("3.5-8B", "nf4")
    assert weights_beside_layers(plain) == weights_beside_layers(small)
    assert layer_weights(small) < 0.27 * layer_weights(plain)
    assert layer_weights(small) < layer_weights(build("InternVL3-8B", "int8"))


def test_awq_weighs_its_bits():
    plain, awq = build("InternVL3-8B"), build("InternVL3-8B", "awq")
    assert layer_weights(awq) / layer_weights(plain) == pytest.approx(AWQ_BITS / 16, rel=0.01)


def test_float32_takes_twice_the_bytes():
    half, full = build("3.5-1B"), build("3.5-1B", dtype="float32")
    assert kv_bytes_per_token(full) == 2 * kv_bytes_per_token(half)
    assert layer_cost(full, RUNG).weights == 2 * layer_cost(half, RUNG).weights


def test_the_kv_cache_is_context_times_batch():
    one = build("3.5-8B")
    cost = layer_cost(one, RUNG)
    assert cost.kv_cache * 36 == 147_456 * RUNG.context * RUNG.batch
    assert cost.caches * 36 == 147_456 * RUNG.prefix_tokens


def test_only_the_first_device_sees_and_speaks():
    first, other = (base_cost(build("3.5-38B"), RUNG, first=first) for first in (True, False))
    assert first.weights > 14 * 10**9 and other.weights == 0
    assert first.activations > other.activations > 0
    assert other.overhead > 600 * 2**20


def test_the_part_is_the_sum_of_what_it_lists():
    one = build("3.5-8B")
    found = part("cuda:1", base_cost(one, RUNG, first=False), layer_cost(one, RUNG), 7, 9)
    listed = (found.weights, found.kv_cache, found.activations, found.caches, found.overhead)
    assert found.total == sum(listed) and found.weights == 7 * layer_cost(one, RUNG).weights


def test_a_1b_shape_on_the_cpu_is_estimated_near_what_was_seen():
    """938 M parameters in bfloat16, 1,824 tokens: 2.2 GiB resident (single run on two cores)."""
    one = build("InternVL3-1B", kind="cpu")
    rung = RUNG.model_copy(update={"context": 2048, "batch": 1, "prefix_tokens": 0})
    total = base_cost(one, rung, first=True).total + 24 * layer_cost(one, rung).total
    assert 2.2 * 2**30 * 0.97 < total < 2.2 * 2**30 * 1.15


@pytest.mark.parametrize(("context", "tiles"), [(4096, 10), (8192, 26), (32768, 122), (512, 1)])
def test_tiles_leave_room_for_thumbnail_question_and_answer(context: int, tiles: int):
    assert tiles_in(context) == tiles
    assert context < 1500 or (tiles + 1) * 256 + 1024 + 256 <= context


def test_every_rung_takes_the_pictures_and_frames_it_promises():
    for rung in GPU_LADDER:
        assert rung.max_tiles <= tiles_in(rung.context)
        assert rung.max_frames * 270 + 1024 + 256 <= rung.context  # 256, the tags, "Frame12: " and a line end
