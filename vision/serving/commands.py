"""From a serving plan to the commands of its server."""

from __future__ import annotations

from vision.serving import llama_cpp, lmdeploy, vllm
from vision.serving.types import Launch, ServingPlan


def launch_of(plan: ServingPlan) -> Launch:
    """The commands for the plan's own server."""
    if plan.server == "vllm":
        return vllm.launch(plan)
    return lmdeploy.launch(plan) if plan.server == "lmdeploy" else llama_cpp.launch(plan)
