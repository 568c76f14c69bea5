"""What the nano model is trained on is what the host shows to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.nano.batches import TOKENS_A_TILE, asked_of, encoded
from tests.nano.drawing import SIDE
from tests.nano.tasks import SCENES, Maker, messages, most_tiles
from tests.nano.train import new_network
from vision.host.prompt import TileShape, build

KINDS = [kind for kind in SCENES if kind != "page"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return new_network()[1]


@pytest.mark.parametrize("chinese", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_training_sees_the_tokens_and_tiles_of_the_host(tokenizer: Any, kind: str, chinese: float) -> None:
    make = Maker(f"wiring {kind}", "train", chinese)
    for _ in range(4):
        scene = make.scene(kind)
        asked = asked_of(scene, make.chance, 3)
        ids, targets, tiles, _ = encoded(scene, asked, tokenizer)
        prompt = build(messages(scene, asked), tokenizer, TileShape(SIDE, TOKENS_A_TILE), most_tiles(scene))
        assert ids[: len(prompt.ids)] == prompt.ids.tolist()
        assert tokenizer.decode(ids[len(prompt.ids) :]) == f"{asked[-1].answer}<|im_end|>"
        assert np.array_equal(tiles, prompt.tiles)
        answers = tokenizer.decode([token for token in targets if token >= 0])
        assert answers == "".join(f"{question.answer}<|im_end|>" for question in asked)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_asked_in_tests_is_drawn_in_training(kind: str) -> None:
    def contents(split: str) -> set[str]:
        make = Maker("split", "train" if split == "train" else "test")
        scenes = [make.scene(kind) for _ in range(40)]
        return {repr([picture.marks for picture in scene.pictures]) for scene in scenes}

    assert not contents("train") & contents("test")
