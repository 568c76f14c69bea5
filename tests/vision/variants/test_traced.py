"""The estimate of activations against what a forward pass holds: traced on the meta device, where tensors have shapes
and lifetimes but no bytes.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.vision.variants.test_catalogue import _on_meta
from vision.variants.catalogue import Variant, variant_named
from vision.variants.estimate import (
    MIB,
    PREFILL_CHUNK,
    VISION_CHUNK,
    Build,
    Capacity,
    kv_bytes_per_token,
    prefill_bytes,
    vision_bytes,
)

pytest.importorskip("torch", reason="tracing the model needs the extra [local]")

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

CONTEXT = 8192
pytestmark = pytest.mark.filterwarnings("ignore")


class PeakBytes(TorchDispatchMode):
    """The most bytes alive at once of what was made inside, weights left out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.peak = 0
        self._weights = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
        self._alive: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(made)[0]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._weights:
                    self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._alive = {key: value for key, value in self._alive.items() if not value[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return made


def two_layers(name: str) -> Variant:
    """The variant's widths with two layers in each half: layers take turns, so they do not raise the peak."""
    variant = variant_named(name)
    return variant.model_copy(
        update={
            "vision": variant.vision.model_copy(update={"layers": 2}),
            "text": variant.text.model_copy(update={"layers": 2}),
            "kv_bytes_per_token": variant.kv_bytes_per_token * 2 // variant.text.layers,
        }
    )


def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, **_: Any) -> tuple[Any, None]:
    """SDPA's fused kernels as far as memory goes: keys and values repeated for a mask, no attention matrix."""
    groups = getattr(module, "num_key_value_groups", 1)
    if attention_mask is not None and groups > 1:
        batch, heads, length, width = key.shape
        wide = (batch, heads, groups, length, width)
        key, value = (t[:, :, None].expand(wide).reshape(batch, heads * groups, length, width) for t in (key, value))
    return torch.empty_like(query.transpose(1, 2)).contiguous(), None


def traced(name: str) -> tuple[Build, Any]:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register("fused_on_meta", attend)
    AttentionMaskInterface.register("fused_on_meta", sdpa_mask)
    variant = two_layers(name)
    model = _on_meta(variant).to(torch.bfloat16).eval()
    model.set_attn_implementation("fused_on_meta")
    return Build(variant, "none", "bfloat16", "cuda"), model


@torch.no_grad()
@pytest.mark.parametrize("name", ["3.5-8B", "3.5-38B"])
def test_the_vision_tower_holds_what_is_estimated(name: str):
    build, model = traced(name)
    tiles = VISION_CHUNK["cuda"]
    pixels = torch.empty(tiles, 3, 448, 448, device="meta", dtype=torch.bfloat16)
    with PeakBytes(model) as seen:
        model.model.get_image_features(
            pixel_values=pixels, vision_feature_layer=-1, vision_feature_select_strategy="default"
        )
    estimate = vision_bytes(build)
    assert seen.peak + pixels.nbytes <= estimate <= 1.15 * seen.peak + 6 * pixels.nbytes


@torch.no_grad()
@pytest.mark.parametrize("name", ["3.5-1B", "3.5-8B", "3.5-38B", "3-9B", "3-78B", "3.5-30B-A3B"])
def test_a_prefill_in_parts_holds_what_is_estimated(name: str):
    from transformers import DynamicCache

    build, model = traced(name)
    capacity = Capacity(context=CONTEXT, batch=1, max_tiles=1, max_frames=1, prefix_tokens=0)
    cache = DynamicCache(config=model.config.get_text_config())
    hidden = torch.empty(1, PREFILL_CHUNK, build.variant.text.hidden_size, device="meta", dtype=torch.bfloat16)
    most = 0
    for start in range(0, CONTEXT, PREFILL_CHUNK):
        places = torch.arange(start, start + PREFILL_CHUNK, device="meta")[None]
        mask = torch.empty(1, 1, PREFILL_CHUNK, start + PREFILL_CHUNK, device="meta", dtype=torch.bool)
        with PeakBytes(model) as seen:
            model.model.language_model(
                inputs_embeds=hidden, attention_mask=mask, past_key_values=cache, position_ids=places, use_cache=True
            )
        kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        most = max(most, seen.peak - kept)
    assert kept == kv_bytes_per_token(build) * CONTEXT
    growing = kept // build.variant.text.layers
    estimate = prefill_bytes(build, capacity) + growing
    assert most <= estimate <= 2.5 * most + 64 * MIB
