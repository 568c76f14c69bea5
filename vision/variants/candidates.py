"""Every way a variant could run on a machine, and the largest capacity that fits for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vision.variants.catalogue import Variant
from vision.variants.estimate import Build, Capacity, can_be_quantised, tiles_in
from vision.variants.hardware import Gpu, Hardware
from vision.variants.layout import Needs, Offer, largest_first, rooms
from vision.variants.plan import DeviceKind, Dtype, Quantisation
from vision.variants.policy import Policy, Request
from vision.variants.ranking import Rank, rank

MIB = 1 << 20
MIN_CAPABILITY = (7, 0)  # Volta: some builds of torch still have it, and float16 is fast from here on
MIN_CUDA = (12, 0)  # the oldest driver that runs a build of torch 2.9 or later, which are for CUDA 12.6 and on
_INT8_CAPABILITY = (7, 5)  # LLM.int8 multiplies on the tensor cores of Turing and later

# Rungs of a ladder: each takes at least as much as the one below in every respect, so it also costs at least as much.
# The prefix cache holds a prompt or none: half a prompt is of no use to it.
GPU_LADDER = (
    Capacity(context=4096, batch=1, max_tiles=8, max_frames=8, prefix_tokens=0),
    Capacity(context=6144, batch=1, max_tiles=12, max_frames=16, prefix_tokens=4096),
    Capacity(context=8192, batch=1, max_tiles=18, max_frames=24, prefix_tokens=8192),
    Capacity(context=8192, batch=2, max_tiles=18, max_frames=24, prefix_tokens=8192),
    Capacity(context=12288, batch=2, max_tiles=24, max_frames=32, prefix_tokens=12288),
    Capacity(context=16384, batch=2, max_tiles=40, max_frames=48, prefix_tokens=16384),
    Capacity(context=16384, batch=4, max_tiles=40, max_frames=48, prefix_tokens=16384),
    Capacity(context=32768, batch=4, max_tiles=84, max_frames=96, prefix_tokens=32768),
    Capacity(context=32768, batch=8, max_tiles=84, max_frames=96, prefix_tokens=32768),
)
# A tile takes seconds on a CPU: few of them and few frames, whatever the memory; a batch costs little there.
CPU_LADDER = (
    Capacity(context=4096, batch=1, max_tiles=6, max_frames=8, prefix_tokens=4096),
    Capacity(context=4096, batch=4, max_tiles=6, max_frames=8, prefix_tokens=8192),
    Capacity(context=8192, batch=4, max_tiles=6, max_frames=8, prefix_tokens=8192),
)
_FEATURE_CACHE = 256 * MIB
_FEATURE_CACHE_CPU = 64 * MIB


class Candidate(NamedTuple):
    """A build on the devices that it would take, at the highest rung that fits.

    `rung` is None when none does; `least`: bytes it needs on a single device at the lowest rung.
    """

    build: Build
    offers: list[Offer]
    capacity: Capacity
    rung: int | None
    rank: Rank
    feature_cache: int
    least: int


class Group(NamedTuple):
    """Devices that one process can use together."""

    kind: DeviceKind
    gpus: tuple[Gpu, ...]
    offers: list[Offer]

    @property
    def dtype(self) -> Dtype:
        return "bfloat16" if all(gpu.bf16 for gpu in self.gpus) else "float16"


def unusable(gpu: Gpu) -> str | None:
    """Why a GPU cannot be used at all."""
    if before(gpu, MIN_CAPABILITY):
        return (
            f"its compute capability is below {MIN_CAPABILITY[0]}.{MIN_CAPABILITY[1]}, which torch no longer supports"
        )
    if gpu.driver_cuda is not None and gpu.driver_cuda < MIN_CUDA:
        return (
            f"its driver runs CUDA {gpu.driver_cuda[0]}.{gpu.driver_cuda[1]} at the most, and torch needs "
            f"{MIN_CUDA[0]}.{MIN_CUDA[1]} or later: update NVIDIA's driver"
        )
    return None


def before(gpu: Gpu, capability: tuple[int, int]) -> bool:
    """Whether a GPU is known to be of an older architecture."""
    return gpu.compute_capability is not None and gpu.compute_capability < capability


def groups(hardware: Hardware, policy: Policy) -> list[Group]:
    """GPUs of one vendor together, those of a newer architecture also among themselves, and each one alone.

    So an old GPU beside new ones takes nothing away from what the new ones can do.
    """
    usable = [gpu for gpu in hardware.gpus if unusable(gpu) is None and policy.device in ("auto", gpu.kind)]
    found: list[tuple[Gpu, ...]] = [(gpu,) for gpu in usable]
    for vendor in ("nvidia", "amd"):
        whole = tuple(gpu for gpu in usable if gpu.vendor == vendor and not gpu.mig)
        turing = tuple(gpu for gpu in whole if not before(gpu, _INT8_CAPABILITY))
        modern = tuple(gpu for gpu in turing if gpu.bf16)
        found += [members for members in dict.fromkeys((whole, turing, modern)) if len(members) > 1]
    return [Group(gpus[0].kind, gpus, _offers(gpus, policy)) for gpus in found]


def candidates(hardware: Hardware, policy: Policy, request: Request, variant: Variant) -> Iterator[Candidate]:
    """Every build of the variant on every group and number of devices, on the CPU last."""
    ladders: dict[tuple[Quantisation, Dtype, DeviceKind], _Ladder] = {}
    for group in groups(hardware, policy):
        inside = _FEATURE_CACHE if group.kind == "mps" else 0  # one memory for both
        for quantisation in _quantisations(variant, group, policy, request):
            build = Build(variant, quantisation, group.dtype, group.kind)
            ladder = ladders.get(build[1:])
            if ladder is None:
                ladder = ladders[build[1:]] = _Ladder(build, GPU_LADDER, inside, request)
            for count in range(1 if len(group.gpus) == 1 else 2, len(group.offers) + 1):
                yield _highest(ladder, group.offers[:count], policy)
    if policy.device in ("auto", "cpu") and policy.quantisation in ("auto", "none"):
        dtype: Dtype = "bfloat16" if hardware.cpu_bf16 else "float32"
        build = Build(variant, "none", dtype, "cpu")
        offer = Offer(int((hardware.free_ram or 0) * policy.memory_fraction), 0)
        ladder = _Ladder(build, CPU_LADDER, _FEATURE_CACHE_CPU, request)
        yield _highest(ladder, [offer], policy)


def feature_cache_bytes(hardware: Hardware, policy: Policy, kind: DeviceKind) -> int:
    """Bytes for vision features: in the machine's memory also when the model is on a GPU."""
    if kind == "cpu":
        return _FEATURE_CACHE_CPU
    if kind == "mps" or hardware.free_ram is None:
        return _FEATURE_CACHE
    return min(_FEATURE_CACHE, int(hardware.free_ram * policy.memory_fraction) // 8)


def capacity_for(variant: Variant, rung: Capacity, request: Request) -> Capacity:
    """A rung within what the variant was trained for, with the tiles that were asked for."""
    context = min(rung.context, variant.context)
    tiles = min(request.max_tiles or rung.max_tiles, tiles_in(context))
    return rung.model_copy(
        update={"context": context, "max_tiles": tiles, "prefix_tokens": min(rung.prefix_tokens, context)}
    )


class _Ladder:
    """The rungs of a build with what each needs, worked out when it is reached: most builds fit on all or on none."""

    def __init__(self, build: Build, rungs: tuple[Capacity, ...], feature_cache: int, request: Request) -> None:
        self.build = build
        self.feature_cache = feature_cache
        self.wanted_tiles = request.max_tiles
        self.capacities = [capacity_for(build.variant, rung, request) for rung in rungs]
        self._needs: list[Needs] = []

    def needs(self, rung: int) -> Needs:
        while len(self._needs) <= rung:
            self._needs.append(Needs.of(self.build, self.capacities[len(self._needs)], self.feature_cache))
        return self._needs[rung]


def _highest(ladder: _Ladder, offers: list[Offer], policy: Policy) -> Candidate:
    fitting = None
    for rung in range(len(ladder.capacities)):
        if rooms(ladder.needs(rung), offers) is None:
            break
        fitting = rung
    capacity = ladder.capacities[fitting or 0]
    enough = ladder.wanted_tiles is None or capacity.max_tiles >= ladder.wanted_tiles
    place = rank(ladder.build, policy.goal, policy.use, enough, fitting or 0, len(offers))
    return Candidate(ladder.build, offers, capacity, fitting, place, ladder.feature_cache, ladder.needs(0).together)


def _quantisations(variant: Variant, group: Group, policy: Policy, request: Request) -> list[Quantisation]:
    wanted: list[Quantisation] = ["none", "int8", "nf4"] if policy.quantisation == "auto" else [policy.quantisation]
    allowed: list[Quantisation] = [q for q in wanted if q == "none" or _can_quantise(variant, group, q)]
    if request.awq and policy.quantisation == "auto" and variant.awq_repository and group.gpus[0].vendor == "nvidia":
        allowed.append("awq")
    return allowed


def _can_quantise(variant: Variant, group: Group, quantisation: Quantisation) -> bool:
    """bitsandbytes is relied on for NVIDIA alone."""
    if not can_be_quantised(variant) or any(gpu.vendor != "nvidia" for gpu in group.gpus):
        return False
    return quantisation != "int8" or not any(before(gpu, _INT8_CAPABILITY) for gpu in group.gpus)


def _offers(gpus: tuple[Gpu, ...], policy: Policy) -> list[Offer]:
    return largest_first([Offer(int(gpu.free_bytes * policy.memory_fraction), gpu.index) for gpu in gpus])
