from __future__ import annotations

import random

import pytest

from tests.vision.variants.machines import GIB, gpu, machine, some_machine
from vision.errors import ConfigError, EngineUnavailable, OutOfMemory, UnknownVariant, VisionError, WeightsUnusable
from vision.variants.catalogue import variants
from vision.variants.hardware import Gpu, Hardware
from vision.variants.ranking import Goal, Use, published
from vision.variants.selector import Policy, Request, best_rank, plan

SEEDS = range(200)
GOALS: tuple[Goal, ...] = ("quality", "balanced", "speed")
USES: tuple[Use, ...] = ("general", "documents", "video")
QUALITY = Policy(goal="quality")


def some_policy(seed: int, **changes: object) -> Policy:
    draw = random.Random(seed)
    policy = Policy(goal=draw.choice(GOALS), use=draw.choice(USES), memory_fraction=draw.choice((0.5, 0.8, 0.9, 1.0)))
    return policy.model_copy(update=changes)


def some_request(seed: int) -> Request:
    draw = random.Random(seed)
    return Request(max_tiles=draw.choice((None, None, 6, 12, 40)))


def rank_or_none(hardware: Hardware, policy: Policy, request: Request | None = None):
    try:
        return best_rank(hardware, policy, request or Request())
    except VisionError:
        return None


# Fixed points


@pytest.mark.parametrize("free", [24e9 / GIB, 24, 23.5])
def test_one_free_24_gb_gpu_runs_8b_in_bfloat16(free: float):
    found = plan(machine(free))
    assert (found.variant, found.dtype, found.quantisation) == ("InternVL3.5-8B", "bfloat16", "none")
    assert found.device == "cuda" and found.devices == (0,) and found.device_map == {}


@pytest.mark.parametrize("free", [8e9 / GIB, 8, 7.5])
@pytest.mark.parametrize("goal", GOALS)
def test_8_gb_run_2b_or_better(free: float, goal: Goal):
    found = plan(machine(free), Policy(goal=goal))
    assert found.variant in {"InternVL3.5-2B", "InternVL3.5-4B", "InternVL3-8B"}
    assert found.context >= 4096 and found.max_tiles >= 6


def test_8_gb_without_quantisation_run_2b():
    found = plan(machine(8), Policy(quantisation="none"))
    assert (found.variant, found.quantisation) == ("InternVL3.5-2B", "none")


@pytest.mark.parametrize("goal", ["balanced", "speed"])
def test_a_cpu_runs_1b_with_few_tiles(goal: Goal):
    found = plan(machine(ram=16), Policy(goal=goal))
    assert (found.variant, found.device, found.dtype) == ("InternVL3.5-1B", "cpu", "bfloat16")
    assert found.max_tiles == 6 and found.max_frames == 8 and found.devices == ()
    assert found.batch >= 4


def test_a_cpu_without_bfloat16_computes_in_float32():
    assert plan(machine(ram=16, cpu_bf16=False)).dtype == "float32"


@pytest.mark.parametrize("free", [(48, 48), (48e9 / GIB, 48e9 / GIB), (80,), (80e9 / GIB,), (94,), (141,), (80, 80)])
def test_38b_runs_on_two_of_48_gb_or_one_of_80_and_more(free: tuple[float, ...]):
    assert plan(machine(*free)).variant == "InternVL3.5-38B"


@pytest.mark.parametrize(
    ("free", "variant"),
    [((80,) * 4, "InternVL3-78B"), ((80,) * 8, "InternVL3.5-241B-A28B"), ((141,) * 8, "InternVL3.5-241B-A28B")],
)
def test_78b_and_241b_run_over_several(free: tuple[float, ...], variant: str):
    found = plan(machine(*free))
    assert found.variant == variant and found.quantisation == "none"
    assert len(found.devices) > 2 and len(found.bytes) == len(found.devices)


@pytest.mark.parametrize("capability", [(7, 0), (7, 5)])
def test_gpus_before_ampere_compute_in_float16_without_flash_attention(capability: tuple[int, int]):
    found = plan(machine(16, capability=capability))
    assert found.dtype == "float16" and found.attention == "sdpa"
    assert any("flash attention needs Ampere" in reason for reason in found.reasons)


def test_volta_is_not_given_int8():
    found = plan(machine(16, capability=(7, 0)))
    assert found.quantisation != "int8"


