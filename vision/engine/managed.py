"""What a server of others runs, started here: the best of what lies on this machine in a form that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vision.engine.choice import Choice
from vision.errors import EngineUnavailable, WeightsUnusable
from vision.serving.gguf import gguf_files
from vision.serving.llama_cpp import projector_file, weights_file
from vision.serving.selection import serving_plan
from vision.serving.servers import TITLES
from vision.serving.types import Server, ServingPlan
from vision.variants.catalogue import variants
from vision.variants.hardware import Hardware
from vision.variants.plan import Quantisation
from vision.variants.policy import Policy, Request
from vision.weights.snapshot import Checkpoint


def plan_of(server: Server, hardware: Hardware, policy: Policy, request: Request) -> ServingPlan:
    """What the server would run here. Raises as `serving_plan`."""
    try:
        return serving_plan(server, hardware, policy, request)
    except EngineUnavailable as e:  # its hint speaks of the command `plan`
        hint = "Use engine llama.cpp, internvl or ocr here, or a server on another machine: --endpoint."
        raise EngineUnavailable(e.message, hint) from e


def from_checkpoints(
    server: Server, hardware: Hardware, policy: Policy, request: Request, found: Mapping[str, Checkpoint]
) -> Choice:
    """`found`: checkpoints that are whole, by variant; there is one."""
    plan = plan_of(server, hardware, policy, request.model_copy(update={"available": frozenset(found)}))
    checkpoint = found[plan.variant]
    return choice_of(plan.model_copy(update={"revision": checkpoint.commit}), checkpoint.folder)


def from_gguf(server: Server, hardware: Hardware, policy: Policy, request: Request, folder: Path | None) -> Choice:
    """llama.cpp's own files. Raises WeightsUnusable where the folder holds none that may be used."""
    here: dict[str, set[Quantisation]] = {}
    if folder is not None:
        named = {variant.name: gguf_files(folder.expanduser(), variant.name) for variant in variants()}
        here = {name: {file.quantisation for file in files} for name, files in named.items() if files}
    if folder is None or not here:
        raise _no_files(plan_of(server, hardware, policy, request), folder)
    request = request.model_copy(update={"available": frozenset(here)})
    plan = plan_of(_reading(server, set().union(*here.values())), hardware, policy, request)
    if plan.quantisation not in here[plan.variant]:  # another variant's form: this one in a form that it has
        policy = policy.model_copy(update={"variant": plan.variant})
        plan = plan_of(_reading(server, here[plan.variant]), hardware, policy, request)
    if plan.quantisation not in here[plan.variant]:
        raise _no_files(plan, folder)
    return choice_of(plan, folder.expanduser().absolute())


def choice_of(plan: ServingPlan, folder: Path, running: bool = False) -> Choice:
    reason = f"the setting engine is {plan.server}: {plan.reasons[0] if plan.reasons else plan.variant}"
    return Choice(
        name="internvl", reason=f"{reason}; it is running already" if running else reason, plan=plan, folder=folder
    )


def _reading(server: Server, kinds: set[Quantisation]) -> Server:
    return server._replace(quantisations=tuple(kind for kind in server.quantisations if kind in kinds))


def _no_files(plan: ServingPlan, folder: Path | None) -> WeightsUnusable:
    wanted = f"{weights_file(plan)} and {projector_file(plan)}"
    how = f"internvl-mcp plan --serve llama.cpp --variant {plan.variant} tells how they are made"
    if folder is None:
        return WeightsUnusable(
            f"{TITLES[plan.server]} needs GGUF files, and the setting gguf_folder names no folder",
            f"Put {wanted} into a folder and name it: --gguf-folder DIR; {how}.",
        )
    return WeightsUnusable(f"{folder} does not hold an InternVL as GGUF files", f"Put {wanted} there; {how}.")
