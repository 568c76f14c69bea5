"""Every way a server could run a variant on a machine, or on several equal ones, and the most that fits for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vision.serving.types import Server
from vision.variants.candidates import Candidate, Group, capacity_for
from vision.variants.catalogue import TOKENS_PER_TILE, Variant
from vision.variants.estimate import ANSWER_TOKENS, QUESTION_TOKENS, Build, Capacity
from vision.variants.hardware import Hardware
from vision.variants.layout import Offer
from vision.variants.plan import DeviceKind, Dtype, PartBytes, Quantisation
from vision.variants.policy import Policy, Request
from vision.variants.ranking import rank
from vision.variants.sharding import Load, Sharding, kv_bytes_per_gpu, shard, tensor_sizes

# As the selector's ladders; a server is shared, so that "enough" (ranking.ENOUGH_RUNG) is four long prompts at a time.
LADDER = (
    Capacity(context=6144, batch=1, max_tiles=12, max_frames=16, prefix_tokens=0),
    Capacity(context=8192, batch=1, max_tiles=18, max_frames=24, prefix_tokens=0),
    Capacity(context=8192, batch=2, max_tiles=18, max_frames=24, prefix_tokens=0),
    Capacity(context=16384, batch=4, max_tiles=24, max_frames=32, prefix_tokens=0),
    Capacity(context=32768, batch=4, max_tiles=40, max_frames=64, prefix_tokens=0),
    Capacity(context=32768, batch=8, max_tiles=40, max_frames=64, prefix_tokens=0),
    Capacity(context=32768, batch=16, max_tiles=40, max_frames=64, prefix_tokens=0),
)
CPU_LADDER = (
    Capacity(context=6144, batch=1, max_tiles=12, max_frames=8, prefix_tokens=0),
    Capacity(context=6144, batch=4, max_tiles=12, max_frames=8, prefix_tokens=0),
)
_FRAME_TOKENS = TOKENS_PER_TILE + 8  # with its tags and "Frame12: "
_STEP_TOKENS = 2048
_ALONE = Sharding(1, 1)


class Task(NamedTuple):
    """What is planned for: `nodes` machines like `hardware`, on which the server may use `groups` of GPUs together."""

    server: Server
    hardware: Hardware
    policy: Policy
    request: Request
    nodes: int
    quantisations: tuple[Quantisation, ...]
    groups: tuple[Group, ...]


class Way(NamedTuple):
    """One way to run a variant: a replica takes `local` GPUs of `span` machines each, and `share` of their memory."""

    candidate: Candidate
    group: Group | None
    sharding: Sharding
    local: int
    span: int
    share: float
    part: PartBytes

    @property
    def pool(self) -> int:
        """Tokens that the KV cache of a replica holds."""
        return max(0, self.part.kv_cache) // kv_bytes_per_gpu(self.candidate.build, self.sharding)


def ways(task: Task, variant: Variant) -> Iterator[Way]:
    """Every form of the weights on every group and number of GPUs, cut in every way; on the CPU last."""
    seen: dict[tuple[Quantisation, Dtype, DeviceKind, Sharding], _Rungs] = {}

    def rungs(build: Build, sharding: Sharding) -> _Rungs:
        key = (*build[1:], sharding)
        if key not in seen:
            seen[key] = _Rungs(task, build, sharding)
        return seen[key]

    for quantisation in task.quantisations:
        if quantisation == "awq" and variant.awq_repository is None:
            continue
        for group in task.groups:
            build = Build(variant, quantisation, group.dtype, group.kind)
            least = rungs(build, _ALONE).least
            for local in range(1, len(group.offers) + 1):
                share, budget = share_of(group, group.offers[:local])
                for sharding, span in _shardings(task, build, local):
                    rung, capacity, part = rungs(build, sharding).highest(budget)
                    candidate = _candidate(task, build, group.offers[:local] * span, rung, capacity, least)
                    yield Way(candidate, group, sharding, local, span, share, part)
        if task.server.cpu and task.policy.device in ("auto", "cpu"):
            build = Build(variant, quantisation, "bfloat16", "cpu")
            budget = int((task.hardware.free_ram or 0) * task.policy.memory_fraction)
            rung, capacity, part = rungs(build, _ALONE).highest(budget)
            candidate = _candidate(task, build, [Offer(budget, 0)], rung, capacity, rungs(build, _ALONE).least)
            yield Way(candidate, None, _ALONE, 0, 1, task.policy.memory_fraction, part)


def replicated(task: Task, way: Way) -> tuple[Way, int]:
    """As many replicas as fit on a machine with the same capacity, and the way with what is free on all their GPUs."""
    if way.group is None or way.span > 1:
        return way, 1
    build, capacity = way.candidate.build, way.candidate.capacity
    for count in range(len(way.group.offers) // way.local, 0, -1):
        offers = way.group.offers[: count * way.local]
        share, budget = share_of(way.group, offers)
        part = shard(build, capacity, way.sharding, load_of(task.server, capacity), budget)
        if part.kv_cache >= _kv_needed(build, way.sharding, capacity):
            return way._replace(share=share, part=part, candidate=way.candidate._replace(offers=offers)), count
    return way, 1


def load_of(server: Server, capacity: Capacity) -> Load:
    """What a server does at once. vLLM takes a whole picture or video through its tower in one step."""
    if server.name == "llama.cpp":
        return Load(4, _STEP_TOKENS, server.reserve)
    if server.name == "lmdeploy":
        return Load(server.fixed_tiles + 1, 2 * _STEP_TOKENS, server.reserve)
    tiles = max(capacity.max_tiles + 1, capacity.max_frames)
    tokens = max(2 * _STEP_TOKENS, tiles * TOKENS_PER_TILE)
    return Load(tokens // TOKENS_PER_TILE, tokens, server.reserve)


def share_of(group: Group, offers: list[Offer]) -> tuple[float, int]:
    """The share of memory that is free on all these GPUs, in hundredths, and its bytes on the smallest."""
    totals = {gpu.index: gpu.total_bytes for gpu in group.gpus}
    # An offer is cut to whole bytes: nine tenths of a GPU are ninety hundredths of it all the same.
    hundredths = min(100 * (offer.available + 1) // max(1, totals[offer.device]) for offer in offers)
    smallest = min(totals[offer.device] for offer in offers)
    return hundredths / 100, smallest * hundredths // 100


class _Rungs:
    """What a build needs at each rung when it is cut so, priced when it is reached and without any one GPU's memory."""

    def __init__(self, task: Task, build: Build, sharding: Sharding) -> None:
        self.task, self.build, self.sharding = task, build, sharding
        self.ladder = CPU_LADDER if build.kind == "cpu" else LADDER
        self._priced: list[tuple[Capacity, PartBytes]] = []

    @property
    def least(self) -> int:
        """Bytes at the lowest rung."""
        return self._needed(0)

    def highest(self, budget: int) -> tuple[int | None, Capacity, PartBytes]:
        """The highest rung that fits into so many bytes a GPU: None and the lowest where none does."""
        fitting: int | None = None
        for rung in range(len(self.ladder)):
            if self._needed(rung) > budget:
                break
            fitting = rung
        capacity, priced = self._priced[fitting or 0]
        pool = priced.kv_cache + budget
        return fitting, capacity, priced.model_copy(update={"kv_cache": pool, "total": budget, "available": budget})

    def _needed(self, rung: int) -> int:
        while len(self._priced) <= rung:
            capacity = _capacity(self.task, self.build.variant, self.ladder[len(self._priced)])
            load = load_of(self.task.server, capacity)
            self._priced.append((capacity, shard(self.build, capacity, self.sharding, load, 0)))
        capacity, part = self._priced[rung]
        return _kv_needed(self.build, self.sharding, capacity) - part.kv_cache


