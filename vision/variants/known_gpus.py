"""GPUs by name, for a plan without the machine: memory as it is sold, and what it computes in."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from vision.errors import InvalidArgument
from vision.variants.hardware import Gpu, Vendor

GIB = 1 << 30
# What the driver and a desktop keep for themselves on a GPU that is otherwise idle.
_IDLE_SHARE = 0.98
# Of a Mac's memory, what Metal lets a process use.
_METAL_SHARE = 0.7


class Known(NamedTuple):
    """Memory in GiB; 0 where the name does not say it (Apple: the Mac's)."""

    name: str
    gib: int
    capability: tuple[int, int] | None
    vendor: Vendor = "nvidia"
    bf16: bool = True


def _nvidia(capability: tuple[int, int], **sizes: int) -> list[Known]:
    bf16 = capability >= (8, 0)
    return [Known(name.replace("_", " ").strip(), gib, capability, "nvidia", bf16) for name, gib in sizes.items()]


KNOWN: tuple[Known, ...] = (
    *_nvidia((7, 0), V100=16, V100_32GB=32),
    *_nvidia((7, 5), T4=16, RTX_2060=6, RTX_2070=8, RTX_2080=8, RTX_2080_Ti=11, Quadro_RTX_6000=24, Quadro_RTX_8000=48),
    *_nvidia((8, 0), A100=40, A100_40GB=40, A100_80GB=80, A30=24),
    *_nvidia((8, 6), RTX_3050=8, RTX_3060=12, RTX_3060_Ti=8, RTX_3070=8, RTX_3070_Ti=8, RTX_3080=10, RTX_3080_12GB=12),
    *_nvidia((8, 6), RTX_3080_Ti=12, RTX_3090=24, RTX_3090_Ti=24, A10=24, A10G=24, A40=48, RTX_A4000=16, RTX_A5000=24),
    *_nvidia((8, 6), RTX_A6000=48),
    *_nvidia((8, 9), RTX_4060=8, RTX_4060_Ti=8, RTX_4060_Ti_16GB=16, RTX_4070=12, RTX_4070_Super=12, RTX_4070_Ti=12),
    *_nvidia((8, 9), RTX_4070_Ti_Super=16, RTX_4080=16, RTX_4080_Super=16, RTX_4090=24, L4=24, L40=48, L40S=48),
    *_nvidia((8, 9), RTX_4000_Ada=20, RTX_5000_Ada=32, RTX_6000_Ada=48),
    *_nvidia((9, 0), H100=80, H100_NVL=94, H200=141, GH200=96),
    *_nvidia((10, 0), B200=180),
    *_nvidia((12, 0), RTX_5060=8, RTX_5060_Ti=8, RTX_5060_Ti_16GB=16, RTX_5070=12, RTX_5070_Ti=16, RTX_5080=16),
    *_nvidia((12, 0), RTX_5090=32, RTX_PRO_6000_Blackwell=96),
    Known("MI210", 64, None, "amd"),
    Known("MI250", 64, None, "amd"),  # two chips of 64 GiB: torch sees two devices
    Known("MI250X", 64, None, "amd"),
    Known("MI300X", 192, None, "amd"),
    Known("MI325X", 256, None, "amd"),
    Known("RX 6800 XT", 16, None, "amd", bf16=False),
    Known("RX 6900 XT", 16, None, "amd", bf16=False),
    Known("RX 7800 XT", 16, None, "amd"),
    Known("RX 7900 XT", 20, None, "amd"),
    Known("RX 7900 XTX", 24, None, "amd"),
    Known("RX 9070 XT", 16, None, "amd"),
    Known("Arc A770", 16, None, "intel"),
    Known("Arc A750", 8, None, "intel"),
    Known("Arc B580", 12, None, "intel"),
    Known("Arc Pro B60", 24, None, "intel"),
    *(
        Known(f"Apple M{generation}{grade}", 0, None, "apple")
        for generation in (1, 2, 3, 4)
        for grade in ("", " Pro", " Max", " Ultra")
    ),
)


def gpu_names(given: str) -> list[str]:
    """The names that one stands for: "8x H100" and "8 x H100" are eight, anything else is itself."""
    match = re.fullmatch(r"\s*(\d{1,3})\s*[x×]\s+(\S.*)|\s*(\d{1,3})[x×](\S.*)", given)
    if match is None:
        return [given]
    return [(match[2] or match[4]).strip()] * int(match[1] or match[3])


def gpu_named(name: str, index: int) -> Gpu:
    """An idle GPU by its name; memory may stand behind it ("RTX 4090", "A100 80GB", "M3 Max 64GB").

    Raises InvalidArgument with the names that come close.
    """
    known, stated = _find(name)
    gib = stated or known.gib
    if known.vendor == "apple" and not gib:
        raise InvalidArgument(
            f"how much memory has the Mac with the {known.name}?", f'Write --gpu "{known.name} 32GB".'
        )
    total = int(gib * GIB * (_METAL_SHARE if known.vendor == "apple" else 1))
    return Gpu(
        index=index,
        name=known.name if known.gib == gib else f"{known.name} ({gib} GB)",
        total_bytes=total,
        free_bytes=int(total * _IDLE_SHARE),
        vendor=known.vendor,
        compute_capability=known.capability,
        bf16=known.bf16,
    )


def gpu_of_size(text: str, index: int) -> Gpu:
    """A free NVIDIA GPU of Ampere or later with this much memory: "24GB", "24", "24GiB", "24576MiB"."""
    size = _bytes(text)
    return Gpu(
        index=index,
        name=f"GPU with {text.strip()}",
        total_bytes=size,
        free_bytes=size,
        vendor="nvidia",
        compute_capability=(8, 6),
        bf16=True,
    )


def _find(name: str) -> tuple[Known, int]:
    """The entry that a name means, and the GiB that it states (0: none)."""
    table = {_plain(known.name): known for known in KNOWN}
    table |= {_plain(known.name.removeprefix("Apple ")): known for known in KNOWN if known.vendor == "apple"}
    wanted = _plain(name)
    if wanted in table:
        return table[wanted], 0
    stated = re.fullmatch(r"(.+?)[\s(-]+(\d+)\s*(?:gb|gib|g)\)?", name.strip().lower())
    if stated and _plain(stated[1]) in table:
        return table[_plain(stated[1])], int(stated[2])
    close = difflib.get_close_matches(wanted, table, n=4, cutoff=0.6)
    offered = ", ".join(dict.fromkeys(table[match].name for match in close))
    hint = f"Did you mean {offered}?" if close else "Give its memory instead: --gpu-memory 24GB."
    raise InvalidArgument(f"no GPU is known as {name!r}", hint)


def _plain(name: str) -> str:
    text = re.sub(r"nvidia|geforce|tesla|radeon|instinct|intel|amd|laptop gpu", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", re.sub(r"sxm\d?|pcie", "", text))


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(mb|mib|gb|gib|g|m|)\s*", text.lower())
    units = {"": 10**9, "g": 10**9, "gb": 10**9, "gib": GIB, "m": 10**6, "mb": 10**6, "mib": 1 << 20}
    size = int(float(match[1]) * units[match[2]]) if match else 0
    if size < 1 << 20:
        raise InvalidArgument(f"{text!r} is no amount of memory", "Write it like 24GB, one for each GPU: 24GB,24GB.")
    return size
