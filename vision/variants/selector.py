"""From hardware, policy and request to a plan. Pure: the same input gives the same plan, nothing is read or measured.

Every way to run every variant is estimated (`candidates`), those that do not fit are set aside, and the best of the
rest by one total order (`ranking`) is the plan. Why the others were not taken stands in `Plan.rejected`.
"""

from __future__ import annotations

from vision.errors import ConfigError, EngineUnavailable, OutOfMemory, WeightsUnusable
from vision.variants.candidates import Candidate, candidates, feature_cache_bytes, unusable
from vision.variants.catalogue import Variant, variant_named, variants
from vision.variants.estimate import can_be_quantised, kv_bytes_per_token
from vision.variants.hardware import Hardware
from vision.variants.layout import device_map, place
from vision.variants.plan import Plan, Rejected
from vision.variants.policy import Policy, Request
from vision.variants.ranking import SLOW_ON_CPU, Rank
from vision.variants.reasons import gigabytes, reasons, rejections

__all__ = ["Policy", "Request", "allowed_variants", "best_rank", "nothing_fits", "plan", "why_left_out"]


def plan(hardware: Hardware, policy: Policy | None = None, request: Request | None = None) -> Plan:
    """The best plan for this machine.

    Raises UnknownVariant (a pinned one), ConfigError (a pinned device or quantisation that cannot be had),
    WeightsUnusable (nothing that may be used is on the disk), OutOfMemory (nothing fits) and EngineUnavailable (only
    variants that are too slow for a CPU).
    """
    policy, request = policy or Policy(), request or Request()
    tried = _tried(hardware, policy, request)
    best = _best(hardware, policy, request, tried)
    allowed = allowed_variants(policy, request)
    left_out = {v.name: why_left_out(v, policy, request) for v in variants() if v not in allowed}
    return _plan(hardware, policy, request, best, rejections(tried, best, policy, left_out))


def best_rank(hardware: Hardware, policy: Policy, request: Request) -> Rank:
    """Where the plan stands in the order of all plans. Raises as `plan` does."""
    return _best(hardware, policy, request, _tried(hardware, policy, request)).rank


def _tried(hardware: Hardware, policy: Policy, request: Request) -> dict[str, list[Candidate]]:
    return {variant.name: list(candidates(hardware, policy, request, variant)) for variant in variants()}


def _best(hardware: Hardware, policy: Policy, request: Request, tried: dict[str, list[Candidate]]) -> Candidate:
    _check_device(hardware, policy)
    allowed = [candidate for variant in allowed_variants(policy, request) for candidate in tried[variant.name]]
    _check_quantisation(policy, allowed)
    fitting = [candidate for candidate in allowed if candidate.rung is not None and _bearable(candidate, policy)]
    if not fitting:
        raise nothing_fits(hardware, allowed)
    return max(fitting, key=lambda c: (c.rank, c.build.variant.name, c.build.kind, [-o.device for o in c.offers]))


def _plan(
    hardware: Hardware, policy: Policy, request: Request, best: Candidate, rejected: tuple[Rejected, ...]
) -> Plan:
    build, capacity = best.build, best.capacity
    layout = place(build, capacity, best.offers, best.feature_cache)
    if layout is None:  # cannot be: the candidate was found to fit
        raise OutOfMemory(f"{build.variant.name} does not fit", "Report this with the output of `internvl-mcp plan`.")
    variant = build.variant
    awq = build.quantisation == "awq" and variant.awq_repository
    return Plan(
        variant=variant.name,
        repository=awq or variant.repository,
        revision=None if awq else variant.revision,
        device=build.kind,
        devices=() if build.kind == "cpu" else layout.devices,
        dtype=build.dtype,
        quantisation=build.quantisation,
        device_map=device_map(layout),
        max_tiles=capacity.max_tiles,
        max_frames=capacity.max_frames,
        context=capacity.context,
        batch=capacity.batch,
        attention="sdpa",
        feature_cache_bytes=feature_cache_bytes(hardware, policy, build.kind),
        prefix_cache_bytes=capacity.prefix_tokens * kv_bytes_per_token(build),
        bytes=layout.parts,
        reasons=reasons(hardware, policy, request, best, layout),
        rejected=rejected,
    )


