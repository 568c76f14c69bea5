"""One page of Markdown: what was run, how it answered, and whether that is what was published."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.accept_weights.questions import Question
from scripts.accept_weights.trial import Outcome, Trial
from vision.variants.catalogue import Benchmark, Score
from vision.variants.plan import Plan

# Of the fixed questions a working model of 1B answers most; a wrong preprocessing or prompt loses far more than this.
ENOUGH = 0.7
# Points that a benchmark may stay below the published score: numerics, image decoders, the split.
TOLERATED = 3.0
_SHOWN = 12


@dataclass(frozen=True)
class Run:
    """`versions` by name; `published` of the catalogue, empty for a checkpoint it does not know."""

    plan: Plan
    checkpoint: str
    versions: Mapping[str, str]
    published: Mapping[Benchmark, Score]
    questions: Sequence[Question]
    fixed: Sequence[Outcome]
    trials: Sequence[Trial]

    @property
    def fixed_share(self) -> float:
        return sum(outcome.score for outcome in self.fixed) / len(self.fixed)

    @property
    def accepted(self) -> bool:
        return self.fixed_share >= ENOUGH and not any(below(trial, self.published) for trial in self.trials)


def below(trial: Trial, published: Mapping[Benchmark, Score]) -> bool:
    """Whether a score is lower than the published one by more than is tolerated and than chance explains."""
    known = published.get(trial.dataset.benchmark)
    if known is None:
        return False
    return trial.score + max(TOLERATED, trial.margin) < known.percent(trial.dataset.benchmark)


def page(run: Run) -> str:
    verdict = "ACCEPTED" if run.accepted else "NOT ACCEPTED"
    parts = [f"# {run.plan.variant}: {verdict}", _setup(run), _fixed(run), _benchmarks(run), _speed(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _setup(run: Run) -> str:
    plan = run.plan
    where = plan.device if not plan.devices else f"{plan.device} {', '.join(map(str, plan.devices))}"
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return (
        f"{run.checkpoint}  \n{plan.dtype}, quantisation {plan.quantisation}, on {where}; "
        f"at most {plan.max_tiles} tiles, context {plan.context}, batch {plan.batch}  \n{versions}"
    )


def _fixed(run: Run) -> str:
    asked = Counter(question.kind for question in run.questions)
    right: Counter[str] = Counter()
    for question, outcome in zip(run.questions, run.fixed, strict=True):
        right[question.kind] += int(outcome.score)
    passed = round(sum(outcome.score for outcome in run.fixed))
    lines = [
        f"## Fixed questions: {passed} of {len(run.fixed)} ({run.fixed_share:.0%}; {ENOUGH:.0%} are wanted)",
        "",
        "| " + " | ".join(asked) + " |",
        "|" + "---|" * len(asked),
        "| " + " | ".join(f"{right[kind]} of {count}" for kind, count in asked.items()) + " |",
    ]
    wrong = [outcome for outcome in run.fixed if outcome.score < 1]
    if wrong:
        lines += ["", "Wrong:", ""]
        lines += [f"- {o.asked} Wanted {o.wanted}, got {_got(o)}" for o in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        lines.append(f"- and {len(wrong) - _SHOWN} more")
    return "\n".join(lines)


def _got(outcome: Outcome) -> str:
    if outcome.error:
        return f"an error: {outcome.error}"
    one_line = " ".join(outcome.answered.split())
    return repr(one_line if len(one_line) <= 80 else one_line[:79] + "…")


def _benchmarks(run: Run) -> str:
    if not run.trials:
        return "## Benchmarks\n\nNone: no files were given (--data)."
    lines = [
        "## Benchmarks",
        "",
        "| benchmark | questions | score | published | difference | |",
        "|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for trial in run.trials:
        lines.append(_row(trial, run.published))
        notes.append(f"{trial.dataset.name}: {trial.dataset.note}.")
        if run.plan.max_tiles < trial.dataset.tiles:
            notes.append(
                f"{trial.dataset.name} was published with up to {trial.dataset.tiles} tiles; "
                f"this plan allows {run.plan.max_tiles}."
            )
        if failed := sum(bool(outcome.error) for outcome in trial.outcomes):
            notes.append(f"{trial.dataset.name}: {failed} questions ended in an error and count as wrong.")
    return "\n".join([*lines, "", *notes])


def _row(trial: Trial, published: Mapping[Benchmark, Score]) -> str:
    known = published.get(trial.dataset.benchmark)
    name, count = trial.dataset.name, len(trial.outcomes)
    scale = 10 if trial.dataset.benchmark == "ocrbench" else 1
    margin = f" ± {trial.margin * scale:.1f}" if trial.margin else ""
    score = f"{trial.score * scale:.1f}{margin}"
    if known is None:
        return f"| {name} | {count} of {trial.dataset.full} | {score} | unknown | | |"
    difference = trial.score * scale - known.value
    verdict = "below" if below(trial, published) else "agrees"
    return (
        f"| {name} | {count} of {trial.dataset.full} | {score} | {known.value:g} ({known.source}) "
        f"| {difference:+.1f} | {verdict} |"
    )


def _speed(run: Run) -> str:
    outcomes = [*run.fixed, *(outcome for trial in run.trials for outcome in trial.outcomes)]
    said = [outcome.said for outcome in outcomes if outcome.said]
    firsts = [each.usage.first_token_s for each in said if each.usage.first_token_s is not None]
    if not said or not firsts:
        return ""
    tiles = statistics.median(each.usage.tiles for each in said)
    return (
        f"{len(said)} answers; median: {tiles:g} tiles, first token after {statistics.median(firsts):.2f} s, "
        f"answer after {statistics.median(each.seconds for each in said):.2f} s (several asked at once)."
    )
