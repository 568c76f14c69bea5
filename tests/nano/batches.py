"""Scenes as the tensors that training needs, tokenised and tiled as the host does it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise, takewhile
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset

from tests.nano.drawing import CHARACTERS, PATCHES
from tests.nano.scenes import draw
from tests.nano.tasks import Maker, Question, Scene, messages, most_tiles
from vision.host.prompt import IMAGE, text_of
from vision.host.tiling import normalised

TOKENS_A_TILE = (PATCHES // 2) ** 2
# Most pictures in a row, and what a tile can be of its picture: all, the thumbnail, one of nine.
HOMES = (4, 11)
# How often each kind of scene is drawn.
TOWER: dict[str, float] = {
    "page": 4,
    "text": 1,
    "lines": 0.5,
    "shapes": 2,
    "large": 2,
    "tiles": 0.7,
    "thumbnail": 1,
    "chart": 3,
}
TOWER |= {"count": 0.5, "boxes": 4}
ONE_TILE: dict[str, float] = {"text": 2.5, "document": 1, "lines": 1, "shapes": 3, "chart": 3, "count": 2, "boxes": 2}
TASKS = ONE_TILE | {"lines": 0.5, "shapes": 1.5, "chart": 4, "count": 5, "boxes": 2}
TASKS |= {"text": 3, "document": 1.5, "large": 1.5, "tiles": 4, "thumbnail": 0.6, "images": 4, "frames": 3, "motion": 2}
_IGNORED = -100
# Of which tools answers spell what stands in the pictures: charts' numbers stand there only sometimes.
_READ_FROM = ("describe", "transcribe", "document")
# What seeing a tile costs, in tokens of the text model.
_TILE_WORK = 35
# Tiles for the tower alone beside each batch of conversations, so that it does not forget what is seldom asked.
_MORE_TILES = 4
# Batches a step: fewer would be padded more.
_PARTS = 4
# Most conversations about the pictures of one scene: further ones cost little beside the pictures.
_BRANCHES = 8
# Of the conversations, in which a second question follows that has nothing to do with the first.
_SECOND = 0.15
# Tokens of an answer that count in full.
_LONG = 14
Kinds = Literal["tower", "one-tile", "all"]


class Row(NamedTuple):
    """Conversations about the same pictures: what they begin with, and behind it each as a branch of its own.

    `branches`: of each token its conversation's number from 1, or 0 of what they share; `weights`: of each token of an
    answer, less in the longest. `tiles`: (tiles, side,
    side, 3) uint8; `labels`: (tiles, patches, labels); `homes`: (tiles, 2), the number of a tile's picture and what of
    it the tile is (HOMES). `spelled`: (n, 2), before which token a character of the pictures is said, and which tokens
    show it.
    """

    ids: list[int]
    targets: list[int]
    weights: list[float]
    branches: list[int]
    positions: list[int]
    tiles: np.ndarray
    labels: np.ndarray
    homes: np.ndarray
    spelled: np.ndarray

    @property
    def work(self) -> int:
        return len(self.ids) + len(self.tiles) * _TILE_WORK


@dataclass
class Batch:
    """`pixels`: (tiles, 3, side, side); `labels`: (tiles, patches, labels); `ids`, `targets`, `weights`, `branches` and
    `positions`: (rows, tokens); `homes`: (tiles, 2); `spelled`: (n, 3), the row before what a row's has. Targets are
    those of the answers. Without `ids`: for the tower alone, as are tiles beyond those of the ids. `share`: of a step's
    answers.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    share: float = 0.5
    ids: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    branches: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    homes: torch.Tensor | None = None
    spelled: torch.Tensor | None = None


def conversations(scene: Scene, chance: random.Random, most: int) -> list[list[Question]]:
    """At most so many conversations about a scene, each beginning with another question."""
    asked: list[list[Question]] = []
    for question in chance.sample(scene.questions, min(most, len(scene.questions))):
        asked.append([question])
        others = [other for other in scene.questions if other.text and other is not question]
        if question.then and chance.random() < 0.5:
            asked[-1].append(question.then)
        elif others and chance.random() < _SECOND:
            asked[-1].append(chance.choice(others))
    return asked