def _shardings(task: Task, build: Build, local: int) -> Iterator[tuple[Sharding, int]]:
    """Ways to cut a variant over `local` GPUs of a machine, or of every machine together."""
    server = task.server
    sizes = tensor_sizes(build.variant, build.quantisation, local) if server.tensor else [1]
    for tensor in (size for size in sizes if local % size == 0):
        for span in dict.fromkeys((1, task.nodes if server.nodes else 1)):
            stages = local // tensor * span
            if stages == 1 or (server.pipeline and stages <= build.variant.text.layers):
                yield Sharding(tensor, stages), span


def _candidate(
    task: Task, build: Build, offers: list[Offer], rung: int | None, capacity: Capacity, least: int
) -> Candidate:
    wanted = task.request.max_tiles
    enough = wanted is None or capacity.max_tiles >= wanted
    place = rank(build, task.policy.goal, task.policy.use, enough, rung or 0, len(offers))
    return Candidate(build, offers, capacity, rung, place, 0, least)


def _capacity(task: Task, variant: Variant, rung: Capacity) -> Capacity:
    capacity = capacity_for(variant, rung, task.request)
    frames = min(capacity.max_frames, (capacity.context - ANSWER_TOKENS - QUESTION_TOKENS) // _FRAME_TOKENS)
    tiles = task.server.fixed_tiles or capacity.max_tiles
    return capacity.model_copy(update={"max_tiles": tiles, "max_frames": frames})


def _kv_needed(build: Build, sharding: Sharding, capacity: Capacity) -> int:
    """Bytes on each GPU for whole contexts side by side, and a block of the cache for each that is not full."""
    return (capacity.context + 64) * capacity.batch * kv_bytes_per_gpu(build, sharding)
