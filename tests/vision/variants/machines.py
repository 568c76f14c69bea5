"""Simulated machines for the selector's tests."""

from __future__ import annotations

import random

from vision.variants.hardware import Gpu, Hardware

GIB = 1 << 30
SIZES = (2, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 141, 192)
CAPABILITIES = ((6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0))


def gpu(index: int, free: float, capability: tuple[int, int] = (8, 6), **changes: object) -> Gpu:
    """An NVIDIA GPU with so many GiB free."""
    found = Gpu(
        index=index,
        name=f"GPU {index}",
        total_bytes=int(free * GIB),
        free_bytes=int(free * GIB),
        compute_capability=capability,
        bf16=capability >= (8, 0),
    )
    return found.model_copy(update=changes)


def machine(*free: float, capability: tuple[int, int] = (8, 6), ram: float = 64, cpu_bf16: bool = True) -> Hardware:
    """GPUs of one kind with so many GiB free each, and so much free RAM."""
    gpus = tuple(gpu(index, size, capability) for index, size in enumerate(free))
    ram_bytes = int(ram * GIB)
    return Hardware(gpus=gpus, cores=8, cpu_bf16=cpu_bf16, total_ram=ram_bytes, free_ram=ram_bytes)


def some_machine(seed: int) -> Hardware:
    """A machine drawn by the seed: up to eight GPUs, equal or mixed, some partly used, of one vendor or two."""
    draw = random.Random(seed)
    vendor = draw.choice(("nvidia",) * 7 + ("amd", "intel", "apple"))
    count = 1 if vendor == "apple" else draw.choice((0, 1, 1, 1, 2, 2, 3, 4, 8))
    equal = draw.random() < 0.5
    size, capability = draw.choice(SIZES), draw.choice(CAPABILITIES)
    gpus = []
    for index in range(count):
        if not equal:
            size, capability = draw.choice(SIZES), draw.choice(CAPABILITIES)
        free = size * draw.choice((1.0, 1.0, draw.random()))
        new = gpu(index, free, capability, mig=draw.random() < 0.05)
        if vendor != "nvidia":
            new = new.model_copy(update={"vendor": vendor, "compute_capability": None, "bf16": draw.random() < 0.8})
        gpus.append(new)
    ram = draw.choice((1, 2, 4, 6, 8, 16, 32, 64, 256)) * GIB
    return Hardware(
        gpus=tuple(gpus), cores=draw.randint(1, 64), cpu_bf16=draw.random() < 0.5, total_ram=ram, free_ram=ram
    )
