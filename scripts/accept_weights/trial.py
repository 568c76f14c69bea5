"""Puts the questions to a model, several at a time so that the host batches them, and keeps every answer."""

from __future__ import annotations

import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from scripts.accept_weights.datasets import Dataset, Entry, total
from scripts.accept_weights.model import Model, Said
from scripts.accept_weights.questions import SHORT, Question
from vision.errors import VisionError


@dataclass(frozen=True)
class Outcome:
    """One question's answer; `score` 0 to 1. `error`: what came instead of an answer."""

    asked: str
    wanted: str
    answered: str
    score: float
    said: Said | None = None
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """A benchmark's outcomes, in the order of its entries."""

    dataset: Dataset
    entries: tuple[Entry, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def score(self) -> float:
        """In percent."""
        return total(self.entries, [outcome.score for outcome in self.outcomes])

    @property
    def margin(self) -> float:
        """Half of the 95 % interval that so few questions leave, in percent; 0 for the whole benchmark."""
        count = len(self.outcomes)
        if count >= self.dataset.full:
            return 0.0
        spread = statistics.pstdev([outcome.score for outcome in self.outcomes])
        return 100 * 1.96 * max(spread, 0.1) / math.sqrt(count)


Told = Callable[[int, int], None]


async def put_fixed(
    model: Model, questions: Sequence[Question], folder: Path, at_once: int, told: Told
) -> list[Outcome]:
    """The fixed questions; their pictures are drawn into `folder`."""
    drawn: dict[Callable[[], bytes], Path] = {}
    for draw in (draw for question in questions for draw in question.pictures):
        if draw not in drawn:
            drawn[draw] = folder / f"{len(drawn) + 1}.png"
            drawn[draw].write_bytes(draw())

    async def put(question: Question) -> Outcome:
        pictures = [drawn[draw] for draw in question.pictures]
        asked = f"Where is {question.target}?" if question.target else question.text.splitlines()[0]
        try:
            if question.target:
                said = await model.locate(pictures[0], question.target, tiles=question.tiles)
            else:
                said = await model.ask(pictures, question.text, tiles=question.tiles)
        except VisionError as e:
            return Outcome(asked, question.wanted, "", 0.0, error=e.message)
        answered = said.raw if question.target else said.text
        return Outcome(asked, question.wanted, answered, float(question.check(answered)), said)

    return await _all([lambda question=question: put(question) for question in questions], at_once, told)


async def put_dataset(
    model: Model, dataset: Dataset, entries: Sequence[Entry], folder: Path, at_once: int, told: Told
) -> Trial:
    async def put(entry: Entry) -> Outcome:
        wanted = " | ".join(entry.answers)
        try:
            said = await model.ask([folder / entry.image], entry.question + SHORT, tiles=dataset.tiles)
        except VisionError as e:
            return Outcome(entry.question, wanted, "", 0.0, error=e.message)
        return Outcome(entry.question, wanted, said.text, dataset.score(entry, said.text), said)

    outcomes = await _all([lambda entry=entry: put(entry) for entry in entries], at_once, told)
    return Trial(dataset, tuple(entries), tuple(outcomes))


async def _all(works: Sequence[Callable[[], Awaitable[Outcome]]], at_once: int, told: Told) -> list[Outcome]:
    found: dict[int, Outcome] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(number: int, work: Callable[[], Awaitable[Outcome]]) -> None:
        async with limiter:
            found[number] = await work()
            told(len(found), len(works))

    async with anyio.create_task_group() as tasks:
        for number, work in enumerate(works):
            tasks.start_soon(one, number, work)
    return [found[number] for number in range(len(works))]
