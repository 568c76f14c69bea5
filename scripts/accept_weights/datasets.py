"""Public benchmarks, from files that a user puts into one folder:

    chartqa.jsonl    {"image": "png/1.png", "question": "…", "answers": ["14"], "split": "human"}   human or augmented
    docvqa.jsonl     {"image": "documents/x.png", "question": "…", "answers": ["…", "…"]}
    ocrbench.jsonl   {"image": "…", "question": "…", "answers": ["…"], "type": "Key Information Extraction"}

A line for each question; paths of pictures are relative to the folder. The prompt and the tiles are those of
InternVL's evaluations (VLMEvalKit, `vlmeval/vlm/internvl`: ChartQA 12 tiles, DocVQA 18, OCRBench 24).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from scripts.accept_weights.scorers import anls, mean, ocrbench_correct, relaxed_correct
from vision.errors import InvalidArgument
from vision.variants.catalogue import Benchmark

FORMULAS = "Handwritten Mathematical Expression Recognition"


class Entry(BaseModel):
    """A question of a benchmark; fields that the scores do not need are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    image: str
    question: str
    answers: tuple[str, ...] = Field(min_length=1, description="OCRBench's own file has a bare string for some")
    split: str = ""
    type: str = ""

    @field_validator("answers", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class Dataset:
    """`score(entry, answer)` from 0 to 1. `full`: questions of the whole benchmark, of which the score is published.

    `note`: how the local score may differ from the published one for reasons that are not the model's.
    """

    name: str
    file: str
    benchmark: Benchmark
    tiles: int
    full: int
    score: Callable[[Entry, str], float]
    note: str


DATASETS = (
    Dataset(
        "ChartQA",
        "chartqa.jsonl",
        "chartqa",
        12,
        2500,
        lambda entry, answer: float(any(relaxed_correct(answer, truth) for truth in entry.answers)),
        "relaxed accuracy, mean of the human and the augmented split where both are marked",
    ),
    Dataset(
        "DocVQA",
        "docvqa.jsonl",
        "docvqa",
        18,
        5188,
        lambda entry, answer: anls(answer, entry.answers),
        "ANLS; the truth of the test split is not public, so the validation split stands for it",
    ),
    Dataset(
        "OCRBench",
        "ocrbench.jsonl",
        "ocrbench",
        24,
        1000,
        lambda entry, answer: float(ocrbench_correct(answer, entry.answers, formula=entry.type == FORMULAS)),
        "points of 1000",
    ),
)


def load(dataset: Dataset, folder: Path, limit: int | None) -> list[Entry]:
    """The entries, of a shorter run every so many-th; none where the file is not there.

    Raises InvalidArgument, naming the line, for what is no entry or has no picture.
    """
    path = folder / dataset.file
    if not path.is_file():
        return []
    entries: list[Entry] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = Entry.model_validate(json.loads(line))
        except (ValueError, ValidationError) as e:
            raise InvalidArgument(
                f"{path}, line {number} is no entry: {str(e).splitlines()[0]}",
                'A line is {"image": "…", "question": "…", "answers": ["…"]}.',
            ) from e
        if not (folder / entry.image).is_file():
            raise InvalidArgument(
                f"{path}, line {number}: there is no picture {folder / entry.image}",
                f"Give paths relative to {folder}.",
            )
        entries.append(entry)
    return entries[:: max(1, len(entries) // limit)][:limit] if limit else entries


def total(entries: Sequence[Entry], scores: Sequence[float]) -> float:
    """The score in percent: the mean over the splits, where entries name one, of the mean within each."""
    splits: dict[str, list[float]] = defaultdict(list)
    for entry, score in zip(entries, scores, strict=True):
        splits[entry.split].append(score)
    return 100 * mean([mean(scores) for scores in splits.values()])
