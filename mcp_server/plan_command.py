"""`internvl-mcp plan`: which variant would run, on this machine or on one that is described, and why.

With --serve: which variant a server of others would run there, and the command that starts it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from vision.config import Settings
from vision.errors import EngineUnavailable, InvalidArgument, OutOfMemory, UnknownVariant, VisionError, WeightsUnusable

if TYPE_CHECKING:  # they are loaded when the command runs: adding its flags costs every start of the server nothing
    from vision.variants.hardware import Hardware
    from vision.variants.plan import Plan
    from vision.variants.policy import Policy

_BAR = 24
_PARTS = ("weights", "kv_cache", "activations", "caches", "overhead")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpu", action="append", metavar="NAME", help='plan for this GPU, such as "RTX 4090" or "8x H100"; repeatable'
    )
    parser.add_argument("--gpu-memory", metavar="SIZES", help="plan for NVIDIA GPUs with this much free: 24GB,24GB")
    parser.add_argument(
        "--use",
        choices=("general", "documents", "video"),
        default="general",
        help="whose scores count; default: general",
    )
    parser.add_argument(
        "--serve", choices=("vllm", "lmdeploy", "llama.cpp"), help="plan for this server, and print its command"
    )
    parser.add_argument(
        "--nodes", type=int, default=1, metavar="N", help="with --serve: so many machines like this one"
    )
    parser.add_argument(
        "--awq",
        action="store_true",
        help="with --serve: consider repositories with AWQ weights, which run code of theirs",
    )
    parser.add_argument("--json", action="store_true", help="print hardware and plan as JSON")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: there is a plan; 1: nothing fits; 2: a name or size that means nothing."""
    try:
        hardware = _hardware(options)
        if options.serve:
            return _serve(options, settings, hardware)
        policy, plan = _plan(options, settings, hardware)
    except VisionError as e:
        sys.stderr.write(f"internvl-mcp: {e.message}\n{e.hint}\n")
        return 1 if isinstance(e, EngineUnavailable | OutOfMemory | WeightsUnusable) else 2
    if options.json:
        sys.stdout.write(f'{{"hardware": {hardware.model_dump_json()}, "plan": {plan.model_dump_json()}}}\n')
    else:
        sys.stdout.write("\n".join(_report(hardware, policy, plan)) + "\n")
    return 0


def _hardware(options: argparse.Namespace) -> Hardware:
    """The machine that is described, with this one's processor and memory; this machine where none is."""
    from vision.variants.known_gpus import gpu_named, gpu_names, gpu_of_size
    from vision.variants.probe import probe

    names = [name for given in options.gpu or () for name in gpu_names(given)]
    sizes: list[str] = options.gpu_memory.split(",") if options.gpu_memory else []
    gpus = [gpu_named(name, i) for i, name in enumerate(names)]
    gpus += [gpu_of_size(size, i) for i, size in enumerate(sizes, len(gpus))]
    if not gpus:
        return probe()
    here = probe()
    notes = ("the GPUs are those that were named; processor and memory are this machine's",)
    return here.model_copy(update={"gpus": tuple(gpus), "notes": notes})


def _serve(options: argparse.Namespace, settings: Settings, hardware: Hardware) -> int:
    from mcp_server.serve_report import report
    from vision.engine.local import folder_of, policy_of
    from vision.serving.commands import launch_of
    from vision.serving.selection import serving_plan
    from vision.serving.servers import SERVERS
    from vision.variants.policy import request_from

    if options.nodes < 1:
        raise InvalidArgument(f"--nodes {options.nodes}: there must be a machine", "Write --nodes 2 for two of them.")
    if folder_of(settings) is not None:
        raise InvalidArgument(
            "--serve plans the catalogue's variants, not a checkpoint in a folder", "Name one, as --variant 3.5-8B."
        )
    policy = policy_of(settings).model_copy(update={"use": options.use})
    request = request_from(settings).model_copy(update={"awq": options.awq})
    found = serving_plan(SERVERS[options.serve], hardware, policy, request, options.nodes)
    launch = launch_of(found)
    if options.json:
        parts = {"hardware": hardware, "serving": found, "launch": launch}
        text = ", ".join(f'"{name}": {part.model_dump_json()}' for name, part in parts.items())
        sys.stdout.write(f"{{{text}}}\n")
    else:
        lines = ["Hardware of each machine" if options.nodes > 1 else "Hardware", *hardware_lines(hardware), ""]
        sys.stdout.write("\n".join(lines + report(policy, found, launch)) + "\n")
    return 0


