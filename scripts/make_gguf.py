"""Makes llama.cpp's two files of a small InternVL checkpoint in transformers' layout (-HF): the text model with its
tokenizer and chat template, and the vision tower with its projector (mmproj).

llama.cpp's own converter reads the layout of the first repositories only. This one knows what the project's own tiny
checkpoints are made of: Qwen3 as the text model, a tower without QK-norm. Names and keys are those of llama.cpp's
conversion/internvl.py and qwen.py. Matrices stay in 16 bits as they are; all else is float32.

Usage: .venv/bin/python scripts/make_gguf.py CHECKPOINT FOLDER          writes FOLDER/model.gguf and FOLDER/mmproj.gguf
Needs the dependency groups model and servers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

# llama.cpp gives a template the whole text of a message with a marker in the place of each picture, so the template's
# own rule, a line break behind a picture, must be said of the marker. The server must be started with
# LLAMA_MEDIA_MARKER set to this, or it makes one up.
MARKER = "<__media__>"
_TEXTS = ("message['content']", "part['text']")

_TEXT = {
    "language_model.lm_head": "output",
    "language_model.model.embed_tokens": "token_embd",
    "language_model.model.norm": "output_norm",
}
_TEXT_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.down_proj": "ffn_down",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
_VISION = {
    "vision_tower.embeddings.patch_embeddings.projection": "v.patch_embd",
    "multi_modal_projector.layer_norm": "mm.model.mlp.0",
    "multi_modal_projector.linear_1": "mm.model.mlp.1",
    "multi_modal_projector.linear_2": "mm.model.mlp.3",
}
_VISION_WHOLE = {
    "vision_tower.embeddings.cls_token": "v.class_embd",
    "vision_tower.embeddings.position_embeddings": "v.position_embd.weight",
}
_VISION_LAYER = {
    "attention.q_proj": "attn_q",
    "attention.k_proj": "attn_k",
    "attention.v_proj": "attn_v",
    "attention.projection_layer": "attn_out",
    "layernorm_before": "ln1",
    "layernorm_after": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
# What the writer calls the sizes that both configurations have.
_SIZES = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "head_count": "num_attention_heads",
}
_GAINS = {"lambda_1": "ls1.weight", "lambda_2": "ls2.weight"}
_LAYER = re.compile(r"(language_model\.model\.layers|vision_tower\.encoder\.layer)\.(\d+)\.(.+)")


class Files(NamedTuple):
    model: Path
    projector: Path


def make_gguf(checkpoint: Path, folder: Path) -> Files:
    """Writes both files into `folder`. Raises ValueError for a checkpoint of another kind."""
    config = _read(checkpoint / "config.json")
    if config["text_config"]["model_type"] != "qwen3" or config["vision_config"]["use_qk_norm"]:
        raise ValueError("only checkpoints with Qwen3 and a tower without QK-norm can be converted")
    weights = load_file(checkpoint / "model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    made = Files(folder / "model.gguf", folder / "mmproj.gguf")
    _write_text_model(made.model, checkpoint, config["text_config"], weights)
    _write_vision_tower(made.projector, checkpoint, config, weights)
    return made


def _write_text_model(path: Path, checkpoint: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_type(gguf.GGUFType.MODEL)
    _add_sizes(writer, "", config)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_tokenizer(writer, checkpoint, config)
    _write(writer, weights, vision=False)


def _add_tokenizer(writer: gguf.GGUFWriter, checkpoint: Path, config: dict[str, Any]) -> None:
    tokenizer = _read(checkpoint / "tokenizer.json")
    tokens = [f"[PAD{number}]" for number in range(config["vocab_size"])]
    kinds = [gguf.TokenType.UNUSED] * len(tokens)
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], kinds[number] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], kind
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    template = (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    for text in _TEXTS:
        if f"{{{{- {text} -}}}}" not in template:
            raise ValueError("the chat template is of another form than the project's own")
        template = template.replace(f"{{{{- {text} -}}}}", f"{{{{- {text} | replace('{MARKER}', '{MARKER}\\n') -}}}}")
    writer.add_chat_template(template)


def _write_vision_tower(path: Path, checkpoint: Path, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    tower, pictures = config["vision_config"], _read(checkpoint / "preprocessor_config.json")
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(gguf.VisionProjectorType.INTERNVL)
    writer.add_vision_projection_dim(config["text_config"]["hidden_size"])
    writer.add_vision_image_size(tower["image_size"][0])
    writer.add_vision_patch_size(tower["patch_size"][0])
    _add_sizes(writer, "vision_", tower)
    writer.add_vision_attention_layernorm_eps(tower["layer_norm_eps"])
    writer.add_vision_image_mean(pictures["image_mean"])
    writer.add_vision_image_std(pictures["image_std"])
    writer.add_vision_use_gelu(True)
    writer.add_vision_projector_scale_factor(int(1 / config["downsample_ratio"]))
    writer.add_vision_preproc_min_tiles(pictures["min_patches"])
    writer.add_vision_preproc_max_tiles(pictures["max_patches"])
    _write(writer, weights, vision=True)


def _add_sizes(writer: gguf.GGUFWriter, prefix: str, config: dict[str, Any]) -> None:
    for name, key in _SIZES.items():
        getattr(writer, f"add_{prefix}{name}")(config[key])


def _write(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor], *, vision: bool) -> None:
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for name, tensor in weights.items():
        if name.startswith("language_model.") is not vision:
            writer.add_tensor(_named(name), _stored(name, tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _named(name: str) -> str:
    """llama.cpp's name of a tensor. Raises KeyError for one that it has no place for."""
    if name in _VISION_WHOLE:
        return _VISION_WHOLE[name]
    if found := _LAYER.fullmatch(name):
        prefix, names = ("blk", _TEXT_LAYER) if name.startswith("language") else ("v.blk", _VISION_LAYER)
        if found[3] in _GAINS:
            return f"{prefix}.{found[2]}.{_GAINS[found[3]]}"
        stem, _, kind = found[3].rpartition(".")
        return f"{prefix}.{found[2]}.{names[stem]}.{kind}"
    stem, _, kind = name.rpartition(".")
    return f"{(_TEXT | _VISION)[stem]}.{kind}"


def _stored(name: str, tensor: torch.Tensor) -> np.ndarray:
    matrix = tensor.dim() > 1 and "position_embeddings" not in name and "cls_token" not in name
    values = np.asarray(tensor.to(torch.float16 if matrix else torch.float32))
    if "position_embeddings" in name:
        return np.roll(values, -1, axis=1)  # llama.cpp has the class token behind the patches, not before them
    return values.squeeze() if "cls_token" in name else values


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    for path in make_gguf(given.checkpoint, given.folder):
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
