"""Scenes as the tensors that training needs, tokenised and tiled as the host does it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset

from tests.nano.drawing import PATCHES
from tests.nano.tasks import Maker, Question, Scene, messages, most_tiles
from vision.host.prompt import IMAGE, text_of
from vision.host.tiling import normalised

TOKENS_A_TILE = (PATCHES // 2) ** 2
# How often each kind of scene is drawn.
TOWER: dict[str, float] = {
    "page": 4,
    "text": 1,
    "lines": 0.5,
    "shapes": 2,
    "large": 2,
    "tiles": 0.7,
    "thumbnail": 1,
    "chart": 1.5,
}
TOWER |= {"count": 0.5, "boxes": 4}
ONE_TILE: dict[str, float] = {"text": 3, "lines": 3, "shapes": 2, "chart": 3, "count": 2, "boxes": 3}
TASKS = ONE_TILE | {"large": 1, "tiles": 1.3, "thumbnail": 0.5, "images": 1.2, "frames": 1.2, "motion": 1}
_IGNORED = -100
# What seeing a tile costs, in tokens of the text model.
_TILE_WORK = 35
# Tiles for the tower alone beside each batch of conversations, so that it does not forget what is seldom asked.
_MORE_TILES = 5
# Batches a step: fewer would be padded more.
_PARTS = 4
# Most questions in a conversation: further ones cost little beside the pictures.
_TURNS = 4
Kinds = Literal["tower", "one-tile", "all"]
_Row = tuple[list[int], list[int], np.ndarray, np.ndarray]


@dataclass
class Batch:
    """`pixels`: (tiles, 3, side, side); `labels`: (tiles, patches, labels); `ids` and `targets`: (samples, tokens), the
    targets those of the answers only. Without `ids`: for the tower alone, as are tiles beyond those of
    the ids. `share`: of a step's answers.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    share: float = 0.5
    ids: torch.Tensor | None = None
    targets: torch.Tensor | None = None


def asked_of(scene: Scene, chance: random.Random, turns: int) -> list[Question]:
    """A conversation of at most so many turns."""
    asked: list[Question] = []
    for question in chance.sample(scene.questions, min(turns, len(scene.questions))):
        if question.text is None and asked:
            continue  # only the first turn can be a tool's own request
        asked.append(question)
        if question.then and chance.random() < 0.5:
            asked.append(question.then)
    return asked


def encoded(scene: Scene, asked: Sequence[Question], tokenizer: Any) -> _Row:
    """(ids, targets, pixels, labels) of a conversation with all its answers."""
    pairs = [picture.tiles(most_tiles(scene)) for picture in scene.pictures]
    text = text_of(messages(scene, asked, encode=False), tokenizer) + f"{asked[-1].answer}<|im_end|>"
    number = tokenizer.convert_tokens_to_ids
    image, start, end = number(IMAGE), number("<|im_start|>"), number("<|im_end|>")
    role = tokenizer("assistant", add_special_tokens=False).input_ids
    short = tokenizer(text, add_special_tokens=False).input_ids
    counts = iter([len(tiles) * TOKENS_A_TILE for tiles, _ in pairs])
    ids: list[int] = []
    targets: list[int] = []
    answering = -1  # tokens of the header that are left before an answer
    for place, token in enumerate(short):
        repeated = next(counts) if token == image else 1
        if token == start and short[place + 1 : place + 1 + len(role)] == role:
            answering = len(role) + 2
        ids += [token] * repeated
        targets += [token if answering == 0 else _IGNORED] * repeated
        if answering > 0:
            answering -= 1
        elif token == end:
            answering = -1
    return ids, targets, np.concatenate([tiles for tiles, _ in pairs]), np.concatenate([label for _, label in pairs])


def tower_batch(make: Maker, tiles: int) -> Batch:
    """Tiles of all kinds, for the tower alone."""
    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    while len(pixels) < tiles:
        scene = make.scene(make.chance.choices(list(TOWER), list(TOWER.values()))[0])
        seen, known = scene.pictures[0].tiles(most_tiles(scene))
        chosen = [make.chance.randrange(len(seen)), -1] if len(seen) > 1 else [0]
        pixels += [seen[i] for i in chosen]
        labels += [known[i] for i in chosen]
    return Batch(_pixels(np.stack(pixels)), torch.from_numpy(np.stack(labels)))


def batches(make: Maker, kinds: dict[str, float], samples: int, tokenizer: Any) -> list[Batch]:
    """Batches of about the same work each, the shortest conversations in the first, the longest in the last."""
    rows: list[_Row] = []
    for kind in make.chance.choices(list(kinds), list(kinds.values()), k=samples):
        scene = make.scene(kind)
        rows.append(encoded(scene, asked_of(scene, make.chance, _TURNS), tokenizer))
    rows.sort(key=lambda row: len(row[0]))
    work = np.cumsum([len(row[0]) + len(row[2]) * _TILE_WORK for row in rows])
    ends = [0, *(int(np.searchsorted(work, work[-1] * part / _PARTS)) for part in range(1, _PARTS)), len(rows)]
    answers = sum(_answers(row) for row in rows)
    return [
        _padded(part, tower_batch(make, _MORE_TILES), sum(_answers(row) for row in part) / answers, tokenizer)
        for part in (rows[start:end] for start, end in pairwise(ends))
        if part
    ]


def _answers(row: _Row) -> int:
    return sum(token != _IGNORED for token in row[1])


def _padded(rows: Sequence[_Row], more: Batch, share: float, tokenizer: Any) -> Batch:
    longest = max(len(row[0]) for row in rows)
    pad = tokenizer.pad_token_id
    ids = torch.tensor([row[0] + [pad] * (longest - len(row[0])) for row in rows])
    targets = torch.tensor([row[1] + [_IGNORED] * (longest - len(row[1])) for row in rows])
    pixels = torch.cat([_pixels(np.concatenate([row[2] for row in rows])), more.pixels])
    labels = torch.cat([torch.from_numpy(np.concatenate([row[3] for row in rows])), more.labels])
    return Batch(pixels, labels, share, ids, targets)


def _pixels(tiles: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(normalised(tiles))


class Stream(IterableDataset[list[Batch]]):
    """Batches without end; each item is what one step learns from."""

    def __init__(self, kinds: Kinds, size: int, seed: str, tokenizer: Any) -> None:
        self.kinds, self.size, self.seed, self.tokenizer = kinds, size, seed, tokenizer

    def __iter__(self) -> Iterator[list[Batch]]:
        torch.set_num_threads(1)
        make = Maker(f"{self.kinds} {self.seed}", "train")
        while True:
            if self.kinds == "tower":
                yield [tower_batch(make, self.size // 2) for _ in range(2)]
            else:
                yield batches(make, ONE_TILE if self.kinds == "one-tile" else TASKS, self.size, self.tokenizer)
