"""Makes a tiny InternVL checkpoint with random weights, in the layout of the published native repositories.

It knows nothing and answers nonsense, always the same; tests and benchmarks use it to prove that the whole path works
where no weights can be had. The same seed gives the same files.

Usage: .venv/bin/python scripts/tiny_checkpoint.py FOLDER [--text qwen2|qwen3|qwen3_moe] [--image-size 112] [--seed 0]
       [--shape tiny|1b]        1b: the sizes of InternVL3-1B (938 M parameters, bfloat16), for benchmarks
Needs the extra [local].
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

TextModel = Literal["qwen2", "qwen3", "qwen3_moe"]
STRUCTURE = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>")
MARKS = ("<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>", "<think>", "</think>")
PATCH, DOWNSAMPLE = 14, 0.5
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
# As in the published -HF repositories: a line for each picture, no system prompt of its own.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}{{- '<IMG_CONTEXT>\\n' -}}
{%- elif part['type'] == 'video' -%}{{- '<video>\\n' -}}
{%- elif part['type'] == 'text' -%}{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(frozen=True)
class Shape:
    """Sizes of the two towers: hidden size, feed-forward size, layers, attention heads (and those of keys)."""

    vision: tuple[int, int, int, int]
    text: tuple[int, int, int, int, int]
    head_dim: int
    vocabulary: int
    dtype: str


TINY = Shape((64, 128, 2, 2), (64, 128, 2, 2, 1), 32, 1024, "float32")
# InternVL3-1B: InternViT-300M and Qwen2.5-0.5B.
ONE_B = Shape((1024, 4096, 24, 16), (896, 4864, 24, 14, 2), 64, 151_674, "bfloat16")


def make_tokenizer(size: int) -> Any:
    """A byte-level BPE tokenizer of Qwen's kind, taught on this file; at most `size` tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()  # pyright: ignore[reportAttributeAccessIssue]
    learner.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(STRUCTURE) - len(MARKS),
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator([Path(__file__).read_text(encoding="utf-8")], trainer)
    model = json.loads(learner.to_str())["model"]
    others = [token for token in (*STRUCTURE, *MARKS) if token not in ("<|im_end|>", "<|endoftext|>")]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) if not isinstance(pair, str) else tuple(pair.split(" ")) for pair in model["merges"]],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token=None,
        padding_side="left",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=others,
        model_specific_special_tokens={
            "context_image_token": "<IMG_CONTEXT>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "video_token": "<video>",
        },
    )


def make_checkpoint(
    folder: Path, *, text: TextModel = "qwen3", image_size: int = 112, seed: int = 0, shape: Shape = TINY
) -> Path:
    """Writes the checkpoint into `folder` and returns it. A tile is (image_size / 28)² tokens."""
    import torch
    from transformers import GenerationConfig, InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(min(shape.vocabulary, 1024))
    number = tokenizer.convert_tokens_to_ids
    tokens_a_tile = int((image_size // PATCH) ** 2 * DOWNSAMPLE**2)
    hidden, feed_forward, layers, heads = shape.vision
    vision = InternVLVisionConfig(
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=[image_size] * 2,
        patch_size=[PATCH] * 2,
        attention_bias=True,
        use_mean_pooling=True,
    )
    vision.architectures = ["InternVLVisionModel"]
    config = InternVLConfig(
        vision_config=vision,
        text_config=_text_config(text, shape, number("<|im_end|>"), number("<|endoftext|>")),
        image_token_id=number("<IMG_CONTEXT>"),
        image_seq_length=tokens_a_tile,
        downsample_ratio=DOWNSAMPLE,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    default = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, shape.dtype))
    model = InternVLForConditionalGeneration(config).eval()
    torch.set_default_dtype(default)
    _make_decided(model, len(tokenizer), [number(token) for token in (*STRUCTURE, *MARKS)])
    model.generation_config = GenerationConfig(
        bos_token_id=None, eos_token_id=number("<|im_end|>"), pad_token_id=number("<|endoftext|>"), do_sample=False
    )
    model.save_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    write_processors(folder, image_size, tokens_a_tile)
    return folder


def _text_config(text: TextModel, shape: Shape, end: int, pad: int) -> Any:
    from transformers import Qwen2Config, Qwen3Config, Qwen3MoeConfig

    hidden, feed_forward, layers, heads, key_heads = shape.text
    shared: dict[str, Any] = {
        "vocab_size": (shape.vocabulary + 63) // 64 * 64,
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
    if text == "qwen2":
        config, name = Qwen2Config(**shared), "Qwen2ForCausalLM"
    elif text == "qwen3":
        config, name = Qwen3Config(head_dim=shape.head_dim, **shared), "Qwen3ForCausalLM"
    else:
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": feed_forward // 2}
        config, name = Qwen3MoeConfig(head_dim=shape.head_dim, **experts, **shared), "Qwen3MoeForCausalLM"
    config.architectures = [name]
    return config


def _make_decided(model: Any, known: int, special: list[int]) -> None:
    """Spreads the random logits, so that rounding never decides between two tokens, and rules out tokens without text.

    The vision tower's gains and position embeddings start near nothing and would hide the picture from the answer.
    """
    import torch

    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.5)
        model.lm_head.weight[known:] = 0
        model.lm_head.weight[special] = 0
        for name, parameter in model.model.vision_tower.named_parameters():
            if "lambda_" in name:
                parameter.fill_(1.0)
            elif "position_embeddings" in name:
                parameter.normal_(0, 0.5)


def write_processors(folder: Path, image_size: int, tokens_a_tile: int) -> None:
    """Written as text: building the video processor would need torchvision."""
    size = {"height": image_size, "width": image_size}
    shared = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3}
    shared |= {"rescale_factor": 1 / 255, "size": size, "processor_class": "InternVLProcessor", **IMAGENET}
    picture = {"crop_to_patches": False, "image_processor_type": "GotOcr2ImageProcessor"}
    picture |= {"min_patches": 1, "max_patches": 12}
    video = {"do_sample_frames": False, "initial_shift": True, "video_processor_type": "InternVLVideoProcessor"}
    processor = {"image_seq_length": tokens_a_tile, "processor_class": "InternVLProcessor"}
    written = {
        "preprocessor_config.json": shared | picture,
        "video_preprocessor_config.json": shared | video,
        "processor_config.json": processor,
    }
    for name, value in written.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    path = folder / "tokenizer_config.json"
    known = json.loads(path.read_text(encoding="utf-8")) | {"processor_class": "InternVLProcessor"}
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", choices=["qwen2", "qwen3", "qwen3_moe"], default="qwen3")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", choices=["tiny", "1b"], default="tiny")
    given = parser.parse_args()
    shape = ONE_B if given.shape == "1b" else TINY
    text: TextModel = "qwen2" if given.shape == "1b" else given.text
    image_size = 448 if given.shape == "1b" else given.image_size
    made = make_checkpoint(given.folder, text=text, image_size=image_size, seed=given.seed, shape=shape)
    size = sum(path.stat().st_size for path in made.iterdir())
    sys.stdout.write(f"{made}: {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
