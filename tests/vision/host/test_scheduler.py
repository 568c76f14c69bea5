"""The generator's answers against transformers' own, and what becomes of those who go away or ask too much."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vision.host.conftest import (
    PATIENCE_S,
    Answer,
    Asker,
    Plain,
    ask_of,
    message,
    noise,
    spec_of,
    user,
)
from vision.chat.host_spec import HostSpec
from vision.chat.types import Delta, Finished, Message, Stage
from vision.errors import LimitExceeded, ModelFailed, OutOfMemory, VisionError

import torch  # isort: skip - after conftest, which skips where it is absent

from vision.host import admission, batch
from vision.host.model import Model
from vision.host.prompt import TileShape, build
from vision.host.scheduler import Scheduler
from vision.host.tiling import normalised

Made = Callable[..., Asker]
SHAPE = TileShape(side=112, tokens=16)


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
def asker(made: Made) -> Asker:
    return made("qwen3")


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


def test_a_prompt_longer_than_the_context_is_refused_and_the_next_is_answered(made: Made) -> None:
    asked = made("qwen3", context=120)
    refused = asked.submit(user(noise(300, 200), "What is it?"))
    assert refused.ended.wait(PATIENCE_S)
    assert isinstance(refused.error, LimitExceeded)
    assert asked.submit(user("Words."), max_tokens=4).finished


@pytest.mark.parametrize("stage", ["see", "prefill"])
def test_cancelling_stops_inside_the_vision_tower_and_the_prefill(
    made: Made, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first layer after the cancellation raises: the work of that part is not done."""
    asked = made("qwen3")
    assert asked(user("Warm up."), max_tokens=1)
    reached, go, outcomes = threading.Event(), threading.Event(), []
    original = getattr(Model, stage)

    def held(self: Model, *given: Any) -> Any:
        reached.set()
        assert go.wait(PATIENCE_S)
        try:
            done = original(self, *given)
        except BaseException as error:
            outcomes.append(type(error).__name__)
            raise
        outcomes.append("done")
        return done

    monkeypatch.setattr(Model, stage, held)
    answer = asked.submit(user(noise(300, 200, 77), "What is it?"))
    assert reached.wait(PATIENCE_S)
    answer.cancel()
    go.set()
    assert asked(user("And now?"), max_tokens=4) is not None
    assert outcomes[0] == "Interrupted"
    assert not any(isinstance(event, Delta) for event in answer.events)


def test_cancelling_one_answer_leaves_the_others_as_they_are(made: Made, plain: Callable[..., str]) -> None:
    asked = made("qwen3")
    gone = asked.submit(user(noise(300, 200, 1), "What is it?"), max_tokens=1500)
    stays = asked.submit(user("Only words here."), max_tokens=60)
    gone.until(Delta)
    gone.cancel()
    assert stays.text == plain("qwen3", user("Only words here."), tokens=60)
    assert asked.submit(user("Words."), max_tokens=4).finished
    assert not gone.ended.is_set()


