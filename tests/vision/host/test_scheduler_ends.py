"""What becomes of questions that go away, ask too much, or meet a device that fails: each has one end."""

from __future__ import annotations

import itertools
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
    ask_of,
    noise,
    spec_of,
    user,
)
from vision.chat.host_spec import HostSpec
from vision.chat.types import Delta, Finished, Stage
from vision.errors import LimitExceeded, ModelFailed, OutOfMemory, VisionError

import torch  # isort: skip - after conftest, which skips where it is absent

from vision.host import batch
from vision.host.model import Model
from vision.host.scheduler import Scheduler

Made = Callable[..., Asker]


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


def out_of_memory_in(monkeypatch: pytest.MonkeyPatch, function: str, when: Callable[[int], bool]) -> list[int]:
    """Makes the batch's function fail in such calls, counted from 1; the list holds how many there were."""
    original, calls = getattr(batch, function), [0]

    def full(*given: Any) -> Any:
        calls[0] += 1
        if when(calls[0]):
            raise torch.OutOfMemoryError("out of memory")
        return original(*given)

    monkeypatch.setattr(batch, function, full)
    return calls


def test_out_of_memory_while_a_row_joins_refuses_that_question_only(
    made: Made, plain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made("qwen3")
    first = asked.submit(user("Only words here."), max_tokens=400)
    first.until(Delta)
    # Within the second layer: the first one has the new row already.
    calls = out_of_memory_in(monkeypatch, "_joined", lambda number: number % 3 == 0)
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
    calls = out_of_memory_in(monkeypatch, "_rows", lambda number: number == 3)
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