def _plan(options: argparse.Namespace, settings: Settings, hardware: Hardware) -> tuple[Policy, Plan]:
    from vision.engine.folder import plan_for
    from vision.engine.local import folder_of, policy_of
    from vision.variants.policy import request_from
    from vision.variants.selector import plan
    from vision.weights.snapshot import verify

    policy = policy_of(settings).model_copy(update={"use": options.use})
    request = request_from(settings)
    folder = folder_of(settings)
    if folder is not None:
        return policy, plan_for(verify(folder), hardware, policy, request)
    return policy, plan(hardware, policy, request)


def _report(hardware: Hardware, policy: Policy, plan: Plan) -> list[str]:
    lines = ["Hardware", *hardware_lines(hardware), ""]
    lines += [f"Plan (policy {policy.goal}, {policy.use} use)", *_plan_lines(plan), ""]
    lines += ["Memory in GB", *_memory_lines(plan), ""]
    lines += ["Why", *(f"  - {reason}" for reason in plan.reasons), ""]
    better = _worth_telling(policy, plan)
    if better:
        lines += ["Not chosen", *better, ""]
    return [*lines, _next_step(policy, plan)]


def hardware_lines(hardware: Hardware) -> list[str]:
    """A line for each device, the processor last, then what the probe noted."""
    rows = []
    for gpu in hardware.gpus:
        where = gpu.kind if gpu.kind == "mps" else f"{gpu.kind}:{gpu.index}"
        capability = (
            f", compute {gpu.compute_capability[0]}.{gpu.compute_capability[1]}" if gpu.compute_capability else ""
        )
        what = f"{gpu.total_bytes / 1e9:.1f} GB, {gpu.free_bytes / 1e9:.1f} free{capability}"
        rows.append(
            f"  {where:<8}{gpu.name}: {what}{'' if gpu.bf16 else ', no bfloat16'}{', a MIG slice' if gpu.mig else ''}"
        )
    ram = "memory not known"
    if hardware.total_ram is not None and hardware.free_ram is not None:
        ram = f"{hardware.total_ram / 1e9:.1f} GB, {hardware.free_ram / 1e9:.1f} free"
    bf16 = "bfloat16" if hardware.cpu_bf16 else "no bfloat16"
    cores = f"{hardware.cores} core{'' if hardware.cores == 1 else 's'}"
    rows.append(f"  {'cpu':<8}{cores}: {ram}, {bf16}")
    return rows + [f"  note: {note}" for note in hardware.notes]


def _plan_lines(plan: Plan) -> list[str]:
    how = plan.dtype if plan.quantisation == "none" else f"{plan.quantisation} ({plan.dtype} elsewhere)"
    where = ", ".join(used.device for used in plan.bytes)
    return [
        f"  {plan.variant}, {how}, on {where}",
        f"  from {plan.repository}",
        f"  up to {plan.max_tiles} tiles a picture, {plan.max_frames} frames of a video, "
        f"{plan.context} tokens; {plan.batch} at a time",
    ]


def _memory_lines(plan: Plan) -> list[str]:
    heads = ("weights", "KV cache", "activations", "caches", "overhead", "total", "may use")
    lines = ["  device  " + "".join(f"{head:>12}" for head in heads)]
    for used in plan.bytes:
        sizes = [getattr(used, name) for name in (*_PARTS, "total", "available")]
        share = used.total / used.available
        bar = ("#" * int(share * _BAR)).ljust(_BAR, ".")
        lines.append(f"  {used.device:<8}" + "".join(f"{size / 1e9:>12.2f}" for size in sizes) + f"  {bar} {share:.0%}")
    return lines


def _next_step(policy: Policy, plan: Plan) -> str:
    from vision.variants.catalogue import variant_named

    try:
        variant = variant_named(plan.variant)
    except UnknownVariant:  # a checkpoint of the user's own
        return "Next: nothing to fetch, the checkpoint is here"
    return f"Next: internvl-mcp pull {variant.name}   (licence: {variant.licence})"


def _worth_telling(policy: Policy, plan: Plan) -> list[str]:
    """What scores better than the plan; that smaller models are not chosen needs no word."""
    from vision.variants.catalogue import variant_named
    from vision.variants.ranking import published

    if not plan.rejected or policy.variant is not None:
        return []
    mine = published(variant_named(plan.variant), policy.use) or 0.0
    told, rest = [], 0
    for one in plan.rejected:
        score = published(variant_named(one.variant), policy.use)
        if score is not None and score > mine and one.quantisation != "awq":
            told.append(
                f"  {one.variant:<30}{'16 bits' if one.quantisation == 'none' else one.quantisation:<9}{one.reason}"
            )
        else:
            rest += 1
    return [*told, f"  and {rest} more (--json lists all)"] if rest else told
