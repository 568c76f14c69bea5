"""What is to be deployed, as manifests/deploy/descriptor.json tells it, and vLLM's command for it."""

from pathlib import Path

from pydantic import Field

from vision.serving.launch import EVERYWHERE
from vision.serving.selection import serving_plan
from vision.serving.servers import SERVERS
from vision.serving.types import ServingPlan
from vision.serving.vllm import arguments
from vision.types import Frozen
from vision.variants.hardware import Hardware
from vision.variants.known_gpus import gpu_named
from vision.variants.policy import Policy, Request

FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "deploy"
SERVER = SERVERS["vllm"]
# Weights come over the network at the first start: a minute a GB, and time to compile and to fill the GPUs.
START_S = 3600


class Secret(Frozen):
    name: str
    key: str


class Target(Frozen):
    """A variant on so many GPUs of each of so many machines (Ray), or as so many replicas (Kubernetes)."""

    variant: str
    gpu: str
    gpus: int = Field(ge=1)
    nodes: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)
    image: str = ""
    version: str = ""

    @property
    def plan(self) -> ServingPlan:
        hardware = Hardware(gpus=tuple(gpu_named(self.gpu, index) for index in range(self.gpus)))
        return serving_plan(SERVER, hardware, Policy(variant=self.variant), Request(), self.nodes)


class Descriptor(Frozen):
    about: str
    name: str
    image: str
    secret: Secret
    shared_memory_gib: int = Field(ge=1)
    compose: Target
    kubernetes: Target
    ray: Target

    @property
    def pinned(self) -> str:
        """The image of the release that the options were read from."""
        return f"{self.image}:v{SERVER.version}"


def command(plan: ServingPlan) -> list[str]:
    return list(arguments(plan, EVERYWHERE, SERVER.port))
