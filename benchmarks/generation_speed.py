"""The generator against plain transformers on a random model of InternVL3-1B's sizes, on the processor, side by side.

    python benchmarks/generation_speed.py [--rounds N] [--checkpoint FOLDER]

Both hold the same checkpoint in one process and take turns on pictures that neither has seen: 7 tiles of 448 pixels,
1,800 tokens, `--tokens` more for the answer. Without --checkpoint the model is made first
(scripts/tiny_checkpoint.py --shape 1b, 1.9 GB). Writes benchmarks/results/generation_speed.json.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from scripts.tiny_checkpoint import ONE_B, make_checkpoint
from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, ChatEvent, Finished, ImagePart, Message, Stage, TextPart
from vision.errors import VisionError
from vision.host.prompt import TileShape, build
from vision.host.scheduler import Scheduler
from vision.host.work import Work
from vision.variants.plan import Plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "generation_speed.json"
LIMITS = {
    "first_over_plain": 1.05,
    "second_over_first": 0.15,
    "four_together_over_one_by_one": 2.5,
    "cancelled_within_s": 0.3,
}
TILE = TileShape(448, 256)


def picture(seed: int) -> bytes:
    """A PNG of 1344 by 896 pixels: 3 by 2 tiles and a thumbnail."""
    pixels = np.random.default_rng(seed).integers(0, 255, (112, 168, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).resize((1344, 896)).save(written, "PNG")
    return written.getvalue()


def question(image: bytes, words: str) -> tuple[Message, ...]:
    return (Message(role="user", parts=(ImagePart(data=image), TextPart(text=words))),)


class Ours:
    def __init__(self, folder: Path) -> None:
        plan = Plan(
            variant="1B shape", repository="random", device="cpu", dtype="bfloat16", max_tiles=12, max_frames=8,
            context=8192, batch=4, feature_cache_bytes=1 << 28, prefix_cache_bytes=1 << 28,
        )  # fmt: skip
        self.scheduler = Scheduler(HostSpec(plan=plan, folder=folder, idle_unload_s=60))

    def cancelled_after(self, messages: tuple[Message, ...], stage: str) -> float:
        """Seconds between cancelling in the middle of a stage and the model being free again."""
        reached = threading.Event()
        work = Work(
            Ask(messages=messages),
            lambda event: reached.set() if isinstance(event, Stage) and event.name == stage else None,
        )
        self.scheduler.submit(work)
        reached.wait()
        time.sleep(0.4)  # into the middle of what the stage announced
        began = time.perf_counter()
        work.cancel()
        self.ask((Message(role="user", parts=(TextPart(text="Free?"),)),), 1)()
        free = time.perf_counter() - began
        return free - seconds(self.ask((Message(role="user", parts=(TextPart(text="Fre?"),)),), 1))

    def ask(self, messages: tuple[Message, ...], tokens: int) -> Callable[[], Finished]:
        """Submits, and returns what waits for the end."""
        ended, events = threading.Event(), list[ChatEvent | VisionError]()

        def take(event: ChatEvent | VisionError) -> None:
            events.append(event)
            if isinstance(event, Finished | VisionError):
                ended.set()

        self.scheduler.submit(Work(Ask(messages=messages, max_tokens=tokens), take))

        def end() -> Finished:
            ended.wait()
            last = events[-1]
            assert isinstance(last, Finished), last
            assert last.usage.completion_tokens == tokens
            return last

        return end


class Plain:
    """What a script with transformers does: processor, tokenizer, generate."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = InternVLForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.processor: Any = GotOcr2ImageProcessorPil.from_pretrained(folder)

    def ask(self, messages: tuple[Message, ...], tokens: int) -> None:
        ids = torch.from_numpy(build(messages, self.tokenizer, TILE, 12).ids)[None]
        pictures = [Image.open(io.BytesIO(p.data)) for m in messages for p in m.parts if isinstance(p, ImagePart)]
        pixels = self.processor(pictures, crop_to_patches=True, max_patches=12, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            made = self.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels.to(torch.bfloat16),
                max_new_tokens=tokens, do_sample=False,
            )  # fmt: skip
        assert made.shape[1] - ids.shape[1] == tokens


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def loading(folder: Path) -> tuple[dict[str, float], Ours]:
    """Reading the weights' file into memory, then loading the model from it (the libraries are imported already)."""
    file = folder / "model.safetensors"
    read_s = min(seconds(lambda: file.read_bytes()) for _ in range(3))
    ours = Ours(folder)
    began = time.perf_counter()
    ours.scheduler.start()
    while ours.scheduler.state().state == "loading":
        time.sleep(0.005)
    load_s = time.perf_counter() - began
    return {"read_s": round(read_s, 2), "load_s": round(load_s, 2), "load_over_read": round(load_s / read_s, 2)}, ours


