"""What the selector decides and the model host carries out. Sizes are bytes, counts are tokens, tiles or frames."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vision.types import Frozen

DeviceKind = Literal["cuda", "mps", "xpu", "cpu"]
Dtype = Literal["bfloat16", "float16", "float32"]
# int8 and nf4: bitsandbytes, by the model host; awq: ready-made repositories; q8_0 and q4_k_m: GGUF files of llama.cpp.
Quantisation = Literal["none", "int8", "nf4", "awq", "q8_0", "q4_k_m"]
Attention = Literal["sdpa", "flash_attention_2", "eager"]


class PartBytes(Frozen):
    """The estimate for one device, part by part. `total` is their sum, which stays within `available`."""

    device: str
    weights: int
    kv_cache: int
    activations: int
    caches: int
    overhead: int
    total: int
    available: int


class Rejected(Frozen):
    """A candidate that was not chosen, and why."""

    variant: str
    quantisation: Quantisation
    reason: str


class Plan(Frozen):
    """How one variant runs on this machine.

    `device_map`: for several devices, submodule name to device index as accelerate takes it; empty for one device.
    `max_tiles`: most tiles of 448 pixels a picture may be cut into, thumbnail not counted; `max_frames`: most frames of
    a video in one prompt; `context`: most tokens of one prompt with its answer; `batch`: answers made side by side.
    """

    variant: str
    repository: str
    revision: str | None = None
    device: DeviceKind
    devices: tuple[int, ...] = ()
    dtype: Dtype
    quantisation: Quantisation = "none"
    device_map: dict[str, int] = Field(default={})
    max_tiles: int
    max_frames: int
    context: int
    batch: int
    attention: Attention = "sdpa"
    feature_cache_bytes: int
    prefix_cache_bytes: int
    bytes: tuple[PartBytes, ...] = ()
    reasons: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
