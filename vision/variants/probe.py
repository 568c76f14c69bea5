"""Finds what this machine has, without torch. What cannot be found out becomes a note, never an error.

NVIDIA through NVML, AMD and Intel through /sys, Apple through sysctl. The one place that reads CUDA_VISIBLE_DEVICES and
HIP_VISIBLE_DEVICES, so that the plan counts the devices that the model's process will see.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from vision.machine import available_cores, memory_bytes
from vision.variants.hardware import Gpu, Hardware
from vision.variants.probe_nvidia import nvidia_gpus
from vision.variants.probe_sysfs import amd_gpus, intel_gpus

# Metal lets a process use about three quarters of the machine's memory (recommendedMaxWorkingSetSize).
_METAL_SHARE = 0.7
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def run_tool(command: Sequence[str]) -> str:
    """A system tool's output. Raises OSError or subprocess.SubprocessError."""
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout


def load_nvml() -> ModuleType:
    import pynvml

    return pynvml


@dataclass(frozen=True)
class Surroundings:
    """Where the probe looks; tests put in their own."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = Path("/")
    system: str = sys.platform
    processor: str = field(default_factory=platform.machine)
    release: str = field(default_factory=lambda: platform.mac_ver()[0])
    run: Callable[[Sequence[str]], str] = run_tool
    nvml: Callable[[], Any] = load_nvml


def probe(around: Surroundings | None = None) -> Hardware:
    """This machine, as it is now: free memory changes."""
    around = around or Surroundings()
    notes: list[str] = []
    total, free = _memory(around, notes)
    gpus = [
        *nvidia_gpus(around.nvml, around.environment, (total, free), notes),
        *(amd_gpus(around.root, around.environment, notes) if around.system == "linux" else ()),
        *(intel_gpus(around.root, notes) if around.system == "linux" else ()),
        *_apple(around, total, free, notes),
    ]
    return Hardware(
        gpus=tuple(gpus),
        cores=available_cores(),
        cpu_bf16=_cpu_bf16(around),
        total_ram=total,
        free_ram=free,
        notes=tuple(notes),
    )


def _memory(around: Surroundings, notes: list[str]) -> tuple[int | None, int | None]:
    if around.system == "darwin":
        return _apple_memory(around, notes)
    if around.system == "win32":
        return _windows_memory(notes)
    return memory_bytes()


def _apple_memory(around: Surroundings, notes: list[str]) -> tuple[int | None, int | None]:
    """hw.memsize, and the pages that vm_stat counts as free or given up at once."""
    try:
        total = int(around.run(["sysctl", "-n", "hw.memsize"]))
        lines = around.run(["vm_stat"]).splitlines()
        page = int(lines[0].partition("page size of ")[2].split()[0])
        pages = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
        kinds = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
        free = sum(int(pages[kind].strip(" .")) for kind in kinds if kind in pages) * page
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as e:
        notes.append(f"memory is not known: {e}")
        return None, None
    return total, min(total, free)


def _windows_memory(notes: list[str]) -> tuple[int | None, int | None]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "t_page", "f_page", "t_virt", "f_virt", "more")),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # pyright: ignore[reportAttributeAccessIssue]
        notes.append("memory is not known: GlobalMemoryStatusEx failed")
        return None, None
    return int(status.total), int(status.free)


def _apple(around: Surroundings, total: int | None, free: int | None, notes: list[str]) -> list[Gpu]:
    if around.system != "darwin" or around.processor != "arm64" or total is None or free is None:
        return []
    try:
        name = around.run(["sysctl", "-n", "machdep.cpu.brand_string"]).strip()
    except (OSError, subprocess.SubprocessError) as e:
        name = "Apple GPU"
        notes.append(f"the processor's name is not known: {e}")
    usable = int(total * _METAL_SHARE)
    # torch computes in bfloat16 on MPS from macOS 14 on.
    major = around.release.partition(".")[0]
    bf16 = major.isdigit() and int(major) >= 14
    return [Gpu(index=0, name=name, vendor="apple", total_bytes=usable, free_bytes=min(usable, free), bf16=bf16)]


def _cpu_bf16(around: Surroundings) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware: AVX-512 BF16 or AMX on x86, FEAT_BF16 on Arm."""
    if around.system == "darwin":
        try:
            return around.run(["sysctl", "-n", "hw.optional.arm.FEAT_BF16"]).strip() == "1"
        except (OSError, subprocess.SubprocessError):  # Intel: no such key
            return False
    try:
        text = (around.root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:  # Windows
        return False
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return bool(_BF16_FLAGS & set(next(lines, "").split()))
