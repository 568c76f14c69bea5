"""From a serving plan to the commands of its server: for people, and for starting it on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vision.serving import llama_cpp, lmdeploy, vllm
from vision.serving.launch import devices_of, replica_steps
from vision.serving.types import Launch, ServerName, ServingPlan, Step

# Where a server takes its key from. LMDeploy has its command line alone, where every user of the machine would read it.
KEY_VARIABLE: dict[ServerName, str] = {"vllm": "VLLM_API_KEY", "llama.cpp": "LLAMA_API_KEY"}


def launch_of(plan: ServingPlan) -> Launch:
    """The commands for the plan's own server."""
    if plan.server == "vllm":
        return vllm.launch(plan)
    return lmdeploy.launch(plan) if plan.server == "lmdeploy" else llama_cpp.launch(plan)


def process_count(plan: ServingPlan) -> int:
    """Processes on this machine: vLLM holds its replicas itself."""
    return 1 if plan.server == "vllm" else plan.replicas


def local_steps(plan: ServingPlan, folder: Path, host: str, ports: Sequence[int]) -> tuple[Step, ...]:
    """A process for each port, with the weights that are in `folder`. Raises WeightsUnusable where they are not."""
    if plan.server == "llama.cpp":
        return replica_steps(plan, 0, lambda i: llama_cpp.arguments(plan, host, ports[i], folder))
    # A snapshot is what its revision stands for.
    here = plan.model_copy(update={"repository": str(folder), "revision": None})
    if plan.server == "lmdeploy":
        return replica_steps(plan, 0, lambda i: lmdeploy.arguments(here, host, ports[i]))
    return (Step(where="on this machine", argv=vllm.arguments(here, host, ports[0]), env=devices_of(plan)),)
