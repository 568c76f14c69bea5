"""Asking the real generator, and asking transformers itself for comparison."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")

import numpy as np
import torch
from PIL import Image

from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, ChatEvent, Delta, Finished, ImagePart, Message, TextPart
from vision.errors import VisionError
from vision.host.model import LOADING
from vision.host.prompt import Prompt, TileShape, build
from vision.host.scheduler import Scheduler
from vision.host.tiling import normalised
from vision.host.work import Work
from vision.variants.plan import Plan

PATIENCE_S = 60.0
# Of the tiny checkpoints.
SHAPE = TileShape(side=112, tokens=16)
MIB = 1 << 20


def noise(width: int, height: int, seed: int = 0) -> bytes:
    """A PNG of random pixels."""
    return encoded(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def encoded(pixels: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def message(role: str, *parts: str | bytes) -> Message:
    return Message.model_validate(
        {"role": role, "parts": [TextPart(text=p) if isinstance(p, str) else ImagePart(data=p) for p in parts]}
    )


def user(*parts: str | bytes) -> Message:
    return message("user", *parts)


def ask_of(*messages: Message, **options: Any) -> Ask:
    return Ask.model_validate({"messages": messages, "max_tokens": 24, **options})


class Answer(Work):
    """A question and what came back."""

    def __init__(self, ask: Ask) -> None:
        self.events: list[ChatEvent] = []
        self.error: VisionError | None = None
        self.ended = threading.Event()
        self.changed = threading.Condition()
        super().__init__(ask, self._take)

    def _take(self, event: ChatEvent | VisionError) -> None:
        with self.changed:
            if isinstance(event, VisionError):
                self.error = event
            else:
                self.events.append(event)
            self.changed.notify_all()
        if isinstance(event, Finished | VisionError):
            self.ended.set()

    def until(self, kind: type) -> None:
        """Waits for the first event of that kind."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(isinstance(e, kind) for e in self.events), PATIENCE_S)

    @property
    def finished(self) -> Finished:
        assert self.ended.wait(PATIENCE_S), f"no end; events: {self.events[-3:]}"
        assert self.error is None, f"{self.error}: {self.error.__cause__!r}"
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def text(self) -> str:
        assert self.finished
        return "".join(event.text for event in self.events if isinstance(event, Delta))


def spec_of(folder: Path, **changes: Any) -> HostSpec:
    values: dict[str, Any] = {
        "variant": "tiny",
        "repository": "tests/tiny",
        "device": "cpu",
        "dtype": "float32",
        "max_tiles": 12,
        "max_frames": 8,
        "context": 8192,
        "batch": 4,
        "feature_cache_bytes": 16 * MIB,
        "prefix_cache_bytes": 64 * MIB,
    }
    return HostSpec(plan=Plan.model_validate(values | changes), folder=folder, idle_unload_s=60)


class Asker:
    """A scheduler, and the same checkpoint under plain transformers."""

    def __init__(self, spec: HostSpec) -> None:
        self.scheduler = Scheduler(spec)
        self.scheduler.start()
        self.folder = spec.folder

    def submit(self, *messages: Message, **options: Any) -> Answer:
        answer = Answer(ask_of(*messages, **options))
        self.scheduler.submit(answer)
        return answer

    def __call__(self, *messages: Message, **options: Any) -> str:
        return self.submit(*messages, **options).text


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Callable[..., Path]) -> Iterator[Callable[..., Asker]]:
    """Schedulers on tiny checkpoints: `made("qwen2", batch=2)`. They end with the module."""
    askers: list[Asker] = []

    def make(text: str = "qwen3", **changes: Any) -> Asker:
        askers.append(Asker(spec_of(tiny_checkpoint(text), **changes)))
        return askers[-1]

    yield make
    for asker in askers:
        asker.scheduler.close()


class Plain:
    """transformers' own `generate` on a prompt, without caches or batches of ours."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, InternVLForConditionalGeneration

        with LOADING:
            model: Any = InternVLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.model = model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def __call__(self, prompt: Prompt, pixels: torch.Tensor | None, tokens: int = 24) -> str:
        ids = torch.from_numpy(prompt.ids)[None]
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if pixels is not None:
            given["pixel_values"] = pixels
        with torch.inference_mode():
            made = self.model.generate(**given, max_new_tokens=tokens, do_sample=False)[0, ids.shape[1] :]
        answer = [int(token) for token in made if int(token) != self.tokenizer.eos_token_id]
        return self.tokenizer.decode(answer, skip_special_tokens=False)


@pytest.fixture(scope="module")
def plain(tiny_checkpoint: Callable[..., Path]) -> Callable[..., str]:
    """What transformers alone answers: `plain("qwen3", messages…)`."""
    known: dict[str, Plain] = {}

    def answer(text: str, *messages: Message, tokens: int = 24, max_tiles: int = 12) -> str:
        asked = known.setdefault(text, Plain(tiny_checkpoint(text)))
        prompt = build(messages, asked.tokenizer, SHAPE, max_tiles)
        pixels = torch.from_numpy(normalised(prompt.tiles)) if len(prompt.tiles) else None
        return asked(prompt, pixels, tokens)

    return answer


@pytest.fixture(scope="module")
def asker(made: Callable[..., Asker]) -> Asker:
    return made("qwen3")
