"""AMD's and Intel's GPUs, from what the Linux kernel shows under /sys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vision.variants.hardware import Gpu

_AMD, _INTEL = "0x1002", "0x8086"
# gfx_target_version is 10000 * major + 100 * minor + step: 90010 is gfx90a (MI200). bfloat16 is in hardware from
# MI200 (9.0.10) on in data centres, and from RDNA 3 (11.0) on elsewhere; RDNA 1 and 2 (10.x) do without.
_GFX90A, _RDNA1, _RDNA3 = 90010, 100000, 110000


def amd_gpus(root: Path, environment: Mapping[str, str], notes: list[str]) -> list[Gpu]:
    """GPUs that ROCm's kernel driver (kfd) shows, in its order, which is the order of torch's indices."""
    nodes = sorted((root / "sys/class/kfd/kfd/topology/nodes").glob("*"), key=lambda node: node.name.zfill(6))
    found = [gpu for node in nodes if (gpu := _amd(root, node))]
    if not found and any(_read(card / "device/vendor") == _AMD for card in _cards(root)):
        notes.append("an AMD GPU is here, but not ROCm's kernel driver (kfd): it cannot be used")
    wanted = environment.get("HIP_VISIBLE_DEVICES", environment.get("CUDA_VISIBLE_DEVICES"))
    if found and wanted is not None:
        kept: list[Gpu] = []
        for entry in (part.strip() for part in wanted.split(",")):
            if not entry.isdigit() or int(entry) >= len(found):
                break
            kept.append(found[int(entry)])
        notes.append(f"HIP_VISIBLE_DEVICES or CUDA_VISIBLE_DEVICES leaves {len(kept)} of {len(found)} AMD GPUs")
        found = kept
    return [gpu.model_copy(update={"index": index}) for index, gpu in enumerate(found)]


def _amd(root: Path, node: Path) -> Gpu | None:
    lines = (line.split() for line in (_read(node / "properties") or "").splitlines())
    values = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
    target, minor = values.get("gfx_target_version", 0), values.get("drm_render_minor", -1)
    if not target or minor < 0:  # a CPU
        return None
    device = root / f"sys/class/drm/renderD{minor}/device"
    total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")
    if total is None:
        return None
    name = _read(device / "product_name") or f"AMD GPU (gfx target {target})"
    bf16 = target >= _RDNA3 or _GFX90A <= target < _RDNA1
    free = max(0, total - (used or 0))
    return Gpu(index=0, name=name, vendor="amd", total_bytes=total, free_bytes=free, bf16=bf16)


def intel_gpus(root: Path, notes: list[str]) -> list[Gpu]:
    """Cards with memory of their own; graphics inside the processor are left out."""
    found: list[Gpu] = []
    for card in _cards(root):
        if _read(card / "device/vendor") != _INTEL:
            continue
        total = _number(card / "lmem_total_bytes") or _number(card / "device/tile0/physical_vram_size_bytes")
        if total is None:
            continue
        free = _number(card / "lmem_avail_bytes")
        name = f"Intel GPU {_read(card / 'device/device') or ''}".strip()
        if free is None:
            notes.append(f"how much of {name} is free is not known: all of it is assumed")
        found.append(
            Gpu(
                index=len(found),
                name=name,
                vendor="intel",
                total_bytes=total,
                free_bytes=total if free is None else free,
            )
        )
    return found


def _cards(root: Path) -> list[Path]:
    return sorted(card for card in (root / "sys/class/drm").glob("card*") if card.name[4:].isdigit())


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.isdigit() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