def test_out_of_memory_is_tried_again_without_caches_and_then_refused(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    asked(user(noise(100, 100), "Something to keep."))
    failures = [2]
    original = Model.prefill

    def short_of_memory(self: Model, *given: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise torch.OutOfMemoryError("out of memory")
        return original(self, *given)

    monkeypatch.setattr(Model, "prefill", short_of_memory)
    question = user(noise(300, 200, 1), "What is it?")
    refused = asked.submit(question)
    assert refused.ended.wait(PATIENCE_S) and isinstance(refused.error, OutOfMemory)
    failures[0] = 1
    answer = asked.submit(question)
    assert answer.text == plain("qwen3", question)
    assert answer.finished.usage.cached_tokens == 0, "the caches were emptied to make room"


def test_out_of_memory_in_a_step_ends_the_latest_answer_only(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3", prefix_cache_bytes=0)
    original = Model.step

    def two_are_too_many(self: Model, tokens: torch.Tensor, *others: Any) -> Any:
        if len(tokens) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return original(self, tokens, *others)

    monkeypatch.setattr(Model, "step", two_are_too_many)
    first = asked.submit(user("Only words here."), max_tokens=200)
    first.until(Delta)
    second = asked.submit(user("More words."), max_tokens=200)
    assert second.ended.wait(PATIENCE_S) and isinstance(second.error, OutOfMemory)
    assert first.text == plain("qwen3", user("Only words here."), tokens=200)


def test_out_of_memory_while_a_row_joins_refuses_that_question_only(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    first = asked.submit(user("Only words here."), max_tokens=400)
    first.until(Delta)
    joined, calls = batch._joined, [0]

    def full(*given: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] % 3 == 0:  # within the second layer: the first one has the new row already
            raise torch.OutOfMemoryError("out of memory")
        return joined(*given)

    monkeypatch.setattr(batch, "_joined", full)
    second = asked.submit(user("More words, and longer than those of the first question by far."), max_tokens=200)
    assert second.ended.wait(PATIENCE_S) and isinstance(second.error, OutOfMemory)
    assert calls[0] == 6, "tried once more after making room"
    assert first.text == plain("qwen3", user("Only words here."), tokens=400)


def test_out_of_memory_while_a_row_leaves_is_tried_again(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    first = asked.submit(user("Only words here."), max_tokens=300)
    first.until(Delta)
    rows, calls = batch._rows, [0]

    def full(*given: Any) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 3:
            raise torch.OutOfMemoryError("out of memory")
        return rows(*given)

    monkeypatch.setattr(batch, "_rows", full)
    assert asked.submit(user("More words."), max_tokens=5).finished
    assert first.text == plain("qwen3", user("Only words here."), tokens=300)
    assert calls[0] == 5


@pytest.mark.parametrize("act", ["prefill", "step"])
def test_memory_is_given_back_once_the_failed_attempt_holds_none(
    made: Made, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error's traceback holds the tensors of every function it came through."""
    asked = made("qwen3")
    failed: list[weakref.ref[torch.Tensor]] = []
    held: list[bool] = []
    original = getattr(Model, act)

    def short_of_memory(self: Model, *given: Any) -> Any:
        if not failed:
            tensor = torch.zeros(1000)
            failed.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("out of memory")
        return original(self, *given)

    monkeypatch.setattr(Model, act, short_of_memory)
    monkeypatch.setattr(Model, "release_unused", lambda self: held.append(failed[0]() is not None))
    assert asked.submit(user("Words."), max_tokens=4).finished
    assert held == [False]


def test_numbers_that_overflow_fail_that_answer_and_say_so(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made("qwen3")
    step, kept = Model.step, []
    monkeypatch.setattr(Model, "step", lambda self, *given: step(self, *given) * float("nan"))
    monkeypatch.setattr(batch.Batch, "kv", lambda self, row: kept.append(row) or ())
    for options in ({}, {"temperature": 0.5}):
        answer = asked.submit(user("Words."), **options)
        assert answer.ended.wait(PATIENCE_S)
        assert isinstance(answer.error, ModelFailed) and "overflowed" in answer.error.message
    assert kept == [], "what such an answer leaves in the cache is one token longer than the answer"
    monkeypatch.undo()
    assert asked.submit(user("Words."), max_tokens=4).finished


@pytest.mark.parametrize(
    "options", [{"seed": 2**70}, {"seed": -(2**70)}, {"temperature": 1e-45}, {"temperature": 1e38}]
)
def test_extreme_sampling_is_answered(asker: Asker, options: dict[str, Any]) -> None:
    assert asker.submit(user("Words."), max_tokens=4, **({"temperature": 1.0} | options)).finished


def test_a_device_that_fails_ends_every_answer_once_and_the_state_says_so(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    original = Model.step
    failing = threading.Event()

    def broken(self: Model, *given: Any) -> Any:
        if failing.is_set():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return original(self, *given)

    monkeypatch.setattr(Model, "step", broken)
    answers = [asked.submit(user("Words."), max_tokens=1500) for _ in range(2)]
    answers[0].until(Delta)
    failing.set()
    late = asked.submit(user("Too late."))
    for answer in (*answers, late):
        assert answer.ended.wait(PATIENCE_S)
        assert isinstance(answer.error, ModelFailed)
    assert asked.scheduler.state().state == "failed"


def test_closing_ends_what_is_in_hand(tiny_checkpoint: Callable[..., Path]) -> None:
    scheduler = Scheduler(spec_of(tiny_checkpoint()))
    answer = Answer(ask_of(user("Words."), max_tokens=5000))
    scheduler.submit(answer)
    scheduler.start()
    answer.until(Delta)
    began = time.monotonic()
    scheduler.close()
    assert time.monotonic() - began < 5
    assert isinstance(answer.error, ModelFailed)
    late = Answer(ask_of(user("Words.")))
    scheduler.submit(late)
    assert isinstance(late.error, ModelFailed)


def test_questions_wait_while_the_model_loads_and_hear_how_far_it_is(made: Made) -> None:
    answer = made("qwen2").submit(user("Words."), max_tokens=4)
    assert answer.finished
    loading = [event for event in answer.events if isinstance(event, Stage) and event.name == "loading"]
    assert loading and loading[-1].done > loading[0].done


def test_once_the_end_is_read_the_state_counts_it_no_more(made: Made) -> None:
    asked, working = made("qwen3"), []

    class Curious(Answer):
        def _take(self, event: Any) -> None:
            if isinstance(event, Finished | VisionError):
                working.append(asked.scheduler.state().working)
            super()._take(event)

    for options in ({"max_tokens": 1}, {"max_tokens": 5}, {"max_tokens": 5, "messages": (user("long " * 9000),)}):
        answer = Curious(ask_of(user("Words.")).model_copy(update=options))
        asked.scheduler.submit(answer)
        assert answer.ended.wait(PATIENCE_S)
    assert working == [0, 0, 0]


def test_when_the_device_fails_the_state_says_so_before_anyone_hears_of_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host ends itself by that state, when the last of the questions is answered."""
    asked, states = made("qwen3"), []

    class Curious(Answer):
        def _take(self, event: Any) -> None:
            if isinstance(event, VisionError):
                states.append(asked.scheduler.state().state)
            super()._take(event)

    def broken(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Model, "step", broken)
    answers = [Curious(ask_of(user("Words."))) for _ in range(3)]
    for answer in answers:
        asked.scheduler.submit(answer)
    for answer in answers:
        assert answer.ended.wait(PATIENCE_S)
    assert states == ["failed"] * 3


@pytest.mark.parametrize("stage", ["see", "prefill"])
def test_closing_within_the_admission_ends_the_question(
    made: Made, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    assert asked(user("Warm up."), max_tokens=1)
    reached, go = threading.Event(), threading.Event()
    original = getattr(Model, stage)

    def held(self: Model, *given: Any) -> Any:
        reached.set()
        assert go.wait(PATIENCE_S)
        return original(self, *given)

    monkeypatch.setattr(Model, stage, held)
    answers = [asked.submit(user(noise(300, 200, seed), "What is it?")) for seed in (78, 79)]
    assert reached.wait(PATIENCE_S)
    closing = threading.Thread(target=asked.scheduler.close)
    closing.start()
    while not asked.scheduler.closed:
        closing.join(0.01)
    go.set()
    closing.join(PATIENCE_S)
    for answer in answers:
        assert answer.ended.is_set() and isinstance(answer.error, ModelFailed)
    assert asked.scheduler.state().waiting == asked.scheduler.state().working == 0


def test_closing_while_the_model_loads_does_not_wait_for_it(tiny_checkpoint: Callable[..., Path]) -> None:
    begun = threading.Event()

    def endless(spec: HostSpec, progress: Callable[[float], None]) -> Model:
        for part in itertools.count(1):
            progress(1 - 1 / part)
            begun.set()
        raise AssertionError

    scheduler = Scheduler(spec_of(tiny_checkpoint()), endless)
    answer = Answer(ask_of(user("Words.")))
    scheduler.submit(answer)
    scheduler.start()
    assert begun.wait(PATIENCE_S)
    scheduler.close()
    assert answer.ended.is_set() and isinstance(answer.error, ModelFailed)


def test_closing_what_never_started_ends_what_was_asked(tiny_checkpoint: Callable[..., Path]) -> None:
    scheduler = Scheduler(spec_of(tiny_checkpoint()))
    answer = Answer(ask_of(user("Words.")))
    scheduler.submit(answer)
    scheduler.close()
    assert isinstance(answer.error, ModelFailed)


def test_who_went_away_while_waiting_is_not_counted(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made("qwen3", batch=1)
    first = asked.submit(user("Words."), max_tokens=2000)
    first.until(Delta)
    gone = [asked.submit(user("Words."), max_tokens=4) for _ in range(3)]
    assert asked.scheduler.state().waiting == 3
    for answer in gone:
        answer.cancel()
    assert asked.scheduler.state().waiting == 0
    first.cancel()