def encoded(scene: Scene, asked: Sequence[Sequence[Question]], tokenizer: Any) -> Row:
    """Conversations about a scene with all their answers."""
    pairs = [picture.tiles(most_tiles(scene)) for picture in scene.pictures]
    counts = [len(tiles) * TOKENS_A_TILE for tiles, _ in pairs]
    said = [_conversation(scene, questions, counts, tokenizer) for questions in asked]
    shared = min(
        len(list(takewhile(lambda tokens: len(set(tokens)) == 1, zip(*(ids for ids, _ in said), strict=False)))),
        *(next(place for place, target in enumerate(targets) if target != _IGNORED) for _, targets in said),
    )
    ids, targets = said[0][0][:shared], said[0][1][:shared]
    branches, positions = [0] * shared, list(range(shared))
    for number, (own, wanted) in enumerate(said, 1):
        ids += own[shared:]
        targets += wanted[shared:]
        branches += [number] * (len(own) - shared)
        positions += range(shared, len(own))
    tiles, labels = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    homes = np.array([(number, home) for number, (own, _) in enumerate(pairs) for home in _homes(len(own))])
    places = np.flatnonzero(np.array(ids) == tokenizer.convert_tokens_to_ids(IMAGE))
    spelled = _spelled(targets, labels, places, tokenizer) if scene.tool in _READ_FROM else np.zeros((0, 2), np.int64)
    return Row(ids, targets, _weights(targets), branches, positions, tiles, labels, homes, spelled)


def _spelled(targets: Sequence[int], labels: np.ndarray, places: np.ndarray, tokenizer: Any) -> np.ndarray:
    """(n, 2): before which token a character of a number or word of the pictures is said, and which tokens show it."""
    classes = _classes(tokenizer)
    found: list[tuple[int, int]] = []
    start = 0
    for known, run in groupby(targets, lambda token: classes.get(token, 0) > 0):
        text = [classes.get(token, 0) for token in run]
        if known and len(text) > 1:
            for i, tokens in enumerate(_written(text, labels)):
                found += [(start + i - 1, int(places[token])) for token in tokens]
        start += len(text)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


@cache
def _classes(tokenizer: Any) -> dict[int, int]:
    """The class of the character that a token is."""
    ids = [
        (tokenizer(said, add_special_tokens=False).input_ids, i)
        for i, c in enumerate(CHARACTERS, 1)
        for said in (c, f" {c}")
    ]
    return {found[0]: i for found, i in ids if len(found) == 1}