def allowed_variants(policy: Policy, request: Request) -> list[Variant]:
    """Variants that may be chosen."""
    chosen = [variant_named(policy.variant)] if policy.variant else [v for v in variants() if not v.only_when_named]
    if request.available is None:
        return chosen
    here = [variant for variant in chosen if variant.name in request.available]
    if not here:
        what = f"{chosen[0].name} is not" if policy.variant else "no InternVL weights are"
        pull = f"internvl-mcp pull {chosen[0].name}" if policy.variant else "internvl-mcp pull"
        raise WeightsUnusable(f"{what} on this machine", f"Fetch them with `{pull}`.")
    return here


def why_left_out(variant: Variant, policy: Policy, request: Request) -> str:
    """Why a variant of the catalogue was not even tried."""
    if policy.variant:
        return "another variant is pinned"
    if variant.only_when_named:
        return f"taken only when named: {variant.only_when_named}"
    return "its weights are not on this machine" if request.available is not None else "not allowed"


def _bearable(candidate: Candidate, policy: Policy) -> bool:
    """On a CPU only small variants, unless the user names one."""
    variant = candidate.build.variant
    return bool(policy.variant) or candidate.build.kind != "cpu" or variant.parameters.active <= SLOW_ON_CPU


def _check_device(hardware: Hardware, policy: Policy) -> None:
    if policy.device in ("auto", "cpu"):
        return
    wanted = [gpu for gpu in hardware.gpus if gpu.kind == policy.device]
    if not wanted:
        raise ConfigError(
            f"device is {policy.device}, and there is no such device here",
            "Use device = auto, or look at `internvl-mcp plan` for what was found.",
        )
    reasons_why_not = [reason for gpu in wanted if (reason := unusable(gpu))]
    if len(reasons_why_not) == len(wanted):
        raise ConfigError(
            f"device is {policy.device}, and none of them can be used: {reasons_why_not[0]}",
            "Use device = cpu or auto.",
        )


def _check_quantisation(policy: Policy, tried: list[Candidate]) -> None:
    if policy.quantisation not in ("int8", "nf4") or tried:
        return
    if policy.variant and not can_be_quantised(variant_named(policy.variant)):
        raise ConfigError(
            f"{variant_named(policy.variant).name} cannot be quantised: bitsandbytes leaves fused experts as they are",
            "Use quantisation = auto or none, or name a dense variant.",
        )
    raise ConfigError(
        f"quantisation {policy.quantisation} needs an NVIDIA GPU that bitsandbytes supports",
        "Use quantisation = auto or none.",
    )


def nothing_fits(hardware: Hardware, tried: list[Candidate]) -> OutOfMemory | EngineUnavailable:
    """The error for a machine on which nothing fits: what the smallest would have needed."""
    fitting = [candidate for candidate in tried if candidate.rung is not None]
    if fitting:
        return EngineUnavailable(
            "no GPU holds the variants that are here, and they are too slow on a CPU",
            "Fetch a small one with `internvl-mcp pull InternVL3.5-1B`, or name one with --variant to use it anyway.",
        )
    if hardware.free_ram is None and not hardware.gpus:
        return OutOfMemory(
            "this system does not tell how much memory is free, and there is no GPU",
            "Use a remote engine, or a machine with a GPU.",
        )
    least = min(tried, key=lambda candidate: candidate.least)
    most = max(sum(offer.available for offer in candidate.offers) for candidate in tried)
    amount = gigabytes(least.least)
    where = "memory" if least.build.kind == "cpu" else "GPU memory"
    return OutOfMemory(
        f"{least.build.variant.name} needs about {amount} of {where}, and {gigabytes(most)} may be used here",
        "Close other programs, raise memory_fraction, name a smaller variant, or use a remote engine.",
    )