@pytest.mark.parametrize(("bf16", "dtype"), [(True, "bfloat16"), (False, "float16")])
def test_apple_computes_in_what_its_torch_supports(bf16: bool, dtype: str):
    apple = gpu(0, 24, vendor="apple", compute_capability=None, bf16=bf16)
    found = plan(Hardware(gpus=(apple,), free_ram=24 * GIB))
    assert (found.device, found.dtype, found.quantisation) == ("mps", dtype, "none")
    assert found.bytes[0].device == "mps"


@pytest.mark.parametrize(("vendor", "kind"), [("amd", "cuda"), ("intel", "xpu")])
def test_other_vendors_get_their_device_and_no_bitsandbytes(vendor: str, kind: str):
    other = gpu(0, 16, vendor=vendor, compute_capability=None)
    found = plan(Hardware(gpus=(other,), free_ram=16 * GIB))
    assert (found.device, found.quantisation) == (kind, "none")


def test_free_memory_counts_not_the_total():
    busy = gpu(0, 24).model_copy(update={"free_bytes": 8 * GIB})
    hardware = machine(24).model_copy(update={"gpus": (busy,)})
    assert plan(hardware).variant == plan(machine(8)).variant


def test_a_full_gpu_leaves_the_cpu():
    found = plan(machine(0.5, ram=16))
    assert (found.device, found.variant) == ("cpu", "InternVL3.5-1B")
    assert any("no GPU here has room" in reason for reason in found.reasons)


def test_a_gpu_whose_driver_is_too_old_for_torch_is_not_used_and_that_is_said():
    here = machine(24, ram=16)
    old = here.gpus[0].model_copy(update={"driver_cuda": (11, 4)})
    found = plan(here.model_copy(update={"gpus": (old,)}))
    assert found.device == "cpu" and any("CUDA 11.4" in reason for reason in found.reasons)
    new = old.model_copy(update={"driver_cuda": (12, 4)})
    assert plan(here.model_copy(update={"gpus": (new,)})).device == "cuda"


def test_an_old_gpu_is_not_used_and_named():
    found = plan(machine(24, capability=(6, 1), ram=16))
    assert found.device == "cpu"
    assert any("GPU 0 is not used" in reason for reason in found.reasons)


def test_slices_of_a_gpu_are_not_joined():
    slices = tuple(gpu(i, 20, (9, 0), mig=True) for i in range(2))
    found = plan(Hardware(gpus=slices, free_ram=64 * GIB))
    assert len(found.devices) == 1


def test_vendors_are_not_joined():
    mixed = (gpu(0, 16), gpu(0, 16, vendor="amd", compute_capability=None))
    assert len(plan(Hardware(gpus=mixed, free_ram=64 * GIB), Policy(variant="3.5-8B")).devices) == 1


# Policies and requests


def test_speed_bounds_the_active_parameters():
    assert plan(machine(24), Policy(goal="speed")).variant == "InternVL3.5-4B"
    assert plan(machine(80), Policy(goal="speed")).variant == "InternVL3.5-30B-A3B"


@pytest.mark.parametrize("use", USES)
def test_quality_takes_the_best_published_score_that_fits(use: Use):
    found = plan(machine(*[141] * 8), Policy(goal="quality", use=use))
    scores = {variant.name: published(variant, use) or 0 for variant in variants()}
    assert scores[found.variant] == max(scores.values())


def test_quantisation_is_taken_only_when_it_buys_a_better_variant():
    for seed in range(60):
        hardware = some_machine(seed)
        auto, plain = (rank_or_none(hardware, Policy(quantisation=q)) for q in ("auto", "none"))
        if auto and plain and plan(hardware, Policy()).quantisation in ("int8", "nf4"):
            assert auto > plain
            assert plan(hardware, Policy()).variant != plan(hardware, Policy(quantisation="none")).variant


def test_a_pinned_variant_is_taken_and_quantised_where_it_must():
    assert plan(machine(24), Policy(variant="3.5-14b")).quantisation == "int8"
    assert plan(machine(48), Policy(variant="3.5-14b")).quantisation == "none"
    assert plan(machine(24), Policy(variant="3.5-8B", quantisation="nf4")).quantisation == "nf4"


def test_a_variant_with_unconfirmed_facts_is_taken_only_when_named():
    assert plan(machine(80), Policy(variant="InternVL3.5-GPT-OSS-20B-A4B")).variant == "InternVL3.5-GPT-OSS-20B-A4B"
    named = {v.name for v in variants() if v.only_when_named}
    assert named and all(plan(some_machine(seed)).variant not in named for seed in (3, 8, 11) if rank_of(seed))