def _written(text: Sequence[int], labels: np.ndarray) -> list[set[int]]:
    """For each character the pictures' tokens in which it stands, wherever the whole text stands by itself."""
    found: list[set[int]] = [set() for _ in text]
    characters = labels[..., 0].reshape(-1, PATCHES, PATCHES).clip(min=0)
    around = np.pad(characters, ((0, 0), (0, 0), (1, 1)))
    for cells in (1, 2):
        size = cells * len(text)
        if size > PATCHES:
            continue
        wanted = np.array([0, *np.repeat(text, cells), 0])
        windows = np.lib.stride_tricks.sliding_window_view(around, size + 2, -1)
        for tile, row, left in np.argwhere((windows == wanted).all(-1)):
            first = tile * TOKENS_A_TILE + row // 2 * (PATCHES // 2)
            for i in range(size):
                found[i // cells].add(first + (left + i) // 2)
    return found


def _homes(tiles: int) -> list[int]:
    """0: all of a picture; 1: its thumbnail; 2 and up: its tiles."""
    return [0] if tiles == 1 else [*range(2, tiles + 1), 1]


def _conversation(
    scene: Scene, asked: Sequence[Question], counts: Sequence[int], tokenizer: Any
) -> tuple[list[int], list[int]]:
    """(ids, targets); `counts`: of image tokens of each picture."""
    text = text_of(messages(scene, asked, encode=False), tokenizer) + f"{asked[-1].answer}<|im_end|>"
    number = tokenizer.convert_tokens_to_ids
    image, start, end = number(IMAGE), number("<|im_start|>"), number("<|im_end|>")
    role = tokenizer("assistant", add_special_tokens=False).input_ids
    short = tokenizer(text, add_special_tokens=False).input_ids
    repeats = iter(counts)
    ids: list[int] = []
    targets: list[int] = []
    answering = -1  # tokens of the header that are left before an answer
    for place, token in enumerate(short):
        repeated = next(repeats) if token == image else 1
        if token == start and short[place + 1 : place + 1 + len(role)] == role:
            answering = len(role) + 2
        ids += [token] * repeated
        targets += [token if answering == 0 else _IGNORED] * repeated
        if answering > 0:
            answering -= 1
        elif token == end:
            answering = -1
    return ids, targets


def _weights(targets: Sequence[int]) -> list[float]:
    """A long answer counts as one of so many tokens."""
    weights: list[float] = []
    for answer, tokens in groupby(targets, lambda token: token != _IGNORED):
        count = len(list(tokens))
        weights += [min(1.0, _LONG / count) if answer else 0.0] * count
    return weights


def tower_batch(make: Maker, tiles: int) -> Batch:
    """Tiles of all kinds, for the tower alone."""
    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    while len(pixels) < tiles:
        scene = draw(make, make.chance.choices(list(TOWER), list(TOWER.values()))[0])
        seen, known = scene.pictures[0].tiles(most_tiles(scene))
        chosen = [make.chance.randrange(len(seen)), -1] if len(seen) > 1 else [0]
        pixels += [seen[i] for i in chosen]
        labels += [known[i] for i in chosen]
    return Batch(_pixels(np.stack(pixels)), torch.from_numpy(np.stack(labels)))


def batches(make: Maker, kinds: dict[str, float], scenes: int, tower: bool, tokenizer: Any) -> list[Batch]:
    """Batches of about the same work each, the shortest rows in the first, the longest in the last.

    `tower`: whether it learns too, for which there are more tiles.
    """
    rows: list[Row] = []
    for kind in make.chance.choices(list(kinds), list(kinds.values()), k=scenes):
        scene = draw(make, kind)
        rows.append(encoded(scene, conversations(scene, make.chance, _BRANCHES), tokenizer))
    rows.sort(key=lambda row: len(row.ids))
    work = np.cumsum([row.work for row in rows])
    ends = [0, *(int(np.searchsorted(work, work[-1] * part / _PARTS)) for part in range(1, _PARTS)), len(rows)]
    answers = sum(sum(row.weights) for row in rows)
    return [
        _padded(
            part,
            tower_batch(make, _MORE_TILES) if tower else None,
            sum(sum(row.weights) for row in part) / answers,
            tokenizer,
        )
        for part in (rows[start:end] for start, end in pairwise(ends))
        if part
    ]


def _padded(rows: Sequence[Row], more: Batch | None, share: float, tokenizer: Any) -> Batch:
    longest = max(len(row.ids) for row in rows)

    def padded(name: str, filler: float) -> torch.Tensor:
        values = [getattr(row, name) for row in rows]
        return torch.tensor([value + [filler] * (longest - len(value)) for value in values])

    pixels = _pixels(np.concatenate([row.tiles for row in rows]))
    labels = torch.from_numpy(np.concatenate([row.labels for row in rows]))
    if more is not None:
        pixels, labels = torch.cat([pixels, more.pixels]), torch.cat([labels, more.labels])
    ids, targets = padded("ids", tokenizer.pad_token_id), padded("targets", _IGNORED)
    weights = padded("weights", 0.0)
    homes = torch.from_numpy(np.concatenate([row.homes for row in rows]))
    branches, positions = padded("branches", -1), padded("positions", 0)
    spelled = np.concatenate([np.insert(row.spelled, 0, number, axis=1) for number, row in enumerate(rows)])
    return Batch(pixels, labels, share, ids, targets, weights, branches, positions, homes, torch.from_numpy(spelled))


def _pixels(tiles: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(normalised(tiles))


class Stream(IterableDataset[list[Batch]]):
    """Batches without end; each item is what one step learns from."""

    def __init__(self, kinds: Kinds, size: int, tower: bool, seed: str, tokenizer: Any) -> None:
        self.kinds, self.size, self.tower, self.seed, self.tokenizer = kinds, size, tower, seed, tokenizer

    def __iter__(self) -> Iterator[list[Batch]]:
        torch.set_num_threads(1)
        make = Maker(f"{self.kinds} {self.seed}", "train")
        while True:
            if self.kinds == "tower":
                yield [tower_batch(make, self.size // 2) for _ in range(2)]
            else:
                yield batches(
                    make, ONE_TILE if self.kinds == "one-tile" else TASKS, self.size, self.tower, self.tokenizer
                )
