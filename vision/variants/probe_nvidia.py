"""NVIDIA's GPUs as a CUDA process would see them, through NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from vision.variants.hardware import Gpu


class _Found(NamedTuple):
    """A GPU or a slice of one: `place` is the number among the GPUs."""

    handle: Any
    uuid: str
    place: int
    mig: bool


def nvidia_gpus(
    load: Callable[[], Any], environment: Mapping[str, str], ram: tuple[int | None, int | None], notes: list[str]
) -> list[Gpu]:
    """`load` gives NVML's Python module (pynvml). `ram`: (total, free), for GPUs that share the machine's memory.

    Indices follow the PCI bus, so the model's process needs CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    try:
        nvml = load()
    except ImportError as e:
        notes.append(f"NVIDIA GPUs are not looked for: {e}")
        return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as e:
        if not isinstance(e, nvml.NVMLError_LibraryNotFound):  # without a driver there is nothing to tell
            notes.append(f"NVIDIA GPUs cannot be asked: {e}")
        return []
    try:
        seen = _visible(_all(nvml, notes), environment.get("CUDA_VISIBLE_DEVICES"), notes)
        cuda = _driver_cuda(nvml) if seen else None
        gpus = [gpu for i, found in enumerate(seen) if (gpu := _gpu(nvml, found, i, ram, notes))]
        return [gpu.model_copy(update={"driver_cuda": cuda}) for gpu in gpus]
    except nvml.NVMLError as e:
        notes.append(f"NVIDIA GPUs cannot be asked: {e}")
        return []
    finally:
        nvml.nvmlShutdown()


def _all(nvml: Any, notes: list[str]) -> list[_Found]:
    """Every GPU, or its slices where it is cut into some."""
    found: list[_Found] = []
    for place in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(place)
            slices = [_Found(s, _text(nvml.nvmlDeviceGetUUID(s)), place, True) for s in _slices(nvml, handle)]
            found += slices or [_Found(handle, _text(nvml.nvmlDeviceGetUUID(handle)), place, False)]
        except nvml.NVMLError as e:  # a GPU that fell off the bus does not hide the others
            notes.append(f"GPU {place} cannot be asked: {e}")
    return found


def _slices(nvml: Any, handle: Any) -> Iterator[Any]:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if current else 0
    except nvml.NVMLError:  # most GPUs have no such mode
        return
    for i in range(count):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i)
        except nvml.NVMLError:  # a place without a slice
            continue


def _visible(found: list[_Found], wanted: str | None, notes: list[str]) -> list[_Found]:
    """What CUDA_VISIBLE_DEVICES leaves, in its order; a process sees one slice at the most."""
    if wanted is None:
        whole = [one for one in found if not one.mig]
        slices = [one for one in found if one.mig]
        if slices and (whole or len(slices) > 1):
            notes.append(f"{len(slices)} MIG slices: name one in CUDA_VISIBLE_DEVICES to use it rather than the first")
        return whole or slices[:1]
    seen: list[_Found] = []
    for entry in (part.strip() for part in wanted.split(",")):
        match = _named(found, entry)
        if match is None:  # as CUDA does: what follows an entry that names nothing is not seen either
            if entry not in ("", "-1"):
                notes.append(f"CUDA_VISIBLE_DEVICES names {entry}, which is not here")
            break
        if match in seen:
            notes.append("CUDA_VISIBLE_DEVICES names a GPU twice, so CUDA shows none")
            return []
        seen.append(match)
    if len(seen) < len(found):
        notes.append(f"CUDA_VISIBLE_DEVICES leaves {len(seen)} of {len(found)} NVIDIA devices")
    return seen[:1] if seen and seen[0].mig else [one for one in seen if not one.mig]


def _named(found: list[_Found], entry: str) -> _Found | None:
    if entry.isdigit():
        return next((one for one in found if one.place == int(entry)), None)
    if not entry.upper().startswith(("GPU-", "MIG-")):
        return None
    matches = [one for one in found if one.uuid.lower().startswith(entry.lower())]
    return matches[0] if len(matches) == 1 else None


def _gpu(nvml: Any, found: _Found, index: int, ram: tuple[int | None, int | None], notes: list[str]) -> Gpu | None:
    try:
        name = _text(nvml.nvmlDeviceGetName(found.handle))
        capability = _capability(nvml, found)
        total, free = _memory(nvml, found, name, ram, notes)
    except nvml.NVMLError as e:
        notes.append(f"GPU {found.place} cannot be asked: {e}")
        return None
    return Gpu(
        index=index,
        name=name,
        total_bytes=total,
        free_bytes=free,
        vendor="nvidia",
        compute_capability=capability,
        bf16=capability >= (8, 0),
        mig=found.mig,
    )


def _driver_cuda(nvml: Any) -> tuple[int, int] | None:
    """The newest CUDA version that the driver runs; NVML counts 1000 * major + 10 * minor."""
    try:
        version = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
    except nvml.NVMLError:
        return None
    return version // 1000, version % 1000 // 10


def _capability(nvml: Any, found: _Found) -> tuple[int, int]:
    whole = nvml.nvmlDeviceGetHandleByIndex(found.place) if found.mig else found.handle
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(whole)
    return int(major), int(minor)


def _memory(
    nvml: Any, found: _Found, name: str, ram: tuple[int | None, int | None], notes: list[str]
) -> tuple[int, int]:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(found.handle)
        return int(memory.total), int(memory.free)
    except nvml.NVMLError:
        if ram[0] is None or ram[1] is None:
            raise
        # Boards whose GPU has no memory of its own do not answer.
        notes.append(f"{name} shares the machine's memory")
        return ram[0], ram[1]


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
