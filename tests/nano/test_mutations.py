"""What breaks the way of a picture, a frame or a turn into the prompt makes the trained model's answers wrong.

Each change is made to the host while it works; the same questions are answered rightly without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.nano.conftest import Hosted
from tests.nano.drawing import SIDE
from tests.nano.evaluate import Asked, right
from tests.nano.scenes import draw
from tests.nano.tasks import Maker
from vision.host import prompt as host_prompt
from vision.host.prompt import text_of
from vision.host.tiling import Tiles, cut

Change = Callable[[pytest.MonkeyPatch], None]
_ASKED = 40


def _tiles(changed: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Of each picture."""

    def cut_and_changed(encoded: bytes, most: int, side: int) -> Tiles:
        pixels = np.ascontiguousarray(changed(cut(encoded, most, side).pixels))
        return Tiles(pixels, tuple(hashlib.sha256(tile.data).digest() for tile in pixels))

    return lambda patch: patch.setattr(host_prompt, "cut", cut_and_changed)


def _words(old: str, new: str) -> Change:
    """Of the whole prompt, its structure included."""

    def replaced(messages: Any, tokenizer: Any) -> str:
        text = text_of(messages, tokenizer)
        assert old in text
        return text.replace(old, new)

    return lambda patch: patch.setattr(host_prompt, "text_of", replaced)


def _pictures_reversed(patch: pytest.MonkeyPatch) -> None:
    build = host_prompt.build

    def changed(messages: tuple[Any, ...], *rest: Any) -> Any:
        parts = messages[1].parts
        pictures = iter([part for part in parts if hasattr(part, "data")][::-1])
        parts = tuple(next(pictures) if hasattr(part, "data") else part for part in parts)
        return build((messages[0], messages[1].model_copy(update={"parts": parts}), *messages[2:]), *rest)

    patch.setattr("vision.host.scheduler.build", changed)


class Mutation(NamedTuple):
    """`kind` and `task` say what is asked, about pictures of more than `over` tiles; with the change fewer than `most`
    of the answers may be right: how often a guess is, and a fifth.
    """

    change: Change
    kind: str
    task: str
    most: float
    over: int = 0


MUTATIONS = {
    "tiles in another order": Mutation(_tiles(lambda t: np.concatenate([t[-2::-1], t[-1:]])), "tiles", "tile", 0.6),
    "only the thumbnail": Mutation(_tiles(lambda t: t[-1:]), "tiles", "tile", 0.6),
    # Of outlines through nine tiles some can be told from their pieces; where a thing is in the whole picture cannot.
    "no thumbnail": Mutation(_tiles(lambda t: t[:-1]), "boxes", "box", 0.2, over=1),
    "pictures in another order": Mutation(_pictures_reversed, "images", "images", 0.6),
    "frames in another order": Mutation(_pictures_reversed, "motion", "motion", 0.45),
    "colours in another order": Mutation(_tiles(lambda t: np.roll(t, 1, -1)), "shapes", "colour", 0.4),
    "tiles upside down": Mutation(_tiles(lambda t: t[:, ::-1, ::-1]), "shapes", "place", 0.6),
    "the begin of a turn in letters": Mutation(_words("<|im_start|>", "< |im_start| >"), "shapes", "colour", 0.4),
    "the end of a turn in letters": Mutation(_words("<|im_end|>", "< |im_end| >"), "images", "images", 0.6),
    "no begin of the answer": Mutation(_words("<|im_start|>assistant\n", ""), "shapes", "describe", 0.2),
}


@pytest.fixture(scope="module")
def share(hosted: Hosted) -> Callable[[Mutation], float]:
    """Of right answers to what a mutation is about."""

    def asked(mutation: Mutation) -> float:
        questions = _questions(mutation)
        said = hosted.answer(questions)
        return sum(right(q[-1], text) for (_, q), text in zip(questions, said, strict=True)) / len(said)

    return asked


def _questions(mutation: Mutation) -> Sequence[Asked]:
    make = Maker(f"mutations {mutation.kind}", "test", chinese=0.0)
    found: list[Asked] = []
    while len(found) < _ASKED:
        scene = draw(make, mutation.kind)
        fitting = [question for question in scene.questions if question.task == mutation.task]
        if fitting and scene.pictures[0].pixels[..., 0].size > mutation.over * SIDE**2:
            found.append((scene, [make.chance.choice(fitting)]))
    return found


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_way_makes_answers_wrong(
    share: Callable[[Mutation], float], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mutation = MUTATIONS[name]
    whole = share(mutation)
    mutation.change(monkeypatch)
    broken = share(mutation)
    assert broken < mutation.most < whole, (broken, whole)
