"""All that setup would do on a machine, before any of it is done: packages and weights, with their sizes."""

from __future__ import annotations

from pathlib import Path

from mcp_server.pulling import size
from mcp_server.setup_environment import Environment, Install, environment_of, install_for
from mcp_server.setup_facts import Facts
from mcp_server.setup_model import ModelOffer, others
from mcp_server.torch_builds import Build, build_for, installed_torch, trouble
from vision.config import Settings
from vision.types import Frozen
from vision.variants.hardware import Gpu, Hardware
from vision.variants.plan import Plan

# The extra [local] without torch: transformers, bitsandbytes and the like.
_REST_DOWNLOAD, _REST_INSTALLED = 90 * 10**6, 300 * 10**6
_SPARE = 512 << 20  # left free on a disk


class Problem(Frozen):
    """Why a part cannot be done, and what to do about it."""

    part: str
    what: str
    advice: str


class Packages(Frozen):
    """`why` they are installed; `download` and `installed` in bytes, about."""

    build: Build
    install: Install
    why: str
    download: int
    installed: int


class ModelPlan(Frozen):
    """`packages` is None where they are there; `download` is 0 where the weights are. Bytes, as in `ModelOffer`."""

    offer: ModelOffer
    packages: Packages | None = None
    download: int = 0
    cache: Path
    free: int = 0
    problems: tuple[Problem, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        return self.packages is None and not self.download


def model_plan(facts: Facts, settings: Settings, hardware: Hardware, found: ModelOffer) -> ModelPlan:
    """What brings the model that is offered; nothing for the embedded engine."""
    if found.plan is None:
        unmet = (Problem(part="model", what=found.why, advice=found.advice),) if found.unmet else ()
        return ModelPlan(offer=found, cache=facts.cache, problems=unmet)
    environment = environment_of(facts)
    packages = _packages(facts, environment, gpus_of(found.plan, hardware, settings.memory_fraction), found.plan)
    free = facts.free_bytes(facts.cache)
    problems = [*_no_room(facts, settings, hardware, environment, packages, found)]
    if found.download and facts.offline:
        problems.append(
            Problem(
                part="weights",
                what=f"HF_HUB_OFFLINE is set, and the weights of {found.plan.variant} are not all here",
                advice=f"Unset it, or copy the folder models--{found.plan.repository.replace('/', '--')} of another "
                f"machine's cache into {facts.cache}.",
            )
        )
    if found.download and not facts.may_write(facts.cache):
        what = f"weights cannot be kept in {facts.cache}: you may not write there"
        problems.append(Problem(part="weights", what=what, advice="Set HF_HOME to a folder of your own."))
    if packages is not None and not packages.install.by_us:
        problems.append(Problem(part="packages", what=packages.install.note, advice=_by_hand(packages.install)))
    return ModelPlan(
        offer=found,
        packages=packages,
        download=found.download,
        cache=facts.cache,
        free=free,
        problems=tuple(problems),
    )


def gpus_of(plan: Plan, hardware: Hardware, memory_fraction: float) -> list[Gpu]:
    """The GPUs that a plan uses. NVIDIA's and AMD's go by one name in torch: their free memory tells which it means."""
    found = [gpu for gpu in hardware.gpus if gpu.kind == plan.device and gpu.index in plan.devices]
    rooms = {used.available for used in plan.bytes}
    meant = [gpu for gpu in found if int(gpu.free_bytes * memory_fraction) in rooms]
    return meant or found  # a model that is up was planned when more was free


def _packages(facts: Facts, environment: Environment, gpus: list[Gpu], plan: Plan) -> Packages | None:
    missing = facts.missing()
    torch = installed_torch(facts.packages)
    wrong = trouble(torch, gpus) if torch is not None else ""
    if not missing and not wrong:
        return None
    build = build_for(plan.device, gpus, facts.place.system)
    with_torch = torch is None or bool(wrong)
    install = install_for(environment, build, facts, replace=bool(wrong))
    return Packages(
        build=build,
        install=install,
        why=wrong or f"not installed: {', '.join(missing)}",
        download=(build.download if with_torch else 0) + _REST_DOWNLOAD,
        installed=(build.installed if with_torch else 0) + _REST_INSTALLED,
    )


def _no_room(
    facts: Facts,
    settings: Settings,
    hardware: Hardware,
    environment: Environment,
    packages: Packages | None,
    found: ModelOffer,
) -> list[Problem]:
    """Disks on which the packages and the weights do not fit, together where they go to the same one."""
    installed = packages.installed if packages else 0
    same = facts.same_disk(environment.prefix, facts.cache)
    needs = {facts.cache: found.download + (installed if same else 0)}
    if not same:
        needs[environment.prefix] = installed
    problems = []
    for folder, needed in needs.items():
        free = facts.free_bytes(folder)
        if needed and free < needed + _SPARE:
            what = f"{size(needed)} more are needed in {folder}, and {size(free)} are free"
            room = free - installed if same else free
            problems.append(Problem(part="disk", what=what, advice=_make_room(settings, hardware, room, needed)))
    return problems


def _make_room(settings: Settings, hardware: Hardware, free: int, needed: int) -> str:
    smaller = [other for other in others(settings, hardware) if other.size + _SPARE <= free and other.size < needed]
    less = f", or take a smaller one: --variant {smaller[-1].name} ({size(smaller[-1].size)})" if smaller else ""
    return f"Free some room, or set HF_HOME to a folder on a larger disk for the weights{less}."


def _by_hand(install: Install) -> str:
    return f"Run: {' && '.join(install.shown)}"
