"""Which variant a server runs on a machine (or on several equal ones), and how it is cut up. Pure, like the selector.

It is the selector's method with a server's means: every way to run every variant is priced, those that do not fit are
set aside, and the best by the selector's own order wins. What is left over holds more replicas.
"""

from __future__ import annotations

from vision.errors import ConfigError, EngineUnavailable, OutOfMemory
from vision.serving.reasons import reasons_for
from vision.serving.servers import repository_of, why_not_served
from vision.serving.types import Server, ServingPlan
from vision.serving.ways import Task, Way, load_of, replicated, ways
from vision.variants.candidates import Candidate, Group, before, groups
from vision.variants.catalogue import TOKENS_PER_TILE, Variant, variants
from vision.variants.estimate import ANSWER_TOKENS, QUESTION_TOKENS
from vision.variants.hardware import Hardware
from vision.variants.plan import Quantisation, Rejected
from vision.variants.policy import Policy, Request
from vision.variants.ranking import SLOW_ON_CPU
from vision.variants.reasons import rejected
from vision.variants.selector import allowed_variants, nothing_fits, why_left_out

# A prompt as most are: a picture of twelve tiles and its thumbnail, a question, an answer.
USUAL_TOKENS = 13 * TOKENS_PER_TILE + QUESTION_TOKENS + ANSWER_TOKENS
_MOST_SEQUENCES = 256
_MOST_SLOTS = 16  # of llama.cpp, each of which takes a whole context


def serving_plan(server: Server, hardware: Hardware, policy: Policy, request: Request, nodes: int = 1) -> ServingPlan:
    """The best plan for `nodes` machines like this one.

    Raises UnknownVariant (a pinned one), ConfigError (a quantisation or variant that the server does not read),
    EngineUnavailable (no device it runs on) and OutOfMemory (nothing fits).
    """
    wanted, usable = _quantisations(server, policy, request), tuple(_usable_groups(server, hardware, policy))
    task = Task(server, hardware, policy, request, nodes, wanted, usable)
    served = _served(task)
    tried = {variant.name: list(ways(task, variant)) for variant in served}
    every = [way for found in tried.values() for way in found]
    fitting = [way for way in every if way.candidate.rung is not None and _bearable(way, policy)]
    if not fitting:
        raise _nothing(task, [way.candidate for way in every])
    best = max(fitting, key=_order)
    left_out = {
        v.name: why_not_served(server, v) or why_left_out(v, policy, request) for v in variants() if v not in served
    }
    candidates = {name: [way.candidate for way in found] for name, found in tried.items()}
    return _plan(task, best, rejected(candidates, best.candidate, policy, left_out, server.quantisations))


def _served(task: Task) -> list[Variant]:
    allowed = allowed_variants(task.policy, task.request)
    served = [variant for variant in allowed if why_not_served(task.server, variant) is None]
    if not served:
        why = why_not_served(task.server, allowed[0])
        raise ConfigError(
            f"{task.server.name} does not serve {allowed[0].name}: {why}", "Name another variant, or another server."
        )
    return served


def _usable_groups(server: Server, hardware: Hardware, policy: Policy) -> list[Group]:
    found = [
        group
        for group in groups(hardware, policy)
        if all(gpu.vendor in server.vendors and not before(gpu, server.min_capability) for gpu in group.gpus)
    ]
    if not found and not (server.cpu and policy.device in ("auto", "cpu")):
        makers = " or ".join({"nvidia": "NVIDIA", "amd": "AMD"}.get(v, v) for v in server.vendors)
        since = f" (compute capability {server.min_capability[0]}.{server.min_capability[1]} or later)"
        raise EngineUnavailable(
            f"{server.name} runs on {makers} GPUs{since}, and there is none here",
            'Describe the machine it will run on with --gpu "8x H100", or use --serve llama.cpp.',
        )
    return found


def _quantisations(server: Server, policy: Policy, request: Request) -> tuple[Quantisation, ...]:
    if policy.quantisation == "auto":
        return tuple(q for q in server.quantisations if q != "awq" or request.awq)
    if policy.quantisation == "none":
        return ("none",)
    raise ConfigError(
        f"{server.name} does not quantise with bitsandbytes ({policy.quantisation})",
        "Use --quantisation auto or none; --awq also considers the repositories with AWQ weights.",
    )


def _order(way: Way) -> tuple[object, ...]:
    """The selector's order, then one machine before several, matrices cut before layers shared out."""
    devices = [-offer.device for offer in way.candidate.offers]
    return way.candidate.rank, -way.span, way.sharding.tensor, way.candidate.build.variant.name, devices


def _bearable(way: Way, policy: Policy) -> bool:
    build = way.candidate.build
    return bool(policy.variant) or build.kind != "cpu" or build.variant.parameters.active <= SLOW_ON_CPU


def _plan(task: Task, best: Way, rejected: tuple[Rejected, ...]) -> ServingPlan:
    way, per_node = replicated(task, best)
    build, capacity = way.candidate.build, way.candidate.capacity
    devices = () if way.group is None else tuple(o.device for o in way.group.offers[: per_node * way.local])
    return ServingPlan(
        server=task.server.name,
        variant=build.variant.name,
        repository=repository_of(build.variant, build.quantisation),
        revision=None if build.quantisation == "awq" else build.variant.revision,
        remote_code=build.quantisation == "awq",
        device=build.kind,
        vendor=None if way.group is None else way.group.gpus[0].vendor,
        dtype=build.dtype,
        quantisation=build.quantisation,
        nodes=task.nodes,
        tensor=way.sharding.tensor,
        pipeline=way.sharding.pipeline,
        replicas=per_node if way.span > 1 else per_node * task.nodes,
        devices=devices,
        all_devices=set(devices) == {gpu.index for gpu in task.hardware.gpus},
        context=capacity.context,
        sequences=_sequences(task.server, way),
        pool=way.pool,
        step_tokens=load_of(task.server, capacity).tokens,
        max_tiles=capacity.max_tiles,
        max_frames=capacity.max_frames,
        memory_share=way.share,
        bytes=way.part,
        reasons=reasons_for(task, way, per_node),
        rejected=rejected,
    )


def _sequences(server: Server, way: Way) -> int:
    """Answers side by side: as many usual prompts as the KV cache holds; a slot of llama.cpp takes a whole context."""
    capacity = way.candidate.capacity
    if way.group is None:  # memory would do for more, the processor would not
        return capacity.batch
    if server.name == "llama.cpp":
        return max(capacity.batch, min(way.pool // capacity.context, _MOST_SLOTS))
    return max(capacity.batch, min(way.pool // USUAL_TOKENS, _MOST_SEQUENCES))


def _nothing(task: Task, tried: list[Candidate]) -> OutOfMemory | EngineUnavailable:
    error = nothing_fits(task.hardware, tried)
    if not isinstance(error, OutOfMemory):
        return error
    awq = "awq" in task.server.quantisations and "awq" not in task.quantisations
    awq = awq and any(c.build.variant.awq_repository for c in tried)
    more = " --awq considers weights of 4 bits, where there are any." if awq else ""
    nodes = ", more machines (--nodes)" if task.server.nodes else ""
    return OutOfMemory(
        error.message, f"Name a smaller variant, give it more GPUs{nodes} or a larger --memory-fraction.{more}"
    )
