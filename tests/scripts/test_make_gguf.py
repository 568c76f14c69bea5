"""llama.cpp's files, read back: they hold the checkpoint, under the names and in the order that llama.cpp knows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="the dependency group servers is not installed")
pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")

import gguf
import numpy as np
from safetensors.numpy import load_file

from scripts.make_gguf import MARKER, Files, make_gguf

CHECKPOINT = Path(__file__).parents[1] / "nano" / "checkpoint"
pytestmark = pytest.mark.skipif(not CHECKPOINT.is_dir(), reason="tests/nano/checkpoint is not here")
# transformers' names in the words of InternVL's first layout, which the library's own table knows.
_FIRST_LAYOUT = {
    r"language_model\.model\.": "model.",
    r"language_model\.lm_head": "lm_head",
    r"multi_modal_projector\.layer_norm": "mlp1.0",
    r"multi_modal_projector\.linear_1": "mlp1.1",
    r"multi_modal_projector\.linear_2": "mlp1.3",
    r"vision_tower\.": "vision_tower.vision_model.",
    r"embeddings\.patch_embeddings\.projection": "embeddings.patch_embedding",
    r"embeddings\.cls_token": "embeddings.class_embedding",
    r"embeddings\.position_embeddings": "embeddings.position_embedding.weight",
    r"encoder\.layer\.": "encoder.layers.",
    r"attention\.(q|k|v)_proj": r"self_attn.\1_proj",
    r"attention\.projection_layer": "attn.proj",
    r"layernorm_before": "norm1",
    r"layernorm_after": "norm2",
    r"lambda_(\d)": r"ls\1.weight",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_gguf(CHECKPOINT, tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHECKPOINT / "config.json").read_text())
    return found


def expected_name(name: str, config: dict[str, Any]) -> str:
    """What the library's table calls a tensor of the checkpoint."""
    architecture, part = gguf.MODEL_ARCH.MMPROJ, config["vision_config"]
    if name.startswith("language_model."):
        architecture, part = gguf.MODEL_ARCH.QWEN3, config["text_config"]
    for pattern, first in _FIRST_LAYOUT.items():
        name = re.sub(pattern, first, name)
    table = gguf.get_tensor_name_map(architecture, part["num_hidden_layers"])
    found: str | None = table.get_name(name, try_suffixes=(".weight", ".bias"))
    assert found is not None, name
    return found


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def test_every_tensor_is_there_with_its_values(made: Files, config: dict[str, Any]) -> None:
    there = {tensor.name: tensor.data for path in made for tensor in gguf.GGUFReader(path).tensors}
    weights = load_file(CHECKPOINT / "model.safetensors")
    assert there.keys() == {expected_name(name, config) for name in weights}
    for name, value in weights.items():
        found = there[expected_name(name, config)]
        assert found.size == value.size, name
        if "position_embeddings" in name:  # the class token's place is behind the patches there
            value = np.concatenate((value[:, 1:], value[:, :1]), axis=1)
        np.testing.assert_array_equal(found.astype(np.float32).ravel(), value.astype(np.float32).ravel(), name)


def test_the_text_model_is_described(made: Files, config: dict[str, Any]) -> None:
    said, text = fields(made.model), config["text_config"]
    assert said["general.architecture"] == "qwen3"
    sizes = {
        "block_count": "num_hidden_layers",
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.value_length": "head_dim",
    }
    assert {name: said[f"qwen3.{name}"] for name in sizes} == {name: text[key] for name, key in sizes.items()}
    assert said["qwen3.rope.freq_base"] == text["rope_parameters"]["rope_theta"]
    assert said["qwen3.attention.layer_norm_rms_epsilon"] == pytest.approx(text["rms_norm_eps"])


def test_the_vision_tower_is_described(made: Files, config: dict[str, Any]) -> None:
    said, tower = fields(made.projector), config["vision_config"]
    pictures = json.loads((CHECKPOINT / "preprocessor_config.json").read_text())
    assert (said["general.architecture"], said["clip.projector_type"]) == ("clip", "internvl")
    sizes = {
        "block_count": tower["num_hidden_layers"],
        "embedding_length": tower["hidden_size"],
        "feed_forward_length": tower["intermediate_size"],
        "attention.head_count": tower["num_attention_heads"],
        "image_size": tower["image_size"][0],
        "patch_size": tower["patch_size"][0],
        "projection_dim": config["text_config"]["hidden_size"],
        "projector.scale_factor": round(1 / config["downsample_ratio"]),
    }
    assert {name: said[f"clip.vision.{name}"] for name in sizes} == sizes
    assert said["clip.vision.image_mean"] == pytest.approx(pictures["image_mean"])
    assert said["clip.vision.image_std"] == pytest.approx(pictures["image_std"])
    assert (said["clip.vision.preproc_min_tiles"], said["clip.vision.preproc_max_tiles"]) == (
        pictures["min_patches"],
        pictures["max_patches"],
    )


def test_the_tokenizer_is_the_checkpoint_s(made: Files, config: dict[str, Any]) -> None:
    said, known = fields(made.model), json.loads((CHECKPOINT / "tokenizer.json").read_text())
    tokens, kinds = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    assert len(tokens) == len(kinds) == config["text_config"]["vocab_size"]
    assert all(tokens[number] == token for token, number in known["model"]["vocab"].items())
    for added in known["added_tokens"]:
        assert tokens[added["id"]] == added["content"]
        assert (kinds[added["id"]] == gguf.TokenType.CONTROL) == added["special"]
    assert len(said["tokenizer.ggml.merges"]) == len(known["model"]["merges"])
    assert tokens[said["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    # A picture's marker is followed by a line break, as the checkpoint's template has it.
    assert f"replace('{MARKER}', '{MARKER}\\n')" in said["tokenizer.chat_template"]


@pytest.mark.parametrize(
    ("part", "key", "value"), [("text_config", "model_type", "llama"), ("vision_config", "use_qk_norm", True)]
)
def test_a_checkpoint_of_another_kind_is_refused(
    tmp_path: Path, config: dict[str, Any], part: str, key: str, value: object
) -> None:
    other = shutil.copytree(CHECKPOINT, tmp_path / "other")
    changed = config | {part: config[part] | {key: value}}
    (other / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="only checkpoints"):
        make_gguf(other, tmp_path / "made")
    assert not (tmp_path / "made").exists()
