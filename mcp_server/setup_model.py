"""Which model setup offers: what the selector takes for this machine, or none where none is worth its download."""

from __future__ import annotations

from pathlib import Path

from mcp_server.setup_facts import Facts
from mcp_server.torch_builds import no_build
from vision.config import Settings
from vision.engine.folder import plan_for
from vision.engine.local import folder_of, local_weights, policy_of
from vision.errors import ConfigError, UnknownVariant, VisionError
from vision.types import Frozen
from vision.variants import selector
from vision.variants.catalogue import variant_named, variants
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan
from vision.variants.policy import request_from
from vision.weights.layout import RepositoryFolder
from vision.weights.snapshot import verify

# A picture of seven tiles to the first word of an answer, InternVL3.5-1B's shape, measured on two cores: 18.8 s where
# the CPU multiplies bfloat16, 43.5 s in float32. More cores divide that.
_CORE_SECONDS = {True: 38.0, False: 87.0}
_WORTH_IT_S = 15.0


class ModelOffer(Frozen):
    """`plan` is None where the embedded engine is recommended, with `why`; `advice`: how to have a model all the same.
    `named`: what the setting variant says to mean this very model. `unmet`: a model was named and cannot be had.
    `others_fit`: there are variants that fit, although none is recommended.

    `size`: bytes of the weights, about, `present` what of them is here; `licence` of the weights.
    """

    plan: Plan | None = None
    named: str = ""
    why: str
    advice: str = ""
    unmet: bool = False
    others_fit: bool = False
    size: int = 0
    present: int = 0
    licence: str = ""

    @property
    def download(self) -> int:
        return max(0, self.size - self.present)

    @property
    def memory(self) -> int:
        """Bytes it takes of its devices' memory."""
        return sum(used.total for used in self.plan.bytes) if self.plan else 0


class Other(Frozen):
    """Another variant that fits, with the bytes of its weights."""

    name: str
    device: str
    size: int


def offer(facts: Facts, settings: Settings, hardware: Hardware) -> ModelOffer:
    """What setup recommends, or what the settings name.

    Raises UnknownVariant, ConfigError and WeightsUnusable (a named folder), which the user has to mend.
    """
    if reason := _elsewhere(settings):
        return ModelOffer(why=reason)
    musl = (facts.root / "etc/alpine-release").exists()
    if reason := no_build(facts.place.system, facts.processor, musl):
        advice = "A model on another machine can be used: --endpoint URL."
        return ModelOffer(why=reason, advice=advice, unmet=settings.variant is not None)
    folder = folder_of(settings)
    if folder is not None:
        checkpoint = verify(folder)
        found = plan_for(checkpoint, hardware, policy_of(settings), request_from(settings))
        size, named = checkpoint.size, str(folder)
        return ModelOffer(plan=found, named=named, why=found.reasons[0], size=size, present=size)
    try:
        found = _up(facts, settings) or selector.plan(hardware, policy_of(settings), request_from(settings))
    except (UnknownVariant, ConfigError):
        raise
    except VisionError as e:
        return ModelOffer(why=e.message, advice=e.hint, unmet=settings.variant is not None)
    if found.device == "cpu" and settings.variant is None and (seconds := first_word_s(hardware)) > _WORTH_IT_S:
        why = f"no GPU that a model can use: {found.variant} would take about {seconds:.0f} s a picture on this CPU"
        advice = f"To have it all the same: internvl-mcp setup --variant {found.variant}"
        return ModelOffer(why=why, advice=advice, others_fit=True)
    return _with_sizes(facts, settings, found)


def first_word_s(hardware: Hardware) -> float:
    """Seconds from a picture to the first word of an answer on the CPU, about."""
    return _CORE_SECONDS[hardware.cpu_bf16] / hardware.cores


def others(settings: Settings, hardware: Hardware) -> list[Other]:
    """The catalogue's variants that fit this machine, smallest first."""
    found: list[Other] = []
    for variant in variants():
        if variant.only_when_named:
            continue
        named = settings.model_copy(update={"variant": variant.name})
        try:
            plan = selector.plan(hardware, policy_of(named), request_from(named))
        except VisionError:
            continue  # it does not fit
        found.append(Other(name=variant.name, device=plan.device, size=variant.bytes.bf16))
    return sorted(found, key=lambda other: other.size)


def _up(facts: Facts, settings: Settings) -> Plan | None:
    """The plan of a model that is up: what it takes of the memory is no reason for a smaller one."""
    wanted = variant_named(settings.variant).name if settings.variant else None
    known = {variant.name for variant in variants() if not variant.only_when_named}
    plans = [spec.plan for spec in facts.running() if isinstance(spec.plan, Plan)]
    return next((plan for plan in plans if plan.variant == wanted or (wanted is None and plan.variant in known)), None)


def _elsewhere(settings: Settings) -> str:
    """Why the settings want no model of ours here."""
    if settings.engine == "ocr":
        return "the setting engine is ocr"
    if settings.endpoints or settings.engine == "remote":
        return "the settings name a model that somebody else serves (endpoints)"
    if settings.engine not in ("auto", "internvl"):
        return f"the setting engine is {settings.engine}, a server that brings packages of its own"
    return ""


def _with_sizes(facts: Facts, settings: Settings, plan: Plan) -> ModelOffer:
    variant = variant_named(plan.variant)
    whole, _ = local_weights(settings.model_copy(update={"variant": variant.name}), facts.cache)
    here = whole.get(variant.name)
    size = here.size if here else variant.bytes.bf16
    present = size if here else min(size, _bytes_of(RepositoryFolder.of(variant.repository, facts.cache).path))
    return ModelOffer(
        plan=plan, named=variant.name, why=plan.reasons[0], size=size, present=present, licence=variant.licence
    )


def _bytes_of(repository: Path) -> int:
    """What lies in a repository's folder of the cache, whole or in part."""
    try:
        return sum(blob.stat().st_size for blob in (repository / "blobs").iterdir())
    except OSError:  # nothing is there yet, or not for this user
        return 0
