"""Loading: what a checkpoint may lack, how it may be quantised, and where its parts may lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vision.host.conftest import Asker, Plain, noise, spec_of, user
from vision.errors import OutOfMemory, WeightsUnusable
from vision.host.tiling import normalised

import torch  # isort: skip - after conftest, which skips where it is absent

from vision.host import model as host_model
from vision.host.model import load
from vision.host.prompt import TileShape, build


@pytest.fixture
def copied(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint that may be damaged."""
    return Path(shutil.copytree(tiny_checkpoint(), tmp_path / "copied"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_progress_rises_to_one(tiny_checkpoint: Callable[..., Path]) -> None:
    shares: list[float] = []
    loaded = load(spec_of(tiny_checkpoint()), shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    assert (loaded.tile.side, loaded.tile.tokens) == (112, 16)


def test_a_head_of_its_own_is_kept_although_the_configuration_does_not_say_so(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    del config["tie_word_embeddings"]
    (copied / "config.json").write_text(json.dumps(config))
    network: Any = load(spec_of(copied), lambda _: None)._network
    assert not torch.equal(network.lm_head.weight, network.get_input_embeddings().weight)


@pytest.mark.parametrize("head", ["language_model.lm_head.weight", "lm_head.weight"])
def test_a_head_of_its_own_is_one_under_both_its_names(copied: Path, head: str) -> None:
    """Even where it has the embeddings' values, or else quantising or moving one would do so to the other."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    tensors[head] = tensors.pop("language_model.lm_head.weight")
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    network: Any = load(spec_of(copied), lambda _: None)._network
    assert not network.config.tie_word_embeddings
    assert torch.equal(network.lm_head.weight, tensors[head])


def test_a_checkpoint_without_a_head_uses_its_embeddings(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    del tensors["language_model.lm_head.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    network: Any = load(spec_of(copied), lambda _: None)._network
    assert torch.equal(network.lm_head.weight, network.get_input_embeddings().weight)


def in_vision(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["vision_config"] |= changes
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def with_template(text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text)

    return damage


def without_image_token(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(path.read_text().replace("<IMG_CONTEXT>", "<OTHER>"))


def with_too_many_tokens(folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<more_{i}>" for i in range(1100)])
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        pytest.param(in_vision(image_size=[126, 126]), "position_embeddings", id="another size of pictures"),
        pytest.param(in_vision(image_size="large"), "image_size", id="a size that is none"),
        pytest.param(
            lambda folder: edit(folder / "config.json", vision_feature_select_strategy="full"),
            "no patch",
            id="features of no patch",
        ),
        pytest.param(lambda folder: edit(folder / "config.json", downsample_ratio=0.0), "loaded", id="a ratio of 0"),
        pytest.param(with_template("{% for m in %}"), "template is broken", id="broken template"),
        pytest.param(with_template("{{ messages[0]['role'] }}"), "takes no pictures", id="template without pictures"),
        pytest.param(lambda folder: (folder / "chat_template.jinja").unlink(), "template", id="no template"),
        pytest.param(without_image_token, "no token <IMG_CONTEXT>", id="no image token"),
        pytest.param(with_too_many_tokens, "embeddings", id="more tokens than embeddings"),
    ],
)
def test_parts_that_do_not_fit_are_told_before_the_first_question(
    copied: Path, damage: Callable[[Path], None], what: str
) -> None:
    damage(copied)
    with pytest.raises(WeightsUnusable, match=what):
        load(spec_of(copied), lambda _: None)


def test_tiles_that_cannot_be_joined_are_told_before_the_first_question(
    tiny_checkpoint: Callable[..., Path],
) -> None:
    """Nine patches a side, of which two by two become one token."""
    with pytest.raises(WeightsUnusable, match="cannot be cut into patches"):
        load(spec_of(tiny_checkpoint(image_size=126)), lambda _: None)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=str,
)
def test_every_way_to_say_that_memory_is_short_is_understood(error: Exception) -> None:
    assert host_model.is_out_of_memory(error)
    assert not host_model.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: (folder / "model.safetensors").unlink(), id="no weights"),
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(
                (folder / "model.safetensors").read_bytes()[:-99]
            ),
            id="cut weights",
        ),
        pytest.param(lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 4000), id="no safetensors"),
        pytest.param(lambda folder: (folder / "config.json").write_text("{"), id="cut configuration"),
        pytest.param(lambda folder: (folder / "tokenizer.json").write_text("{"), id="cut tokenizer"),
    ],
)
def test_a_damaged_checkpoint_is_one_clear_error(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    with pytest.raises(WeightsUnusable) as caught:
        load(spec_of(copied), lambda _: None)
    assert "internvl-mcp pull" in caught.value.hint


def test_tensors_that_are_missing_are_named(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    gone = next(name for name in tensors if name.endswith("q_proj.weight"))
    del tensors[gone]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnusable, match=r"lacks 1 tensors.*q_proj"):
        load(spec_of(copied), lambda _: None)


def test_memory_that_ends_while_loading_is_told_as_such(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(host_model.InternVLForConditionalGeneration, "from_pretrained", full)
    with pytest.raises(OutOfMemory, match="loading the model"):
        load(spec_of(copied), lambda _: None)


@pytest.mark.parametrize("quantisation", ["nf4", "int8"])
def test_quantised_it_answers_as_transformers_does_with_the_same_weights(
    tiny_checkpoint: Callable[..., Path], quantisation: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    spec = spec_of(tiny_checkpoint(), quantisation=quantisation)
    asked = Asker(spec)
    question = user(noise(300, 200), "What is it?")
    answer = asked(question)
    asked.scheduler.close()
    plain = Plain(tiny_checkpoint())
    plain.model = load(spec, lambda _: None)._network
    kinds = {name: type(module).__name__ for name, module in plain.model.named_modules()}
    small = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantisation]
    assert kinds["model.language_model.layers.0.mlp.up_proj"] == small
    assert kinds["model.vision_tower.encoder.layer.0.mlp.fc1"] == kinds["lm_head"] == "Linear"
    prompt = build((question,), plain.tokenizer, TileShape(112, 16), 12)
    assert answer == plain(prompt, torch.from_numpy(normalised(prompt.tiles)))


def test_parts_on_several_devices_answer_as_on_one(
    tiny_checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two graphics cards cannot be had everywhere; the disk is a second device too, with the same hooks between."""
    whole = Asker(spec_of(tiny_checkpoint()))
    question = user(noise(300, 200), "What is it?")
    expected = whole(question)
    whole.scheduler.close()
    parts = ("vision_tower", "multi_modal_projector", "language_model.embed_tokens", "language_model.norm")
    split = {f"model.{part}": "cpu" for part in (*parts, "language_model.rotary_emb", "language_model.layers.0")}
    split |= {"model.language_model.layers.1": "disk", "lm_head": "cpu"}
    monkeypatch.setattr(host_model, "_device_map", lambda plan: split)
    apart = Asker(spec_of(tiny_checkpoint()))
    assert apart(question) == expected
    apart.scheduler.close()
