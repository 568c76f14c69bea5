from __future__ import annotations

import random

import pytest

from tests.vision.variants.machines import GIB, gpu, machine, some_machine
from vision.errors import ConfigError, EngineUnavailable, OutOfMemory, VisionError
from vision.serving.selection import serving_plan
from vision.serving.servers import SERVERS
from vision.serving.types import ServerName, ServingPlan
from vision.variants.catalogue import Variant, variant_named, variants
from vision.variants.hardware import Hardware
from vision.variants.policy import Policy, Request
from vision.variants.ranking import published
from vision.variants.sharding import tensor_sizes

NAMES: tuple[ServerName, ...] = ("vllm", "lmdeploy", "llama.cpp")
HOPPER = (9, 0)


def planned(name: ServerName, hardware: Hardware, nodes: int = 1, awq: bool = False, **policy: object) -> ServingPlan:
    return serving_plan(SERVERS[name], hardware, Policy().model_copy(update=policy), Request(awq=awq), nodes)


def eight(free: float = 78.4) -> Hardware:
    return machine(*[free] * 8, capability=HOPPER)


# Fixed points


def test_eight_large_gpus_hold_one_241b_or_four_38b():
    found = planned("vllm", eight())
    assert (found.variant, found.tensor, found.pipeline, found.replicas) == ("InternVL3.5-241B-A28B", 8, 1, 1)
    found = planned("vllm", eight(), variant="3.5-38B")
    assert (found.tensor, found.pipeline, found.replicas) == (2, 1, 4)
    assert found.devices == tuple(range(8)) and found.quantisation == "none" and not found.remote_code


def test_what_one_machine_does_not_hold_goes_over_several():
    four = machine(*[78.4] * 4, capability=HOPPER)
    with pytest.raises(OutOfMemory, match=r"241B-A28B needs about 48\d"):
        planned("vllm", four, variant="3.5-241B-A28B")
    found = planned("vllm", four, nodes=2, variant="3.5-241B-A28B")
    assert (found.tensor, found.pipeline, found.replicas) == (4, 2, 1) and found.spans_nodes


def test_what_one_machine_holds_is_replicated_over_several():
    found = planned("vllm", machine(78.4, 78.4, capability=HOPPER), nodes=3, variant="3.5-38B")
    assert (found.tensor, found.pipeline, found.replicas) == (2, 1, 3) and not found.spans_nodes


def test_a_small_gpu_refuses_241b_with_what_it_needs():
    with pytest.raises(OutOfMemory) as short:
        planned("vllm", machine(24), variant="3.5-241B-A28B")
    assert "may be used here" in short.value.message and "--nodes" in short.value.hint
    with pytest.raises(OutOfMemory) as short:
        planned("vllm", machine(24), variant="InternVL3-38B")
    assert "--awq" in short.value.hint


def test_awq_is_taken_only_when_asked_for_and_told_as_remote_code():
    found = planned("vllm", machine(48), variant="InternVL3-38B", awq=True)
    assert (found.quantisation, found.repository) == ("awq", "OpenGVLab/InternVL3-38B-AWQ")
    assert found.remote_code
    for name in NAMES:
        assert not planned(name, machine(48)).remote_code


def test_llama_cpp_takes_gguf_types_where_16_bits_do_not_fit():
    found = planned("llama.cpp", machine(24), variant="3.5-14B")
    assert found.quantisation == "q8_0"
    assert planned("llama.cpp", machine(48), variant="3.5-14B").quantisation == "none"
    assert planned("llama.cpp", machine(16), variant="3.5-14B").quantisation == "q4_k_m"


def test_llama_cpp_runs_without_a_gpu_and_on_apple():
    found = planned("llama.cpp", machine(ram=16))
    assert found.device == "cpu" and found.devices == () and found.sequences <= 4
    assert found.tensor == found.pipeline == found.replicas == 1
    apple = gpu(0, 40, vendor="apple", compute_capability=None)
    assert planned("llama.cpp", Hardware(gpus=(apple,), free_ram=GIB)).device == "mps"


@pytest.mark.parametrize("name", ["vllm", "lmdeploy"])
def test_servers_for_gpus_say_so_where_there_is_none(name: ServerName):
    for hardware in (machine(ram=64), machine(24, capability=(7, 0))):
        with pytest.raises(EngineUnavailable, match="there is none here"):
            planned(name, hardware)


def test_quantisation_by_bitsandbytes_is_refused():
    with pytest.raises(ConfigError, match="bitsandbytes"):
        planned("vllm", machine(24), quantisation="nf4")


@pytest.mark.parametrize(
    ("name", "variant", "why"),
    [
        ("llama.cpp", "3.5-241B-A28B", "mixtures"),
        ("llama.cpp", "InternVL2.5-8B-MPO", "InternLM"),
        ("lmdeploy", "InternVL3.5-GPT-OSS-20B-A4B", "GPT-OSS"),
        ("vllm", "InternVL3.5-GPT-OSS-20B-A4B", "GPT-OSS"),
    ],
)
def test_what_a_server_does_not_read_is_refused_with_the_reason(name: ServerName, variant: str, why: str):
    with pytest.raises(ConfigError, match=why):
        planned(name, eight(), variant=variant)


