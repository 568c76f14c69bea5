"""The generator's answers against transformers' own: cold and cached, alone and batched, whole and in parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vision.host.conftest import (
    SHAPE,
    Asker,
    Plain,
    message,
    noise,
    spec_of,
    user,
)
from vision.chat.types import Delta, Stage

import torch  # isort: skip - after conftest, which skips where it is absent

from vision.host import admission
from vision.host.model import Model
from vision.host.prompt import build
from vision.host.tiling import normalised

Made = Callable[..., Asker]


@pytest.mark.parametrize("text", ["qwen2", "qwen3", "qwen3_moe"])
def test_answers_are_those_of_plain_generate(made: Made, plain: Callable[..., str], text: str) -> None:
    asked = made(text)
    one = user(noise(300, 200), "What is it?")
    two = user("Image-1: ", noise(100, 100, 1), "Image-2: ", noise(224, 112, 2), "Compare them.")
    words = user("Only words here, no picture.")
    turns = (one, message("assistant", "A cat."), user("Its colour?"))
    for messages in ((one,), (two,), (words,), turns):
        assert asked(*messages) == plain(text, *messages), messages


def test_frames_with_one_tile_each_answer_as_plain_generate(asker: Asker, plain: Callable[..., str]) -> None:
    frames = [part for i in range(5) for part in (f"Frame{i + 1}: ", noise(320, 180, i))]
    question = user(*frames, "Which way does it move?")
    assert asker(question, max_tiles=1) == plain("qwen3", question, max_tiles=1)


def test_a_different_picture_gives_a_different_answer(asker: Asker) -> None:
    """Else the comparisons above would prove nothing about pictures."""
    answers = {asker(user(noise(300, 200, seed), "What is it?")) for seed in range(6)}
    assert len(answers) > 1


def test_a_second_question_on_a_picture_reuses_it_and_answers_the_same(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3")
    picture = noise(300, 200, 5)
    asked(user(picture, "What is it?"))
    second = asked.submit(user(picture, "Which colour is it mostly?"))
    assert second.text == plain("qwen3", user(picture, "Which colour is it mostly?"))
    usage = second.finished.usage
    assert usage.cached_tiles == usage.tiles == 7
    assert usage.cached_tokens >= 7 * 16


def test_a_next_turn_reuses_the_whole_conversation_and_answers_the_same(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3")
    first = user(noise(300, 200, 6), "What is it?")
    said = asked.submit(first)
    turns = (first, message("assistant", said.text), user("And why?"))
    second = asked.submit(*turns)
    assert second.text == plain("qwen3", *turns)
    # A random model's text may not give its own tokens again; the prompt it answered always does.
    assert second.finished.usage.cached_tokens >= said.finished.usage.prompt_tokens


def test_known_tiles_are_not_seen_again_in_another_place(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3")
    picture, other = noise(300, 200, 7), noise(100, 100, 8)
    asked(user(picture, "What is it?"))
    question = user("Image-1: ", other, "Image-2: ", picture, "Compare them.")
    second = asked.submit(question)
    assert second.text == plain("qwen3", question)
    usage = second.finished.usage
    assert usage.cached_tokens < 16 and usage.cached_tiles == 7 and usage.tiles == 8


def test_pictures_that_share_their_first_tiles_answer_as_without_the_cache(
    made: Made, plain: Callable[..., str]
) -> None:
    """The known beginning ends at a tile, in the middle of a picture."""
    import numpy as np
    from PIL import Image

    from tests.vision.host.conftest import encoded

    asked = made("qwen3")
    pixels = np.random.default_rng(9).integers(0, 255, (112, 336, 3), dtype=np.uint8)
    changed = pixels.copy()
    changed[:, 224:] = np.asarray(Image.new("RGB", (112, 112), "red"))
    asked(user(encoded(pixels), "What is it?"), max_tiles=3)
    second = asked.submit(user(encoded(changed), "What is it?"), max_tiles=3)
    assert second.text == plain("qwen3", user(encoded(changed), "What is it?"), max_tiles=3)
    usage = second.finished.usage
    assert usage.cached_tiles == 2 and 32 <= usage.cached_tokens < 48


def test_without_room_in_the_caches_answers_are_the_same(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3", feature_cache_bytes=0, prefix_cache_bytes=0)
    for seed in (1, 1, 2):
        question = user(noise(300, 200, seed), "What is it?")
        answer = asked.submit(question)
        assert answer.text == plain("qwen3", question)
        assert answer.finished.usage.cached_tokens == answer.finished.usage.cached_tiles == 0


def test_caches_stay_within_their_bounds(made: Made) -> None:
    asked = made("qwen3", feature_cache_bytes=30_000, prefix_cache_bytes=200_000)
    for seed in range(8):
        asked(user(noise(300, 200, seed), "What is it?"))
    answer = asked.submit(user(noise(300, 200, 7), "And now?"))
    assert answer.finished.usage.cached_tiles == 7
    forgotten = asked.submit(user(noise(300, 200, 0), "And now?"))
    assert forgotten.finished.usage.cached_tiles == 0
    state = asked.scheduler.state()
    assert 0 < state.feature_cache_bytes <= 30_000 and 0 < state.prefix_cache_bytes <= 200_000


def test_questions_asked_together_are_batched_and_answered_as_alone(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    step = Model.step

    def counted(self: Model, tokens: torch.Tensor, *others: Any) -> torch.Tensor:
        rows.append(len(tokens))
        return step(self, tokens, *others)

    monkeypatch.setattr(Model, "step", counted)
    asked = made("qwen3")
    questions = [
        user(noise(300, 200, 1), "What is it?"),
        user("Only words here."),
        user("Image-1: ", noise(100, 400, 2), "Image-2: ", noise(64, 64, 3), "Compare."),
        user(noise(448, 112, 4), "What is written there, from left to right?"),
        user(noise(100, 100, 5), "Short?"),
    ]
    lengths = [40, 60, 24, 32, 48]
    answers = [asked.submit(q, max_tokens=n) for q, n in zip(questions, lengths, strict=True)]
    for question, length, answer in zip(questions, lengths, answers, strict=True):
        assert answer.text == plain("qwen3", question, tokens=length)
    assert max(rows) == 4, "batch is the plan's"


def test_a_prompt_run_in_small_parts_is_answered_as_in_one(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_PREFILL_TOKENS", 37)
    question = user(noise(300, 200, 1), "What is it?")
    answer = made("qwen3").submit(question)
    assert answer.text == plain("qwen3", question)
    assert [e.done for e in answer.events if isinstance(e, Stage) and e.name == "prefill"] == [0, 37, 74, 111]


def test_layers_that_forget_answer_one_question_at_a_time_as_plain_generate(
    tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Sliding windows, as in GPT-OSS: nothing can be cut to a prefix or joined to a batch."""
    folder = Path(shutil.copytree(tiny_checkpoint("qwen2"), tmp_path / "sliding"))
    config = json.loads((folder / "config.json").read_text())
    window = {"use_sliding_window": True, "sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"]}
    config["text_config"] |= window | {"max_window_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    asked, alone = Asker(spec_of(folder)), Plain(folder)
    questions = [user(noise(300, 200, seed), "What is it?") for seed in (1, 1, 2)]
    answers = [asked.submit(question, max_tokens=40) for question in questions]
    for question, answer in zip(questions, answers, strict=True):
        prompt = build((question,), alone.tokenizer, SHAPE, 12)
        assert answer.text == alone(prompt, torch.from_numpy(normalised(prompt.tiles)), tokens=40)
        assert answer.finished.usage.cached_tokens == 0
    assert answers[1].finished.usage.cached_tiles == 7
    asked.scheduler.close()


def test_a_request_joins_while_others_are_being_answered(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3")
    first = asked.submit(user(noise(300, 200, 1), "What is it?"), max_tokens=200)
    first.until(Delta)
    second = asked.submit(user("Only words here."), max_tokens=8)
    assert second.text == plain("qwen3", user("Only words here."), tokens=8)
    assert not first.ended.is_set()
    assert first.text == plain("qwen3", user(noise(300, 200, 1), "What is it?"), tokens=200)


def test_text_comes_piece_by_piece(asker: Asker) -> None:
    answer = asker.submit(user(noise(100, 100), "What is it?"))
    assert answer.finished.usage.completion_tokens == 24
    assert sum(isinstance(event, Delta) for event in answer.events) > 5
    names = [event.name for event in answer.events if isinstance(event, Stage)]
    assert names.index("seeing") < names.index("prefill")


def test_the_same_seed_samples_the_same_and_another_differs(asker: Asker) -> None:
    question = user(noise(100, 100), "What is it?")
    sampled = [asker(question, temperature=1.5, top_p=0.95, top_k=50, seed=seed) for seed in (3, 3, 4)]
    assert sampled[0] == sampled[1] != sampled[2]


def test_an_answer_that_only_repeats_itself_is_ended(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made("qwen3")
    step = Model.step

    def stuck(self: Model, *given: Any) -> torch.Tensor:
        logits = step(self, *given)
        logits[:, 300] = logits.max() + 1  # the same token every time
        return logits

    monkeypatch.setattr(Model, "step", stuck)
    finished = asked.submit(user("Say it."), max_tokens=2000).finished
    assert finished.reason == "repetition"
    assert 240 <= finished.usage.completion_tokens < 300