def turns(ours: Ours, plain: Plain, rounds: int, tokens: int) -> dict[str, Any]:
    """A picture for each of the two in each round, new to both; then another question on ours."""
    rows = []
    for turn in range(rounds):
        image = picture(turn)
        asked = question(image, "What is it?")
        row: dict[str, float] = {}
        works = [
            ("plain", lambda asked=asked: plain.ask(asked, tokens)),
            ("first", lambda asked=asked: ours.ask(asked, tokens)()),
        ]
        for name, work in works if turn % 2 else reversed(works):
            row[name] = seconds(work)
        row["second"] = seconds(ours.ask(question(image, "Which colours do you see there?"), tokens))
        rows.append({name: round(value, 3) for name, value in row.items()})
        sys.stderr.write(f"{rows[-1]}\n")
    return {
        "rounds": rows,
        "first_over_plain": round(statistics.median(r["first"] / r["plain"] for r in rows), 3),
        "second_over_first": round(statistics.median(r["second"] / r["first"] for r in rows), 3),
    }


def together(ours: Ours, rounds: int, tokens: int) -> dict[str, Any]:
    """Four questions on a picture that is known: one after the other, then at once."""
    image = picture(1000)
    ours.ask(question(image, "What is it?"), 2)()
    rows = []
    for turn in range(rounds):
        words = [f"{turn}: what stands in corner {corner}?" for corner in "abcdefgh"]

        def one_by_one(words: list[str] = words[:4]) -> None:
            for word in words:
                ours.ask(question(image, word), tokens)()

        def at_once(words: list[str] = words[4:]) -> None:
            for end in [ours.ask(question(image, word), tokens) for word in words]:
                end()

        rows.append({"one_by_one": round(seconds(one_by_one), 3), "at_once": round(seconds(at_once), 3)})
        sys.stderr.write(f"{rows[-1]}\n")
    gain = statistics.median(r["one_by_one"] / r["at_once"] for r in rows)
    return {"tokens": tokens, "rounds": rows, "four_together_over_one_by_one": round(gain, 2)}


def cancelling(ours: Ours) -> dict[str, float]:
    """The longest of three tries in the vision tower and in the prefill of a long prompt."""
    words = (Message(role="user", parts=(TextPart(text="Look at this. " * 300),)),)
    ours.ask(words, 1)()  # it must fit into the context, or there is no prefill to cancel
    longer = [(Message(role="user", parts=(TextPart(text=f"{n} " + "Look at this. " * 300),)),) for n in range(3)]
    return {
        "seeing": round(max(ours.cancelled_after(question(picture(n), "?"), "seeing") for n in (3001, 3002, 3003)), 2),
        "prefill": round(max(ours.cancelled_after(asked, "prefill") for asked in longer), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--checkpoint", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.checkpoint or make_checkpoint(Path(scratch), text="qwen2", image_size=448, shape=ONE_B)
        load, ours = loading(folder)
        plain = Plain(folder)
        plain.ask(question(picture(2000), "Warm up."), 2)
        ours.ask(question(picture(2001), "Warm up."), 2)()
        result = {
            "model": "random weights, sizes of InternVL3-1B (938 M parameters), bfloat16",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **load,
            "answer_tokens": given.tokens,
            **turns(ours, plain, given.rounds, given.tokens),
            "batch": together(ours, 3, 48),
            "cancelled_within_s": cancelling(ours),
        }
        ours.scheduler.close()
    figures = result | result["batch"] | {"cancelled_within_s": max(result["cancelled_within_s"].values())}
    result["holds"] = {
        name: figures[name] >= limit if name.startswith("four") else figures[name] <= limit
        for name, limit in LIMITS.items()
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if all(result["holds"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