def rank_of(seed: int):
    return rank_or_none(some_machine(seed), Policy())


def test_only_what_is_on_the_disk_is_planned():
    here = frozenset({"InternVL3.5-2B", "InternVL3.5-1B"})
    found = plan(machine(24), request=Request(available=here))
    assert found.variant == "InternVL3.5-2B"
    with pytest.raises(WeightsUnusable) as absent:
        plan(machine(24), request=Request(available=frozenset()))
    assert "internvl-mcp pull" in absent.value.hint
    with pytest.raises(WeightsUnusable, match="8B is not on this machine"):
        plan(machine(24), Policy(variant="3.5-8B"), Request(available=here))


def test_wanted_tiles_come_before_a_larger_variant():
    found = plan(machine(24), request=Request(max_tiles=40))
    assert found.max_tiles == 40 and found.context >= 40 * 256
    assert plan(machine(24), request=Request(max_tiles=3)).max_tiles == 3


def test_awq_is_planned_only_for_software_that_reads_it():
    plain = plan(machine(24), Policy(variant="InternVL3-14B", goal="speed"))
    assert plain.quantisation != "awq"
    assert any(r.quantisation == "awq" and "LMDeploy" in r.reason for r in plan(machine(8)).rejected)
    found = plan(machine(24), Policy(variant="InternVL3-14B", goal="speed"), Request(awq=True))
    assert (found.quantisation, found.repository) == ("awq", "OpenGVLab/InternVL3-14B-AWQ")


def test_what_was_rejected_says_why():
    found = plan(machine(24))
    reasons = {(r.variant, r.quantisation): r.reason for r in found.rejected}
    assert "needs" in reasons["InternVL3.5-38B", "none"] and "may be used" in reasons["InternVL3.5-38B", "none"]
    assert "fused experts" in reasons["InternVL3.5-30B-A3B", "nf4"]
    assert "against" in reasons["InternVL3.5-14B", "int8"]
    assert {r.variant for r in found.rejected} | {found.variant} == {v.name for v in variants()}


# Errors


def test_a_machine_without_memory_says_what_is_needed():
    with pytest.raises(OutOfMemory) as short:
        plan(machine(ram=1))
    assert "needs about" in short.value.message and "memory_fraction" in short.value.hint


def test_unknown_memory_without_a_gpu_is_an_error():
    with pytest.raises(OutOfMemory, match="does not tell"):
        plan(Hardware())


def test_large_weights_alone_are_not_run_on_a_cpu_unasked():
    with pytest.raises(EngineUnavailable, match="too slow on a CPU"):
        plan(machine(ram=64), request=Request(available=frozenset({"InternVL3.5-8B"})))
    assert plan(machine(ram=64), Policy(variant="3.5-8B")).device == "cpu"


def test_names_and_devices_that_are_not_here_are_errors():
    with pytest.raises(UnknownVariant):
        plan(machine(24), Policy(variant="InternVL9"))
    with pytest.raises(ConfigError, match="no such device"):
        plan(machine(24), Policy(device="mps"))
    with pytest.raises(ConfigError, match="none of them can be used"):
        plan(machine(24, capability=(5, 2)), Policy(device="cuda"))
    with pytest.raises(ConfigError, match="fused experts"):
        plan(machine(80), Policy(variant="3.5-30B-A3B", quantisation="nf4"))
    with pytest.raises(ConfigError, match="NVIDIA"):
        plan(machine(ram=16), Policy(quantisation="int8"))


def test_a_pinned_device_is_kept():
    assert plan(machine(24, ram=32), Policy(device="cpu")).device == "cpu"
    with pytest.raises(OutOfMemory):
        plan(machine(1, ram=32), Policy(device="cuda"))


# Properties over simulated machines


@pytest.mark.parametrize("seed", SEEDS[::50])
def test_the_estimate_never_exceeds_the_memory_that_may_be_used(seed: int):
    checked = 0
    for number in range(seed, seed + 50):
        hardware, policy = some_machine(number), some_policy(number)
        if rank_or_none(hardware, policy, some_request(number)) is None:
            continue
        found = plan(hardware, policy, some_request(number))
        checked += 1
        for used in found.bytes:
            parts = (used.weights, used.kv_cache, used.activations, used.caches, used.overhead)
            assert sum(parts) == used.total and min(parts) >= 0
            assert used.total <= used.available <= _free(hardware, used.device) * policy.memory_fraction
        assert found.context >= 4096 and 1 <= found.batch <= 8 and found.max_tiles >= 1
    assert checked > 20


