"""A catalogue's variant as transformers configures it: for networks with its sizes and random weights."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, InternVLConfig, InternVLVisionConfig

from vision.variants.catalogue import Variant


def config_of(variant: Variant) -> InternVLConfig:
    vision, text = variant.vision, variant.text
    shared: dict[str, Any] = {
        "hidden_size": text.hidden_size,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.kv_heads,
        "head_dim": text.head_dim,
        "intermediate_size": text.intermediate_size,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_positions,
        "tie_word_embeddings": False,
    }
    if text.model_type == "qwen2":
        assert text.head_dim == text.hidden_size // text.heads
        del shared["head_dim"]
    if text.model_type == "qwen3_moe":
        shared |= {"num_experts": text.experts, "moe_intermediate_size": text.expert_size}
    if text.model_type == "gpt_oss":
        shared |= {"num_local_experts": text.experts, "sliding_window": text.sliding_window}
    if text.experts:
        shared["num_experts_per_tok"] = text.experts_per_token
    return InternVLConfig(
        vision_config=InternVLVisionConfig(
            hidden_size=vision.hidden_size,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            intermediate_size=vision.intermediate_size,
            attention_bias=vision.attention_bias,
            use_qk_norm=vision.qk_norm,
            norm_type=vision.norm_type,
            image_size=[448, 448],
            patch_size=[14, 14],
        ),
        text_config=AutoConfig.for_model(text.model_type, **shared),
        image_token_id=0,
        tie_word_embeddings=False,  # defaults to True, and lm_head would not be counted
    )