def test_a_busy_gpu_lowers_the_share_of_memory_and_says_which_are_used():
    gpus = (gpu(0, 24), gpu(1, 24).model_copy(update={"free_bytes": 1 * GIB}), gpu(2, 24))
    found = planned("vllm", Hardware(gpus=gpus, free_ram=64 * GIB), variant="3.5-8B")
    assert found.devices == (0, 2) and not found.all_devices and found.memory_share == 0.9


@pytest.mark.parametrize("name", NAMES)
def test_what_was_rejected_says_why(name: ServerName):
    found = planned(name, machine(24))
    reasons = {one.variant: one.reason for one in found.rejected}
    assert set(reasons) | {found.variant} == {variant.name for variant in variants()}
    assert all(reasons.values())
    assert "needs" in reasons["InternVL3.5-38B"] and "may be used" in reasons["InternVL3.5-38B"]


# Cutting matrices


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_tensor_sizes_divide_heads_and_rows(variant: Variant):
    text = variant.text
    for size in tensor_sizes(variant, "none", 16):
        assert text.heads % size == 0
        assert text.kv_heads % size == 0 or size % text.kv_heads == 0
        assert (text.expert_size or text.intermediate_size) % size == 0
    assert tensor_sizes(variant, "none", 16)[0] == 1


def test_odd_heads_and_groups_of_awq_limit_the_cuts():
    assert tensor_sizes(variant_named("InternVL3-1B"), "none", 8) == [1, 2]
    assert tensor_sizes(variant_named("InternVL3-14B"), "none", 8) == [1, 2, 4, 8]
    assert tensor_sizes(variant_named("InternVL3-14B"), "awq", 8) == [1, 2, 4]
    assert tensor_sizes(variant_named("InternVL3-78B"), "awq", 8) == [1]


# Properties over simulated machines


def drawn(seed: int) -> tuple[ServerName, Hardware, int, dict[str, object]]:
    draw = random.Random(seed)
    name = draw.choice(NAMES)
    policy: dict[str, object] = {
        "goal": draw.choice(("quality", "balanced", "speed")),
        "memory_fraction": draw.choice((0.5, 0.8, 0.9, 1.0)),
        "variant": draw.choice((None, None, draw.choice(variants()).name)),
    }
    return name, some_machine(seed), draw.choice((1, 1, 2, 4)), policy


def planned_or_refused(seed: int, *, awq: bool = False) -> ServingPlan | VisionError:
    """The plan for what a seed draws, or why there is none: no such device, no room, or not that server's."""
    name, hardware, nodes, policy = drawn(seed)
    try:
        return planned(name, hardware, nodes, awq=awq, **policy)
    except (EngineUnavailable, OutOfMemory, ConfigError) as refusal:
        assert refusal.message and refusal.hint
        return refusal


@pytest.mark.parametrize("first", range(0, 160, 40))
def test_plans_stay_within_the_machine(first: int):
    checked = 0
    for seed in range(first, first + 40):
        found = planned_or_refused(seed, awq=seed % 2 == 0)
        if isinstance(found, VisionError):
            continue
        _, hardware, nodes, policy = drawn(seed)
        checked += 1
        _check_memory(found, hardware, float(str(policy["memory_fraction"])))
        _check_parallel(found, hardware, nodes)
    assert checked > 10


def _check_memory(found: ServingPlan, hardware: Hardware, fraction: float) -> None:
    part = found.bytes
    parts = (part.weights, part.kv_cache, part.activations, part.caches, part.overhead)
    assert sum(parts) == part.total and min(parts) >= 0 and part.total <= part.available
    for one in hardware.gpus:
        if one.index in found.devices:
            assert part.available <= found.memory_share * one.total_bytes
            assert found.memory_share * one.total_bytes <= one.free_bytes * fraction + 2
    assert found.pool >= found.context >= 4096
    assert found.max_tiles >= 1 and 256 * (found.max_tiles + 1) + 2 <= found.context
    assert 256 * found.max_frames <= found.context


def _check_parallel(found: ServingPlan, hardware: Hardware, nodes: int) -> None:
    text = variant_named(found.variant).text
    assert found.nodes == nodes and found.replicas >= 1
    assert text.heads % found.tensor == 0 and found.pipeline <= text.layers
    assert found.tensor <= max(1, len(found.devices)) <= max(1, len(hardware.gpus))
    assert len(set(found.devices)) == len(found.devices)
    if found.devices:
        used = found.tensor * found.pipeline * found.replicas
        assert used == len(found.devices) * nodes
    assert found.server == "vllm" or not found.spans_nodes


def test_more_equal_gpus_never_serve_a_worse_variant():
    for size in (24, 48, 80):
        last = 0.0
        for count in (1, 2, 4, 8):
            found = planned("vllm", machine(*[size] * count, capability=HOPPER))
            score = published(variant_named(found.variant), "general") or 0.0
            assert score >= last
            last = score


def test_the_same_input_gives_the_same_plan():
    plans = 0
    for seed in range(20):
        once, twice = planned_or_refused(seed), planned_or_refused(seed)
        if isinstance(once, ServingPlan):
            plans += 1
            assert once == twice
        else:
            assert isinstance(twice, VisionError) and (once.code, once.message) == (twice.code, twice.message)
    assert plans > 5