def _free(hardware: Hardware, device: str) -> int:
    if device == "cpu":
        return hardware.free_ram or 0
    kind, _, index = device.partition(":")
    return next(g.free_bytes for g in hardware.gpus if g.kind == kind and g.index == int(index or 0))


def with_more_memory(hardware: Hardware, policy: Policy, draw: random.Random) -> tuple[Hardware, Policy]:
    gpus = list(hardware.gpus)
    if gpus and draw.random() < 0.8:
        place = draw.randrange(len(gpus))
        more = int(gpus[place].free_bytes * draw.choice((1.001, 1.1, 2, 4))) + 1
        gpus[place] = gpus[place].model_copy(update={"free_bytes": more, "total_bytes": more})
        return hardware.model_copy(update={"gpus": tuple(gpus)}), policy
    return hardware.model_copy(update={"free_ram": int((hardware.free_ram or 0) * 1.5)}), policy


def with_another_gpu(hardware: Hardware, policy: Policy, draw: random.Random) -> tuple[Hardware, Policy]:
    taken = {g.index for g in hardware.gpus}
    other = draw.choice([*some_machine(draw.randrange(10_000)).gpus, gpu(0, draw.choice((2, 8, 24)), (7, 0))])
    new: Gpu = other.model_copy(update={"index": max(taken, default=-1) + 1})
    return hardware.model_copy(update={"gpus": (*hardware.gpus, new)}), policy


def with_a_larger_fraction(hardware: Hardware, policy: Policy, draw: random.Random) -> tuple[Hardware, Policy]:
    return hardware, policy.model_copy(update={"memory_fraction": min(1.0, policy.memory_fraction * 1.1)})


def with_quantisation_allowed(hardware: Hardware, policy: Policy, draw: random.Random) -> tuple[Hardware, Policy]:
    return hardware, policy.model_copy(update={"quantisation": "auto"})


@pytest.mark.parametrize(
    "change", [with_more_memory, with_another_gpu, with_a_larger_fraction, with_quantisation_allowed]
)
def test_more_hardware_or_a_looser_policy_never_give_a_worse_plan(change):
    improved = 0
    for seed in SEEDS:
        draw = random.Random(seed)
        hardware, policy, request = some_machine(seed), some_policy(seed), some_request(seed)
        if change is with_quantisation_allowed:
            policy = policy.model_copy(update={"quantisation": "none"})
        before = rank_or_none(hardware, policy, request)
        after = rank_or_none(*change(hardware, policy, draw), request)
        if before is not None:
            assert after is not None and after >= before, f"seed {seed}: {after} after {before}"
            improved += after > before
    assert improved > 5  # else the changes did not reach the selector


def test_more_weights_on_the_disk_never_give_a_worse_plan():
    names = [variant.name for variant in variants()]
    for seed in SEEDS[::3]:
        draw = random.Random(seed)
        some = frozenset(draw.sample(names, draw.randint(1, len(names))))
        more = some | {draw.choice(names)}
        hardware, policy = some_machine(seed), some_policy(seed)
        before = rank_or_none(hardware, policy, Request(available=some))
        after = rank_or_none(hardware, policy, Request(available=more))
        assert before is None or (after is not None and after >= before)


def test_growing_memory_never_lowers_the_published_score():
    """As the user sees it, without the selector's own order."""
    score, seen = 0.0, set()
    for size in range(4, 200, 2):
        found = plan(machine(size), Policy(quantisation="none"))
        now = next(published(v, "general") or 0 for v in variants() if v.name == found.variant)
        assert round(now, 1) >= round(score, 1), f"{found.variant} at {size} GiB"
        score = now
        seen.add(found.variant)
    assert len(seen) >= 5


def test_the_same_input_gives_the_same_plan():
    for seed in SEEDS[::10]:
        if rank_of(seed) is not None:
            assert plan(some_machine(seed)) == plan(some_machine(seed))


def test_the_order_of_the_gpus_does_not_matter_for_the_choice():
    for free in ((8, 24), (24, 8, 48), (80, 16, 24, 40)):
        forward, backward = plan(machine(*free)), plan(machine(*reversed(free)))
        assert (forward.variant, forward.context, forward.batch) == (backward.variant, backward.context, backward.batch)
