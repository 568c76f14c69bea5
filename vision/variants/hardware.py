"""What a machine has that a model can run on. Sizes are bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vision.types import Frozen
from vision.variants.plan import DeviceKind

Vendor = Literal["nvidia", "amd", "intel", "apple"]
KIND_OF: dict[Vendor, DeviceKind] = {"nvidia": "cuda", "amd": "cuda", "intel": "xpu", "apple": "mps"}


class Gpu(Frozen):
    """`index`: as the model's process counts them (after CUDA_VISIBLE_DEVICES, in the order of the PCI bus).

    `compute_capability` and `driver_cuda`, the newest CUDA version that the driver runs: NVIDIA only, where it tells.
    `mig`: a slice of a GPU; a process can use one slice, never several together.
    """

    index: int = Field(ge=0)
    name: str
    total_bytes: int = Field(ge=0)
    free_bytes: int = Field(ge=0)
    vendor: Vendor = "nvidia"
    compute_capability: tuple[int, int] | None = None
    driver_cuda: tuple[int, int] | None = None
    bf16: bool = True
    mig: bool = False

    @property
    def kind(self) -> DeviceKind:
        """What torch calls it; AMD's build of torch says cuda too."""
        return KIND_OF[self.vendor]


class Hardware(Frozen):
    """A machine. Memory of the machine is what this process may use, None where the system does not tell."""

    gpus: tuple[Gpu, ...] = ()
    cores: int = Field(default=1, ge=1)
    cpu_bf16: bool = False
    total_ram: int | None = None
    free_ram: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> DeviceKind:
        """The best kind of device that is here."""
        return self.gpus[0].kind if self.gpus else "cpu"
