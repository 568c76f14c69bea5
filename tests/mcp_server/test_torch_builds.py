"""What an installed torch says of itself, and what it cannot be used for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mcp_server.torch_builds import Torch, build_for, installed_torch, no_build, trouble
from tests.mcp_server.simulated import named

CPU, CUDA_13, CUDA_12 = Torch("2.15.0+cpu"), Torch("2.15.0", (13, 2)), Torch("2.14.0+cu126", (12, 6))


def test_the_torch_that_is_here_is_read_as_it_says_when_it_is_imported() -> None:
    torch = pytest.importorskip("torch", reason="the extra [local] is not installed")
    found = installed_torch(sys.path)
    assert found is not None
    cuda = None if torch.version.cuda is None else tuple(int(part) for part in torch.version.cuda.split("."))
    assert found == Torch(torch.__version__, cuda, torch.version.hip, getattr(torch.version, "xpu", None))


def test_no_torch_and_one_that_does_not_tell_are_none(tmp_path: Path) -> None:
    assert installed_torch([str(tmp_path)]) is None
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    assert installed_torch([str(tmp_path)]) is None


@pytest.mark.parametrize(
    ("torch", "gpu", "why"),
    [
        (CUDA_13, named("RTX 4090"), ""),
        (CPU, (), ""),
        (CUDA_13, (), ""),
        (Torch("2.15.0"), named("M2 16GB"), ""),
        (Torch("2.15.0+rocm7.2", hip="7.2"), named("RX 7900 XTX"), ""),
        (Torch("2.15.0+xpu", xpu="2025"), named("Arc A770"), ""),
        (CUDA_13, (*named("RX 7800 XT"), *named("RTX 4090")), ""),  # the other maker's is left alone
        (CPU, named("RTX 4090"), "cannot use RTX 4090"),
        (CPU, named("Arc A770"), "cannot use Arc A770"),
        (CUDA_13, named("RX 7900 XTX"), "cannot use RX 7900 XTX"),
        (CUDA_13, named("V100"), "begin at compute capability 7.5"),
        (CUDA_12, named("V100"), ""),
        (CUDA_12, named("RTX 5090"), "needs a build for CUDA 12.8"),
        (CUDA_13, named("RTX 4090", driver_cuda=(12, 4)), "the driver runs CUDA 12.4 at the most"),
        # Within a major version an older driver runs newer builds; so the driver for 12.4 runs those for 12.6.
        (CUDA_12, named("RTX 4090", driver_cuda=(12, 4)), ""),
        (CPU, named("RTX 4090", driver_cuda=(11, 4)), ""),  # it could not be used by any torch
        (Torch("2.8.0+cpu"), (), "not one of 2.9 or later"),
        (Torch("3.0.0"), (), "not one of 2.9 or later"),
    ],
)
def test_a_torch_that_cannot_use_the_hardware_is_told(torch: Torch, gpu: tuple, why: str) -> None:
    found = trouble(torch, gpu)
    assert why in found and bool(found) == bool(why)


@pytest.mark.parametrize(
    ("system", "processor", "musl", "has_one"),
    [
        ("linux", "x86_64", False, True),
        ("linux", "aarch64", False, True),
        ("linux", "riscv64", False, False),
        ("linux", "x86_64", True, False),
        ("darwin", "arm64", False, True),
        ("darwin", "x86_64", False, False),
        ("windows", "AMD64", False, True),
        ("windows", "ARM64", False, False),
    ],
)
def test_systems_that_torch_has_no_build_for_are_known(system: str, processor: str, musl: bool, has_one: bool) -> None:
    assert (no_build(system, processor, musl) == "") == has_one


def test_without_a_gpu_no_build_with_cuda_is_fetched_on_any_system() -> None:
    builds = {system: build_for("cpu", (), system) for system in ("linux", "windows", "darwin")}
    assert max(build.download for build in builds.values()) < 10**9
    # PyPI has the small build for these; on Linux it has the one with CUDA.
    assert builds["windows"].index is None and builds["darwin"].index is None
    assert builds["linux"].index == "https://download.pytorch.org/whl/cpu"
