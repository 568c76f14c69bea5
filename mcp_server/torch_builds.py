"""Which build of torch a machine needs, and what is wrong with the one that is there. torch itself is never imported.

Sources: PyTorch's release matrix (2.12 to 2.15: CUDA 12.6, 13.0 and 13.2; builds for CUDA 13 begin at Turing, those for
12.6 end at Hopper; 12.8, until 2.11, is the oldest for Blackwell) and the wheels on PyPI and download.pytorch.org.
Sizes of CUDA's, the CPU's and Apple's builds are those of the wheels with what they need, 2026-11; the others' are
rounded up from earlier releases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from vision.types import Frozen
from vision.variants.candidates import before, unusable
from vision.variants.hardware import Gpu, Vendor
from vision.variants.plan import DeviceKind

_INDEX = "https://download.pytorch.org/whl"
_TURING, _BLACKWELL = (7, 5), (10, 0)
_GB = 10**9
_OLDEST, _BEFORE = (2, 9), (3, 0)


class Build(Frozen):
    """`backend` as uv's --torch-backend takes it; `index` for pip, None where PyPI has this build. `by_uv`: only uv
    finds out which of several builds the machine needs.

    `download` and `installed` are bytes, about, with all that the build needs.
    """

    title: str
    backend: str
    index: str | None = None
    by_uv: bool = False
    download: int
    installed: int


class Torch(NamedTuple):
    """An installed torch: what it was built for, None where not for that."""

    version: str
    cuda: tuple[int, int] | None = None
    hip: str | None = None
    xpu: str | None = None

    @property
    def title(self) -> str:
        if self.cuda:
            return f"torch {self.version} for CUDA {self.cuda[0]}.{self.cuda[1]}"
        if self.hip:
            return f"torch {self.version} for ROCm {self.hip}"
        return f"torch {self.version} for {'XPU' if self.xpu else 'the CPU'}"


def no_build(system: str, processor: str, musl: bool) -> str:
    """Why no torch that we run on has a build for this system; "" where one has."""
    machine = processor.lower()
    if system == "darwin" and machine != "arm64":
        return "torch has had no build for Intel Macs since 2.3"
    if system == "windows" and machine not in ("amd64", "x86_64"):
        return f"torch has no build for Windows on {processor}"
    if system == "linux" and musl:
        return "torch has no build for musl (Alpine): it needs a distribution with glibc"
    if system == "linux" and machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return f"torch has no build for {processor}"
    return ""


def build_for(device: DeviceKind, gpus: Sequence[Gpu], system: str) -> Build:
    """The build for a model on these GPUs; none for one on the CPU."""
    if device == "mps" or (system == "darwin" and device == "cpu"):
        return Build(title="torch", backend="auto", download=_GB // 10, installed=_GB // 2)
    if device == "cpu":
        # On Linux, PyPI's own build brings 3 GB of CUDA along.
        index = f"{_INDEX}/cpu" if system == "linux" else None
        return Build(title="torch for the CPU", backend="cpu", index=index, download=_GB // 5, installed=9 * _GB // 10)
    if device == "xpu":
        title, index = "torch for Intel GPUs (XPU)", f"{_INDEX}/xpu"
        return Build(title=title, backend="auto", index=index, download=5 * _GB // 2, installed=7 * _GB)
    if any(gpu.vendor == "amd" for gpu in gpus):
        title = "torch for AMD GPUs (ROCm)"
        return Build(title=title, backend="auto", by_uv=True, download=5 * _GB, installed=17 * _GB)
    cuda, backend, index = _cuda(gpus, system)
    title = f"torch for CUDA {cuda}"
    return Build(title=title, backend=backend, index=index, download=3 * _GB, installed=13 * _GB // 2)


def _cuda(gpus: Sequence[Gpu], system: str) -> tuple[str, str, str | None]:
    """The CUDA version, the backend for uv and the index for pip."""
    driver = min((gpu.driver_cuda for gpu in gpus if gpu.driver_cuda), default=(13, 0))
    if any(before(gpu, _TURING) for gpu in gpus):
        # uv goes by the driver alone, and would take a build without this GPU's kernels.
        return "12.6", "cu126", f"{_INDEX}/cu126"
    if driver >= (13, 0):
        return "13", "auto", f"{_INDEX}/cu130" if system == "windows" else None
    tag = "cu128" if any((gpu.compute_capability or (0, 0)) >= _BLACKWELL for gpu in gpus) else "cu126"
    return "12", "auto", f"{_INDEX}/{tag}"


def installed_torch(folders: Sequence[str]) -> Torch | None:
    """The torch that Python would import from these folders, by what its build wrote into torch/version.py."""
    spec = PathFinder.find_spec("torch", folders)
    if spec is None or spec.origin is None:
        return None
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    values = dict(re.findall(r"^(__version__|cuda|hip|xpu)\b[^=\n]*= '([^']*)'", text, re.MULTILINE))
    return Torch(
        version=values.get("__version__", "unknown"),
        cuda=_numbers(values["cuda"]) if values.get("cuda") else None,
        hip=values.get("hip"),
        xpu=values.get("xpu"),
    )


def trouble(torch: Torch, gpus: Sequence[Gpu]) -> str:
    """Why this torch cannot use these GPUs, or is of another age than we run on; "" where all is well.

    Beside GPUs of the maker that it was built for, those of others are left alone: a laptop's processor has one too.
    """
    if not _OLDEST <= _numbers(torch.version) < _BEFORE:
        return f"torch {torch.version} is not one of 2.9 or later, below 3"
    usable = [gpu for gpu in gpus if not unusable(gpu)]
    own = [gpu for gpu in usable if _built_for(torch, gpu.vendor)]
    if usable and not own:
        return f"{torch.title} cannot use {usable[0].name}"
    for gpu in own:
        if gpu.vendor == "nvidia" and torch.cuda and (why := _no_cuda(torch.cuda, gpu)):
            return f"{torch.title} cannot use {gpu.name}: {why}"
    return ""


def _built_for(torch: Torch, vendor: Vendor) -> bool:
    built = {"nvidia": torch.cuda, "amd": torch.hip, "intel": torch.xpu, "apple": torch.version}
    return built[vendor] is not None


def _no_cuda(cuda: tuple[int, int], gpu: Gpu) -> str:
    if gpu.driver_cuda is not None and gpu.driver_cuda[0] < cuda[0]:
        return f"the driver runs CUDA {gpu.driver_cuda[0]}.{gpu.driver_cuda[1]} at the most"
    if cuda[0] >= 13 and before(gpu, _TURING):
        return "builds for CUDA 13 begin at compute capability 7.5"
    if cuda < (12, 8) and (gpu.compute_capability or (0, 0)) >= _BLACKWELL:
        return "its architecture needs a build for CUDA 12.8 or later"
    return ""


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
