"""Accepts a model's weights on this machine, through the server's own engine.

Usage: ./scripts/accept-weights VARIANT [--data DIR] [--out FILE] [--limit N] [settings of the server]

VARIANT: a name of the catalogue whose weights are here (`internvl-mcp pull`), or a checkpoint's folder. First the fixed
questions on pictures made here; then, of the benchmarks whose files lie in DIR (`scripts/accept_weights/datasets.py`
says how), the scores beside the published ones. Ends with 0 when the weights are accepted, 1 when they are not or
cannot be used, 2 for a wrong call.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from mcp_server import settings as server_settings
from scripts.accept_weights import datasets
from scripts.accept_weights.datasets import DATASETS, Dataset, Entry, load
from scripts.accept_weights.model import REPLY_WITHIN_S, ServedModel
from scripts.accept_weights.questions import QUESTIONS
from scripts.accept_weights.report import Run, page
from scripts.accept_weights.trial import Outcome, put_dataset, put_fixed
from vision.config import Settings
from vision.errors import ConfigError, InvalidArgument, UnknownVariant, VisionError
from vision.service import VisionService
from vision.variants.catalogue import Benchmark, Score, variant_named

_LIBRARIES = ("internvl-mcp", "torch", "transformers", "accelerate", "bitsandbytes", "pillow")
_TOLD_EVERY_S = 10.0
_LONGEST_ANSWER = 256  # a word or a phrase is asked for; the longest formulas of OCRBench have some 150 tokens


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        settings = server_settings.load(options)
        if options.data and not options.data.is_dir():
            raise InvalidArgument(f"there is no folder {options.data}", "Give the folder of the benchmarks' files.")
        return anyio.run(_accept, options, settings)
    except VisionError as e:
        sys.stderr.write(f"accept-weights: {e.message}\n{e.hint}\n")
        return 2 if isinstance(e, ConfigError | UnknownVariant | InvalidArgument) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="accept-weights",
        description="Accepts a model's weights on this machine.",
        epilog=datasets.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(config=None)
    parser.add_argument("accepted", metavar="VARIANT", help="such as InternVL3.5-8B, or a checkpoint's folder")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with chartqa.jsonl, docvqa.jsonl, ocrbench.jsonl"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the report; every answer goes to FILE.jsonl beside it"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only so many questions of each benchmark")
    server_settings.add_flags(parser)
    return parser


async def _accept(options: argparse.Namespace, settings: Settings) -> int:
    with tempfile.TemporaryDirectory(prefix="accept-weights-") as drawn:
        roots = (Path(drawn), *([options.data.absolute()] if options.data else []))
        longest = settings.max_answer_tokens if "max_answer_tokens" in settings.model_fields_set else _LONGEST_ANSWER
        settings = settings.model_copy(
            update={
                "max_answer_tokens": longest,
                "engine": "internvl",
                "variant": options.accepted,
                "roots": (*settings.roots, *roots),
                "reply_within_s": REPLY_WITHIN_S,
            }
        )
        found = [
            (dataset, load(dataset, options.data, options.limit)) if options.data else (dataset, [])
            for dataset in DATASETS
        ]
        with VisionService(settings, Path(drawn)) as service:
            run = await _run(service, Path(drawn), [(d, e) for d, e in found if e], options)
    report = page(run)
    sys.stdout.write(f"\n{report}")
    if options.out:
        options.out.write_text(report, encoding="utf-8")
        _keep_answers(run, options.out.with_name(f"{options.out.name}.jsonl"))
    return 0 if run.accepted else 1


async def _run(
    service: VisionService, drawn: Path, found: Sequence[tuple[Dataset, list[Entry]]], options: argparse.Namespace
) -> Run:
    model = await ServedModel.of(service)
    plan = model.plan
    choice = await service.engine.choice()
    sys.stdout.write(f"{plan.variant} from {choice.folder}\n")
    at_once = max(2, plan.batch)
    fixed = await put_fixed(model, QUESTIONS, drawn, at_once, _Told("fixed questions"))
    trials = [
        await put_dataset(model, dataset, entries, options.data.absolute(), at_once, _Told(dataset.name))
        for dataset, entries in found
    ]
    return Run(
        plan=plan,
        checkpoint=f"{plan.repository} at {plan.revision or 'no known commit'}",
        versions=_versions(),
        published=_published(plan.variant),
        questions=QUESTIONS,
        fixed=fixed,
        trials=trials,
    )


def _published(variant: str) -> Mapping[Benchmark, Score]:
    try:
        return variant_named(variant).scores
    except UnknownVariant:
        return {}


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _keep_answers(run: Run, path: Path) -> None:
    groups = [("fixed", run.fixed), *((trial.dataset.name, trial.outcomes) for trial in run.trials)]
    with path.open("w", encoding="utf-8") as out:
        for name, outcomes in groups:
            for outcome in outcomes:
                out.write(json.dumps(_kept(name, outcome), ensure_ascii=False) + "\n")


def _kept(name: str, outcome: Outcome) -> dict[str, object]:
    return {
        "of": name,
        "asked": outcome.asked,
        "wanted": outcome.wanted,
        "answered": outcome.answered,
        "score": outcome.score,
        "error": outcome.error,
        "seconds": round(outcome.said.seconds, 3) if outcome.said else None,
    }


class _Told:
    """A line now and then."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._last >= _TOLD_EVERY_S:
            self._last = now
            sys.stdout.write(f"{self._what}: {done} of {total}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
