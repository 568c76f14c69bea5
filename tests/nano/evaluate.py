"""How often the nano model is right on scenes that training never drew, by task, through plain transformers.

Usage: python -m tests.nano.evaluate [FOLDER] [--scenes N] [--seed S] [--split test|train] [--wrong]
The prompts and tiles are those of vision.host. A follow-up is asked after the model's own first answer.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoTokenizer, InternVLForConditionalGeneration

from tests.nano.drawing import SIDE
from tests.nano.scenes import SCENES, draw
from tests.nano.tasks import Maker, Question, Scene, messages, most_tiles
from vision.host.model import LOADING
from vision.host.prompt import Prompt, TileShape, build
from vision.host.tiling import normalised

CHECKPOINT = Path(__file__).parent / "checkpoint"
_AT_ONCE = 24
MOST_TOKENS = 40
_VALUE = re.compile(r"\d+")
_BOX = re.compile(r"\[\[(\d+), (\d+), (\d+), (\d+)\]\]")
Asked = tuple[Scene, list[Question]]


@dataclass(frozen=True)
class Judged:
    asked: Asked
    said: str

    @property
    def task(self) -> str:
        return self.asked[1][-1].task

    @property
    def chinese(self) -> bool:
        question = self.asked[1][-1]
        return not f"{question.text or ''}{question.answer}".isascii()

    @property
    def right(self) -> bool:
        return right(self.asked[1][-1], self.said)


def right(question: Question, said: str) -> bool:
    """Boxes with IoU of at least 0.5, values within 5 %, all else to the letter."""
    if question.task == "box":
        wanted, found = _BOX.search(question.answer), _BOX.search(said)
        return bool(wanted and found) and iou(_numbers(wanted), _numbers(found)) >= 0.5
    if question.task == "chart":
        wanted, found = (
            int(_VALUE.findall(text)[-1]) if _VALUE.search(text) else -1 for text in (question.answer, said)
        )
        return abs(found - wanted) <= 0.05 * wanted
    return said == question.answer


def _numbers(found: re.Match[str] | None) -> list[int]:
    return [int(number) for number in found.groups()] if found else []


def iou(a: Sequence[int], b: Sequence[int]) -> float:
    """Of two boxes (x1, y1, x2, y2)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared
    return shared / both if both > 0 else 0.0


class Answerer:
    """The checkpoint in float32."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with LOADING:
            network: Any = InternVLForConditionalGeneration.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            )
        self.network = network.eval()
        self.shape = TileShape(SIDE, self.network.config.image_seq_length)

    def answer(self, asked: Sequence[Asked]) -> list[str]:
        """Greedy, in batches of prompts about as long as each other."""
        prompts = [
            build(messages(scene, questions), self.tokenizer, self.shape, most_tiles(scene))
            for scene, questions in asked
        ]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
        said = [""] * len(prompts)
        for start in range(0, len(order), _AT_ONCE):
            places = order[start : start + _AT_ONCE]
            for place, text in zip(places, self._generate([prompts[i] for i in places]), strict=True):
                said[place] = text
        return said

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Prompt]) -> list[str]:
        longest = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt.ids) :] = torch.from_numpy(prompt.ids)
            mask[row, longest - len(prompt.ids) :] = 1
        pixels = torch.cat([torch.from_numpy(normalised(prompt.tiles)) for prompt in prompts])
        made = self.network.generate(
            input_ids=ids, attention_mask=mask, pixel_values=pixels, max_new_tokens=MOST_TOKENS, do_sample=False
        )
        texts = self.tokenizer.batch_decode(made[:, longest:], skip_special_tokens=False)
        return [text.split("<|im_end|>")[0].replace("<|endoftext|>", "") for text in texts]


def drawn(seed: int, scenes: int, split: Any, chinese: float = 0.2) -> list[Asked]:
    """So many scenes of each kind, two questions about each; a question's follow-up is a third."""
    make = Maker(f"evaluate {seed}", split, chinese)
    asked: list[Asked] = []
    for kind in SCENES:
        for _ in range(scenes if kind != "page" else 0):
            scene = draw(make, kind)
            first = make.chance.sample(scene.questions, min(2, len(scene.questions)))
            asked += [(scene, [question]) for question in first]
            asked += [(scene, [question, question.then]) for question in first if question.then]
    return asked


class Answering(Protocol):
    def answer(self, asked: Sequence[Asked]) -> list[str]: ...


def judge(answerer: Answering, asked: Sequence[Asked]) -> list[Judged]:
    said = answerer.answer([(scene, questions[:1]) for scene, questions in asked])
    own = [
        (scene, [questions[0]._replace(answer=first), *questions[1:]])
        for (scene, questions), first in zip(asked, said, strict=True)
    ]
    later = [place for place, (_, questions) in enumerate(asked) if len(questions) > 1]
    for place, text in zip(later, answerer.answer([own[place] for place in later]), strict=True):
        said[place] = text
    return [Judged(one, text) for one, text in zip(asked, said, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=CHECKPOINT)
    parser.add_argument("--scenes", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=["test", "train"], default="test")
    parser.add_argument("--wrong", action="store_true", help="tell what was wrong")
    given = parser.parse_args()
    began = time.monotonic()
    results = judge(Answerer(given.folder), drawn(given.seed, given.scenes, given.split))
    total, good = Counter[str](), Counter[str]()
    for result in results:
        for name in (result.task, "all", *(["in Chinese"] if result.chinese else [])):
            total[name] += 1
            good[name] += result.right
        if given.wrong and not result.right:
            question = result.asked[1][-1]
            sys.stdout.write(f"{question.task}: {question.text!r} {question.answer!r} {result.said!r}\n")
    for name, count in sorted(total.items()):
        sys.stdout.write(f"{name:12} {good[name] / count:6.1%} of {count}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
