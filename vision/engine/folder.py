"""A plan for a checkpoint that the settings name by its folder: of the catalogue's models, or somebody's own of that
architecture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vision.errors import OutOfMemory, WeightsUnusable
from vision.variants.candidates import candidates, feature_cache_bytes
from vision.variants.catalogue import (
    Parameters,
    TextShape,
    Variant,
    VisionShape,
    WeightBytes,
)
from vision.variants.estimate import NF4_BITS, kv_bytes_per_token
from vision.variants.hardware import Hardware
from vision.variants.layout import device_map, place
from vision.variants.plan import Plan
from vision.variants.policy import Policy, Request
from vision.weights.snapshot import Checkpoint

_WHOLE = {"none": 3, "int8": 2, "awq": 1, "nf4": 0}
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def plan_for(checkpoint: Checkpoint, hardware: Hardware, policy: Policy, request: Request) -> Plan:
    """The best way to run this very checkpoint. Raises WeightsUnusable (another architecture) and OutOfMemory."""
    variant = variant_of(checkpoint)
    ways = list(candidates(hardware, policy, request, variant))
    fitting = [way for way in ways if way.rung is not None]
    if not fitting:
        raise OutOfMemory(
            f"{variant.name} ({checkpoint.size / 1e9:.1f} GB of weights) does not fit into the free memory",
            "Close other programs, raise memory_fraction, or see `internvl-mcp plan` for what fits.",
        )
    # Unpublished models have no score: whole weights come before more context.
    best = max(fitting, key=lambda w: (w.rank.on_gpu, w.rank.takes_the_tiles, _WHOLE[w.build.quantisation], w.rank))
    layout = place(best.build, best.capacity, best.offers, best.feature_cache)
    assert layout is not None  # it was found to fit
    on_cpu = best.build.kind == "cpu"
    return Plan(
        variant=variant.name,
        repository=checkpoint.repository or str(checkpoint.folder),
        revision=checkpoint.commit,
        device=best.build.kind,
        devices=() if on_cpu else layout.devices,
        dtype=best.build.dtype,
        quantisation=best.build.quantisation,
        device_map=device_map(layout),
        max_tiles=best.capacity.max_tiles,
        max_frames=best.capacity.max_frames,
        context=best.capacity.context,
        batch=best.capacity.batch,
        feature_cache_bytes=feature_cache_bytes(hardware, policy, best.build.kind),
        prefix_cache_bytes=best.capacity.prefix_tokens * kv_bytes_per_token(best.build),
        bytes=layout.parts,
        reasons=(f"{checkpoint.folder} is what the setting variant names",),
    )


def variant_of(checkpoint: Checkpoint) -> Variant:
    """The checkpoint in the catalogue's terms, read from its configuration. Raises WeightsUnusable."""
    config = json.loads((checkpoint.folder / "config.json").read_bytes())
    if checkpoint.quantisation:
        raise WeightsUnusable(
            f"{checkpoint.folder} is stored in {checkpoint.quantisation}, which the model host does not read",
            "Use the plain repository with --quantisation nf4 or int8, or serve it with LMDeploy or vLLM.",
        )
    try:
        return _variant(checkpoint, config)
    except (KeyError, TypeError, ValueError, ValidationError) as e:
        raise WeightsUnusable(
            f"the config.json of {checkpoint.folder} does not describe a model that is known here: {e}",
            "Use a native InternVL checkpoint (-hf, -HF).",
        ) from e


def _variant(checkpoint: Checkpoint, config: dict[str, Any]) -> Variant:
    vision, text = _vision(config["vision_config"]), _text(config["text_config"])
    width = max((_BYTES.get(dtype, 2) for dtype in checkpoint.dtypes), default=2)
    embedding = text.vocab_size * text.hidden_size
    tower = vision.layers * vision.hidden_size * (4 * vision.hidden_size + 2 * vision.intermediate_size)
    projector = 4 * vision.hidden_size * text.hidden_size + text.hidden_size**2
    tied = bool(config["text_config"].get("tie_word_embeddings") or config.get("tie_word_embeddings"))
    inside = text.layers * _layer(text)
    total = max(checkpoint.size // width + (embedding if tied else 0), tower + projector + 2 * embedding + inside)
    linear = total - tower - projector - 2 * embedding
    dense = text.experts == 0
    return Variant(
        name=_name(checkpoint.folder, checkpoint.repository),
        family="InternVL3.5",
        repository=checkpoint.repository or str(checkpoint.folder),
        awq_repository=None,
        revision=checkpoint.commit,
        licence="",
        only_when_named=None,
        context=min(32_768, text.max_positions),
        vision=vision,
        text=text,
        parameters=Parameters(
            total=total,
            active=total,
            vision=tower,
            projector=projector,
            language=total - tower - projector,
            fused_experts=0 if dense else linear,
        ),
        bytes=WeightBytes(
            bf16=2 * total,
            int8=2 * total - linear if dense else None,
            nf4=int(2 * (total - linear) + linear * NF4_BITS / 8) if dense else None,
        ),
        kv_bytes_per_token=4 * text.layers * text.kv_heads * text.head_dim,
        scores={},
    )


def _layer(text: TextShape) -> int:
    """Parameters of one layer's matrices."""
    attention = text.hidden_size * text.head_dim * 2 * (text.heads + text.kv_heads)
    width = text.experts * text.expert_size or text.intermediate_size
    return attention + 3 * text.hidden_size * width


def _name(folder: Path, repository: str | None) -> str:
    return repository.rpartition("/")[2] if repository else folder.absolute().name


def _vision(config: dict[str, Any]) -> VisionShape:
    return VisionShape(
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        intermediate_size=config["intermediate_size"],
        attention_bias=config.get("attention_bias", False),
        qk_norm=config.get("use_qk_norm", False),
        norm_type=config.get("norm_type", "layer_norm"),
    )


def _text(config: dict[str, Any]) -> TextShape:
    heads = config["num_attention_heads"]
    return TextShape(
        model_type=config["model_type"],
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate_size=config["intermediate_size"],
        vocab_size=config["vocab_size"],
        experts=config.get("num_experts") or config.get("num_local_experts") or 0,
        experts_per_token=config.get("num_experts_per_tok") or 0,
        expert_size=config.get("moe_intermediate_size") or 0,
        sliding_window=(config.get("sliding_window") or 0) if config.get("use_sliding_window") else 0,
        max_positions=config.get("max_position_embeddings", 32_768),
    )
