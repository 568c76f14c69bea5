"""What a plan says about itself: why this variant, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from vision.variants.candidates import Candidate, before, unusable
from vision.variants.catalogue import Variant, variants
from vision.variants.estimate import can_be_quantised
from vision.variants.hardware import Hardware
from vision.variants.layout import Layout
from vision.variants.plan import Quantisation, Rejected
from vision.variants.policy import Policy, Request
from vision.variants.ranking import PENALTY, published

_AMPERE = (8, 0)
_QUANTISATIONS: tuple[Quantisation, ...] = ("none", "int8", "nf4", "awq")


def gigabytes(size: int) -> str:
    """In units of 10^9 bytes, as makers of memory count."""
    return f"{size / 1e9:.1f} GB"


def reasons(hardware: Hardware, policy: Policy, request: Request, best: Candidate, layout: Layout) -> tuple[str, ...]:
    """One sentence for each thing that was decided."""
    found = [
        why_variant(policy, request, best),
        _why_devices(hardware, policy, best, layout),
        _why_dtype(hardware, best),
        _why_quantisation(policy, best),
        _why_attention(hardware, best, layout),
        _why_capacity(request, best),
    ]
    found += [f"{gpu.name} is not used: {why}" for gpu in hardware.gpus if (why := unusable(gpu))]
    return tuple(reason for reason in found if reason)


def rejections(
    tried: dict[str, list[Candidate]], best: Candidate, policy: Policy, left_out: dict[str, str]
) -> tuple[Rejected, ...]:
    """Each other way to run each variant on this machine, with the one thing that ruled it out."""
    return rejected(tried, best, policy, left_out, _QUANTISATIONS, partial(_why_untried, best, policy))


def rejected(
    tried: dict[str, list[Candidate]],
    best: Candidate,
    policy: Policy,
    left_out: dict[str, str],
    quantisations: tuple[Quantisation, ...],
    why_untried: Callable[[Variant, Quantisation], str | None] = lambda variant, quantisation: None,
) -> tuple[Rejected, ...]:
    """Each other variant and each other form of its weights, in the catalogue's order, with why it was not taken.

    Left out is what there is nothing to say of: the best itself, smaller weights where whole ones fit, and what was not
    tried, unless `why_untried` knows something of it.
    """
    found: list[Rejected] = []
    for variant in variants():
        if variant.name in left_out:
            found.append(Rejected(variant=variant.name, quantisation="none", reason=left_out[variant.name]))
            continue
        ways = tried[variant.name]
        if best.rank.on_gpu:
            ways = [candidate for candidate in ways if candidate.rank.on_gpu] or ways
        whole = any(way.rung is not None and way.build.quantisation == "none" for way in ways)
        for quantisation in quantisations:
            if (best.build.variant, best.build.quantisation) == (variant, quantisation):
                continue
            if whole and quantisation != "none":
                continue
            same = [way for way in ways if way.build.quantisation == quantisation]
            reason = why_not(same, best, policy) if same else why_untried(variant, quantisation)
            if reason:
                found.append(Rejected(variant=variant.name, quantisation=quantisation, reason=reason))
    return tuple(found)


def _why_untried(best: Candidate, policy: Policy, variant: Variant, quantisation: Quantisation) -> str | None:
    if quantisation == "awq" and variant.awq_repository and best.rank.on_gpu:
        return f"{variant.awq_repository} is for LMDeploy; the model host here does not read it"
    if quantisation == "nf4" and policy.quantisation == "auto" and best.rank.on_gpu and not can_be_quantised(variant):
        return "bitsandbytes leaves fused experts as they are"
    return None


def why_not(ways: list[Candidate], best: Candidate, policy: Policy) -> str:
    """The one thing that ruled out all these ways to run a variant."""
    fitting = [candidate for candidate in ways if candidate.rung is not None]
    if not fitting:
        least = min(candidate.least for candidate in ways)
        most = max(sum(offer.available for offer in c.offers) for c in ways)
        short = "its parts do not fit on the devices" if least <= most else f"{gigabytes(most)} may be used"
        return f"needs {gigabytes(least)} at the least; {short}"
    other = max(fitting, key=lambda c: c.rank).rank
    if other.on_gpu != best.rank.on_gpu:
        return "it would run on the CPU, and a GPU is faster"
    if other.takes_the_tiles != best.rank.takes_the_tiles:
        return "leaves no room for the tiles that are wanted"
    if other.fast_enough != best.rank.fast_enough:
        return f"too slow for the goal {policy.goal}" if other.on_gpu else "too slow on a CPU"
    if other.points != best.rank.points:
        return f"{other.points:.1f} points against {best.rank.points:.1f} for {policy.use} use"
    return "an older generation with the same points" if other.generation < best.rank.generation else "no better"


def why_variant(policy: Policy, request: Request, best: Candidate) -> str:
    """What speaks for the variant that was chosen."""
    variant = best.build.variant
    score = published(variant, policy.use)
    scored = f"{score:.1f} points for {policy.use} use" if score is not None else "no published score"
    if policy.variant:
        return f"{variant.name} is pinned ({scored})"
    of_what = "the variants on this machine" if request.available is not None else "the catalogue"
    return f"{variant.name} has {scored} and is the best of {of_what} that fits, by the goal {policy.goal}"


def _why_devices(hardware: Hardware, policy: Policy, best: Candidate, layout: Layout) -> str:
    share = f"{policy.memory_fraction:.0%} of what is free now may be used"
    if best.build.kind == "cpu":
        why = "no GPU was found" if not hardware.gpus else "no GPU here has room for any variant that may be taken"
        if hardware.gpus and all(unusable(gpu) for gpu in hardware.gpus):
            why = "no GPU here can be used"
        if policy.device == "cpu":
            why = "the device is pinned"
        return f"it runs on the CPU: {why}; {share}"
    if len(layout.devices) == 1:
        return f"one device is enough; {share}"
    return f"{len(layout.devices)} devices hold its layers; the first also what goes before and after them; {share}"


def _why_dtype(hardware: Hardware, best: Candidate) -> str:
    if best.build.kind == "cpu":
        if hardware.cpu_bf16:
            return "bfloat16: this CPU multiplies it in hardware"
        return "float32: this CPU has no instructions for bfloat16"
    if best.build.dtype == "bfloat16":
        return "bfloat16, as published"
    since = " (NVIDIA has it from Ampere, 8.0, on)" if best.build.kind == "cuda" else ""
    return f"float16: the device has no bfloat16{since}"


def _why_quantisation(policy: Policy, best: Candidate) -> str:
    kind = best.build.quantisation
    if kind == "none":
        return ""
    if policy.quantisation != "auto":
        return f"{kind} as the policy says; vision tower, projector, embeddings and lm_head stay at 16 bits"
    cost = PENALTY[policy.goal][kind]
    return (
        f"{kind} for the language model's linear layers: better than what fits unquantised, even with {cost:g} points "
        "taken off for it"
    )


def _why_attention(hardware: Hardware, best: Candidate, layout: Layout) -> str:
    if best.build.kind != "cuda":
        return "attention by torch's SDPA"
    used = [gpu for gpu in hardware.gpus if gpu.kind == "cuda" and gpu.index in layout.devices]
    if any(before(gpu, _AMPERE) for gpu in used):
        return "attention by torch's SDPA, whose memory-efficient kernel runs here; flash attention needs Ampere"
    return "attention by torch's SDPA, which has flash kernels of its own; the package flash_attn is not needed"


def _why_capacity(request: Request, best: Candidate) -> str:
    capacity = best.capacity
    fewer = request.max_tiles is not None and capacity.max_tiles < request.max_tiles
    wish = f" ({request.max_tiles} tiles were wanted)" if fewer else ""
    limit = ", few of both because a CPU takes seconds a tile" if best.build.kind == "cpu" else ""
    return (
        f"{capacity.context} tokens of context for {capacity.batch} at a time: up to {capacity.max_tiles} tiles a "
        f"picture{wish} or {capacity.max_frames} frames of a video{limit}"
    )
