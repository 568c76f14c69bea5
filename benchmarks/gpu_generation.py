"""On a GPU: memory against the selector's estimate, speed against the bandwidth's limit and against plain transformers.

    python benchmarks/gpu_generation.py [--shape InternVL3.5-8B …] [--seconds N]
    python benchmarks/gpu_generation.py --device cpu --shape InternVL3-1B       a small check of the script itself

Weights are random, sizes are the catalogue's. Each shape runs in a process of its own:
- memory: as many prompts side by side as the plan says, each as long as its context, so that KV cache, prefix cache and
  activations are as full as they get; the peak (torch's, and the driver's context) against the plan's total;
- decode: tokens a second of one answer, against bytes read a token (language model and KV) over the card's bandwidth;
- vision tiles a second, and the time to the first token at 7 and 13 tiles against plain `generate` of one token.
Writes benchmarks/results/gpu_generation.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu_generation.json"
SHAPES = ("InternVL3-1B", "InternVL3.5-2B", "InternVL3.5-8B", "InternVL3.5-14B")
# Memory bandwidth in bytes a second, as the makers publish it.
BANDWIDTH = {"H200": 4.8e12, "H100": 3.35e12, "A100": 2.0e12, "L40S": 0.864e12, "RTX 4090": 1.008e12}
DECODED = 128


def network_of(variant: Any, device: str) -> Any:
    """The variant's network with random weights, bfloat16, on the device."""
    import torch
    from transformers import InternVLForConditionalGeneration

    from benchmarks.shapes import config_of

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        network = InternVLForConditionalGeneration(config_of(variant)).eval()
    torch.set_default_dtype(before)
    network.generation_config.eos_token_id = None
    return network


class Asked:
    """A scheduler on random weights, and its network for plain `generate`."""

    def __init__(self, variant: Any, plan: Any, device: str) -> None:
        from vision.chat.host_spec import HostSpec
        from vision.host.model import Model
        from vision.host.scheduler import Scheduler

        tokenizer = tiny_tokenizer()
        self.network = network_of(variant, device)
        self.network.config.image_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        self.model = Model(self.network, tokenizer, plan)
        self.model.ends = frozenset()
        self.scheduler = Scheduler(
            HostSpec(plan=plan, folder=ROOT, idle_unload_s=60), lambda spec, progress: self.model
        )
        self.scheduler.start()

    def ask(self, words: str, tokens: int, image: bytes | None = None, tiles: int = 12) -> Callable[[], Any]:
        from vision.chat.types import Ask, Finished, ImagePart, Message, TextPart
        from vision.errors import VisionError
        from vision.host.work import Work

        ended, events = threading.Event(), []

        def take(event: Any) -> None:
            events.append(event)
            if isinstance(event, Finished | VisionError):
                ended.set()

        parts = ((ImagePart(data=image),) if image else ()) + (TextPart(text=words),)
        ask = Ask(messages=(Message(role="user", parts=parts),), max_tokens=tokens, max_tiles=tiles)
        self.scheduler.submit(Work(ask, take))

        def end() -> Any:
            ended.wait()
            if isinstance(events[-1], VisionError):
                raise events[-1]
            return events[-1].usage

        return end


def tiny_tokenizer() -> Any:
    from scripts.tiny_checkpoint import CHAT_TEMPLATE, make_tokenizer

    tokenizer = make_tokenizer(1024)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def picture(seed: int, columns: int, rows: int) -> bytes:
    """A PNG that is cut into that many columns and rows of tiles."""
    import io

    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (rows * 56, columns * 56, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).resize((columns * 448, rows * 448)).save(written, "PNG")
    return written.getvalue()


def memory(asked: Asked, plan: Any, device: str) -> dict[str, Any]:
    """Fills the plan: `batch` prompts of nearly `context` tokens at once."""
    import torch

    room = plan.context - 64
    tiles = min(plan.max_tiles, 12)
    seen = (tiles + 1) * 256 + 64
    words = [f"{n} " + "x y " * max(0, int((room - seen) / 3.7)) for n in range(plan.batch)]
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    usages = [end() for end in [asked.ask(text, 32, picture(n, 4, 3), tiles) for n, text in enumerate(words)]]
    result: dict[str, Any] = {
        "plan": plan.model_dump(mode="json", include={"max_tiles", "context", "batch", "bytes"}),
        "prompt_tokens": [usage.prompt_tokens for usage in usages],
    }
    if device == "cpu":
        return result
    free, total = torch.cuda.mem_get_info()
    context = total - free - torch.cuda.memory_reserved()
    peak = torch.cuda.max_memory_reserved() + context
    estimate = sum(part.total for part in plan.bytes)
    return result | {
        "peak_bytes": peak,
        "allocated_peak_bytes": torch.cuda.max_memory_allocated(),
        "driver_bytes": context,
        "estimate_bytes": estimate,
        "peak_over_estimate": round(peak / estimate, 3),
    }


