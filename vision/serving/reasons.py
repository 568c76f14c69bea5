"""What a serving plan says about itself."""

from __future__ import annotations

from vision.serving.types import Server
from vision.serving.ways import Task, Way
from vision.variants.candidates import before, unusable
from vision.variants.hardware import Gpu
from vision.variants.policy import Policy, Request
from vision.variants.ranking import PENALTY
from vision.variants.reasons import gigabytes, why_variant


def reasons_for(task: Task, way: Way, per_node: int) -> tuple[str, ...]:
    """One sentence for each thing that was decided. `per_node`: replicas on each machine."""
    found = [
        why_variant(task.policy, task.request, way.candidate),
        _why_weights(task.policy, way),
        *_why_parallel(way, per_node, task.nodes),
        _why_spare(task, way, per_node),
        _why_memory(way),
        _why_capacity(task.request, way),
        _why_tiles(task.server),
    ]
    found += [f"{gpu.name} is not used: {why}" for gpu in task.hardware.gpus if (why := _unusable(task.server, gpu))]
    return tuple(reason for reason in found if reason)


def _unusable(server: Server, gpu: Gpu) -> str | None:
    if gpu.vendor not in server.vendors:
        return f"{server.name} is not planned for {gpu.vendor}"
    if before(gpu, server.min_capability):
        return f"{server.name} needs compute capability {server.min_capability[0]}.{server.min_capability[1]}"
    return unusable(gpu)


def _why_weights(policy: Policy, way: Way) -> str:
    build = way.candidate.build
    if build.quantisation == "none":
        return f"{build.dtype}: weights as published"
    cost = PENALTY[policy.goal][build.quantisation]
    return f"{build.quantisation}: better than what fits at 16 bits, even with {cost:g} points taken off for it"


def _why_parallel(way: Way, per_node: int, nodes: int) -> list[str]:
    text, sharding = way.candidate.build.variant.text, way.sharding
    if way.group is None:
        return ["on the CPU: no GPU here has room for a variant that may be taken, or there is none"]
    found = []
    if sharding.gpus == 1:
        found.append("one GPU holds a replica")
    if sharding.tensor > 1:
        copies = sharding.tensor // text.kv_heads
        kv = f"each of {text.kv_heads} KV heads is on {copies} GPUs" if copies > 1 else f"and {text.kv_heads} KV heads"
        divided = f"it divides {text.heads} attention heads"
        found.append(f"tensor parallel {sharding.tensor} within a machine: {divided}{',' if copies > 1 else ''} {kv}")
    if sharding.pipeline > 1:
        where = f" over {way.span} machines" if way.span > 1 else ""
        found.append(
            f"pipeline parallel {sharding.pipeline}{where}: {text.layers} layers in {sharding.pipeline} stages"
        )
    if per_node * (1 if way.span > 1 else nodes) > 1:
        each = f"{per_node} on each of {nodes} machines" if nodes > 1 else "on this machine"
        found.append(f"data parallel: {per_node * (1 if way.span > 1 else nodes)} replicas, {each}")
    return found


def _why_spare(task: Task, way: Way, per_node: int) -> str:
    usable = sum(_unusable(task.server, gpu) is None for gpu in task.hardware.gpus)
    spare = usable - per_node * way.local
    if way.group is None or spare <= 0:
        return ""
    what = f"{spare} GPU{'s' if spare > 1 else ''}{' of each machine' if task.nodes > 1 else ''} left over"
    return f"{what}: no room for another replica, or too unlike the others to be joined with them"


def _why_memory(way: Way) -> str:
    part = way.part
    what = "of a GPU's memory" if way.group else "of the free memory"
    return (
        f"{way.share:.0%} {what} ({gigabytes(part.available)}): {gigabytes(part.weights)} of weights, "
        f"{gigabytes(part.kv_cache)} of KV cache, which is {way.pool:,} tokens"
    )


def _why_capacity(request: Request, way: Way) -> str:
    capacity = way.candidate.capacity
    fewer = request.max_tiles is not None and capacity.max_tiles < request.max_tiles
    wish = f" ({request.max_tiles} tiles were wanted)" if fewer else ""
    return (
        f"{capacity.context:,} tokens of context, at least {capacity.batch} such prompts at a time: up to "
        f"{capacity.max_tiles} tiles a picture{wish} or {capacity.max_frames} frames of a video"
    )


def _why_tiles(server: Server) -> str:
    if not server.fixed_tiles:
        return ""
    return f"{server.name} cuts every picture by the repository's own rule, into {server.fixed_tiles} tiles at most"
