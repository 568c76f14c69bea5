"""What a server is to run, and how it is started. Sizes are bytes, counts are tokens, tiles, frames or GPUs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from vision.types import Frozen
from vision.variants.hardware import Vendor
from vision.variants.plan import DeviceKind, Dtype, PartBytes, Quantisation, Rejected

ServerName = Literal["vllm", "lmdeploy", "llama.cpp"]


class Server(NamedTuple):
    """What the planning must know of a server.

    `version`: the release that the options were read from. `tensor`: whether it cuts matrices; `pipeline`: whether it
    shares out layers, `nodes`: over several machines too. `fixed_tiles`: tiles of a picture where no option or request
    changes them, else 0. `reserve`: bytes a GPU beside weights, KV cache and activations (CUDA graphs, NCCL's buffers):
    an estimate, not measured. `share_of_total`: whether its memory option counts all of a GPU's memory or what is free.
    """

    name: ServerName
    package: str
    version: str
    vendors: tuple[Vendor, ...]
    min_capability: tuple[int, int]
    quantisations: tuple[Quantisation, ...]
    tensor: bool
    pipeline: bool
    nodes: bool
    cpu: bool
    fixed_tiles: int
    reserve: int
    port: int


class ServingPlan(Frozen):
    """How a server runs one variant on each of `nodes` equal machines.

    A replica takes `tensor` x `pipeline` GPUs; `replicas` of them fit on the machines together. `vendor`: of the GPUs,
    None on a CPU; `devices`: indices of those used on each machine, replica after replica. `context`: most tokens of a
    prompt with its answer; `sequences`: answers made side by side in each replica; `pool`: tokens its KV cache holds.
    `step_tokens`: most tokens of prompts worked on at once. `memory_share`: of a GPU's whole memory, what the server
    may take. `bytes`: one GPU's.
    """

    server: ServerName
    variant: str
    repository: str
    revision: str | None
    remote_code: bool
    device: DeviceKind
    vendor: Vendor | None
    dtype: Dtype
    quantisation: Quantisation
    nodes: int = Field(ge=1)
    tensor: int = Field(ge=1)
    pipeline: int = Field(ge=1)
    replicas: int = Field(ge=1)
    devices: tuple[int, ...]
    all_devices: bool
    context: int
    sequences: int = Field(ge=1)
    pool: int
    step_tokens: int
    max_tiles: int
    max_frames: int
    memory_share: float = Field(gt=0, le=1)
    bytes: PartBytes
    reasons: tuple[str, ...]
    rejected: tuple[Rejected, ...]

    @property
    def spans_nodes(self) -> bool:
        """Whether one replica needs several machines."""
        return self.tensor * self.pipeline > len(self.devices) > 0


class Served(Frozen):
    """Where the servers are that our own side started, as it is told to those who ask through them."""

    urls: tuple[str, ...]
    key: str | None = Field(default=None, repr=False)


class Step(Frozen):
    """A command and where it runs. `env`: variables that it needs; a value in angle brackets is the user's to fill."""

    where: str
    argv: tuple[str, ...]
    env: dict[str, str] = Field(default={})


class Launch(Frozen):
    """From nothing to answers: what must be there (`needs`), the commands, and our own side."""

    server: ServerName
    version: str
    model: str
    needs: tuple[str, ...] = ()
    steps: tuple[Step, ...]
    endpoints: tuple[str, ...]
    client: tuple[str, ...]
    notes: tuple[str, ...] = ()