def decode(asked: Asked, variant: Any, bandwidth: float | None) -> dict[str, Any]:
    """Tokens a second of one answer after a short prompt, the first token not counted."""
    asked.ask("Warm up, please.", 8)()
    began = time.perf_counter()
    usage = asked.ask("Tell a long story now.", DECODED)()
    spent = time.perf_counter() - began - usage.first_token_s
    rate = (DECODED - 1) / spent
    language = asked.network.model.language_model
    read = sum(p.numel() * p.element_size() for p in language.layers.parameters())
    read += asked.network.lm_head.weight.numel() * asked.network.lm_head.weight.element_size()
    read += variant.kv_bytes_per_token * (usage.prompt_tokens + DECODED // 2)
    result: dict[str, Any] = {"tokens_per_s": round(rate, 1), "bytes_a_token": read}
    if bandwidth:
        limit = bandwidth / read
        result |= {"limit_tokens_per_s": round(limit, 1), "share_of_limit": round(rate / limit, 3)}
    return result


def first_token(asked: Asked, device: str, columns: int, rows: int) -> dict[str, Any]:
    """Seconds to the first token of a picture nobody has seen: ours, and plain `generate` of one token, in turn."""
    import torch

    from vision.chat.types import ImagePart, Message, TextPart
    from vision.host.prompt import build
    from vision.host.tiling import normalised

    ours, plain = [], []
    for turn in range(4):
        seen = picture(100 * columns + turn, columns, rows)
        ours.append(asked.ask("What is it?", 1, seen)().first_token_s)
        messages = (Message(role="user", parts=(ImagePart(data=seen), TextPart(text="What is it?"))),)
        began = time.perf_counter()
        prompt = build(messages, asked.model.tokenizer, asked.model.tile, 12)
        ids = torch.from_numpy(prompt.ids)[None].to(device)
        pixels = torch.from_numpy(normalised(prompt.tiles)).to(device, torch.bfloat16)
        with torch.inference_mode():
            asked.network.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, max_new_tokens=1,
                do_sample=False, pad_token_id=0,
            )  # fmt: skip
        if device != "cpu":
            torch.cuda.synchronize()
        plain.append(time.perf_counter() - began)
    best = {"ours_s": round(min(ours[1:]), 3), "plain_s": round(min(plain[1:]), 3)}
    return best | {"ours_over_plain": round(best["ours_s"] / best["plain_s"], 3)}


def tiles_per_s(asked: Asked, count: int) -> float:
    import numpy as np
    import torch

    pixels = np.random.default_rng(0).integers(0, 255, (count, 448, 448, 3), dtype=np.uint8)
    step = asked.model.tiles_at_once
    with torch.inference_mode():
        asked.model.see(pixels[:step])
        began = time.perf_counter()
        for place in range(0, count, step):
            asked.model.see(pixels[place : place + step])
        return round(count / (time.perf_counter() - began), 1)


def measure(name: str, device: str) -> dict[str, Any]:
    import torch

    from vision.variants.catalogue import variant_named
    from vision.variants.policy import Policy
    from vision.variants.probe import probe
    from vision.variants.selector import plan

    variant = variant_named(name)
    kind: Any = "cpu" if device == "cpu" else "cuda"
    chosen = plan(probe(), Policy(variant=name, quantisation="none", device=kind))
    card = "cpu" if device == "cpu" else torch.cuda.get_device_name(0)
    bandwidth = next((rate for known, rate in BANDWIDTH.items() if known in card), None)
    small = device == "cpu"
    if small:
        chosen = chosen.model_copy(update={"context": 1024, "batch": 2, "max_tiles": 1, "dtype": "bfloat16"})
    asked = Asked(variant, chosen, "cpu" if small else "cuda:0")
    result = {
        "card": card,
        "memory": memory(asked, chosen, device),
        "decode": decode(asked, variant, bandwidth),
        "tiles_per_s": tiles_per_s(asked, 2 if small else 64),
        "first_token_7_tiles": first_token(asked, asked_device(small), *((1, 1) if small else (3, 2))),
        "first_token_13_tiles": first_token(asked, asked_device(small), *((1, 1) if small else (4, 3))),
    }
    asked.scheduler.close()
    return result


def asked_device(small: bool) -> str:
    return "cpu" if small else "cuda:0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=240, help="for each shape")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        sys.stdout.write(json.dumps(measure(given.child, given.device)) + "\n")
        return 0
    results: dict[str, Any] = {}
    for name in given.shape or SHAPES:
        command = [sys.executable, __file__, "--child", name, "--device", given.device]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=given.seconds, check=False)
        except subprocess.TimeoutExpired:
            results[name] = {"failed": f"took longer than {given.seconds:g} s"}
            continue
        failed = done.returncode != 0
        results[name] = {"failed": done.stderr[-2000:]} if failed else json.loads(done.stdout.splitlines()[-1])
        sys.stdout.write(f"{name}: {json.dumps(results[name], indent=2)}\n")
        given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
