"""What the nano model is trained on is what the host shows to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.nano.batches import TOKENS_A_TILE, conversations, encoded
from tests.nano.drawing import SIDE
from tests.nano.scenes import SCENES, draw
from tests.nano.tasks import Maker, messages, most_tiles
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
        scene = draw(make, kind)
        asked = conversations(scene, make.chance, 3)
        row = encoded(scene, asked, tokenizer)
        for number, questions in enumerate(asked, 1):
            own = [place for place, branch in enumerate(row.branches) if branch in (0, number)]
            ids = [row.ids[place] for place in own]
            prompt = build(messages(scene, questions), tokenizer, TileShape(SIDE, TOKENS_A_TILE), most_tiles(scene))
            assert ids[: len(prompt.ids)] == prompt.ids.tolist()
            assert tokenizer.decode(ids[len(prompt.ids) :]) == f"{questions[-1].answer}<|im_end|>"
            assert [row.positions[place] for place in own] == list(range(len(ids)))
            assert np.array_equal(row.tiles, prompt.tiles)
            answers = tokenizer.decode([row.targets[place] for place in own if row.targets[place] >= 0])
            assert answers == "".join(f"{question.answer}<|im_end|>" for question in questions)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_is_asked_in_tests_is_drawn_in_training(kind: str) -> None:
    def contents(split: str) -> set[str]:
        make = Maker("split", "train" if split == "train" else "test")
        scenes = [draw(make, kind) for _ in range(40)]
        return {repr([picture.marks for picture in scene.pictures]) for scene in scenes}

    assert not contents("train") & contents("test")
