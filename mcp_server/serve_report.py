"""What `internvl-mcp plan --serve` prints: the plan for a server, why, the commands, and our own side."""

from __future__ import annotations

import shlex

from vision.serving.launch import shell_lines
from vision.serving.types import Launch, ServingPlan
from vision.variants.policy import Policy

_MEMORY = (("weights", "weights"), ("KV cache", "kv_cache"), ("activations", "activations"))
_MEMORY_REST = (("features", "caches"), ("overhead", "overhead"), ("total", "total"), ("may use", "available"))


def report(policy: Policy, plan: ServingPlan, launch: Launch) -> list[str]:
    lines = [f"Plan for {launch.server} (policy {policy.goal}, {policy.use} use)", *_plan(plan), ""]
    lines += ["Memory of one GPU in GB" if plan.devices else "Memory in GB", *_memory(plan), ""]
    lines += ["Why", *(f"  - {reason}" for reason in plan.reasons), ""]
    lines += ["Needed", *(f"  {need}" for need in launch.needs), ""]
    for step in launch.steps:
        lines += [
            f"Start {step.where}",
            *(f"  {'  ' if i else ''}{line}" for i, line in enumerate(shell_lines(step))),
            "",
        ]
    if launch.notes:
        lines += ["Note", *(f"  - {note}" for note in launch.notes), ""]
    return [*lines, "Agents then use it with", "  " + _shown(launch.client)]


def _plan(plan: ServingPlan) -> list[str]:
    weights = plan.dtype if plan.quantisation == "none" else f"{plan.quantisation} ({plan.dtype} elsewhere)"
    size = plan.tensor * plan.pipeline
    gpus = f"{size} GPU{'s' if size > 1 else ''} a replica" if plan.devices else "on the CPU"
    replicas = f"{plan.replicas} replica{'s' if plan.replicas > 1 else ''}"
    return [
        f"  {plan.variant}, {weights}, from {plan.repository}",
        f"  {gpus} (tensor {plan.tensor}, pipeline {plan.pipeline}), {replicas}",
        f"  up to {plan.max_tiles} tiles a picture, {plan.max_frames} frames of a video, {plan.context} tokens; "
        f"{plan.sequences} answers at a time in a replica",
    ]


def _memory(plan: ServingPlan) -> list[str]:
    columns = (*_MEMORY, *_MEMORY_REST)
    sizes = [getattr(plan.bytes, field) for _, field in columns]
    return [
        "  " + "".join(f"{head:>12}" for head, _ in columns),
        "  " + "".join(f"{size / 1e9:>12.2f}" for size in sizes),
    ]


def _shown(argv: tuple[str, ...]) -> str:
    return " ".join(f'"{part}"' if "<" in part else shlex.quote(part) for part in argv)
