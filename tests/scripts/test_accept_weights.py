from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.accept_weights.__main__ import main
from scripts.accept_weights.datasets import DATASETS, FORMULAS, Entry, load, total
from scripts.accept_weights.drawing import SEND_BUTTON
from scripts.accept_weights.model import Said
from scripts.accept_weights.questions import QUESTIONS, Question, box, number, words
from scripts.accept_weights.report import Run, page
from scripts.accept_weights.scorers import anls, numbers_in, ocrbench_correct, overlap, relaxed_correct
from scripts.accept_weights.trial import Outcome, Trial, put_dataset, put_fixed
from vision.chat.types import Usage
from vision.errors import InvalidArgument, OutOfMemory
from vision.variants.catalogue import Benchmark, Score
from vision.variants.plan import Plan

ROOT = Path(__file__).parents[2]
CHARTQA, DOCVQA, OCRBENCH = DATASETS
PLAN = Plan(
    variant="InternVL3.5-1B",
    repository="OpenGVLab/InternVL3_5-1B-HF",
    device="cpu",
    dtype="bfloat16",
    max_tiles=12,
    max_frames=8,
    context=8192,
    batch=4,
    feature_cache_bytes=0,
    prefix_cache_bytes=0,
)


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("14", "14", True),
        ("14.7", "14", True),
        ("14.71", "14", False),
        ("13.3", "14", True),
        ("13.29", "14", False),
        ("-14", "14", False),
        ("56%", "56%", True),
        ("56%", "0.56", True),
        ("56%", "56", False),
        ("58%", "56%", True),
        ("59%", "56%", False),
        ("0", "0", True),
        ("0.0", "0", False),
        ("0.01", "0", False),
        ("Yes", "yes", True),
        (" Yes ", "yes", True),
        ("yes.", "yes", False),
        ("2,000", "2000", False),
        ("nan", "nan", True),
        ("inf", "14", False),
        ("", "14", False),
        ("14 people", "14", False),
    ],
)
def test_relaxed_accuracy_is_chartqas(answer: str, truth: str, right: bool) -> None:
    assert relaxed_correct(answer, truth) is right


@pytest.mark.parametrize(
    ("answer", "truths", "score"),
    [
        ("cat", ["cat"], 1.0),
        ("CAT ", ["cat"], 1.0),
        ("black  cat", ["black cat"], 1.0),
        ("cats", ["cat"], 0.75),
        ("dog", ["cat", "dogs"], 0.75),
        ("ab", ["abcd"], 0.5),
        ("a", ["abc"], 0.0),
        ("", ["cat"], 0.0),
        ("", [""], 1.0),
        ("$ 1,284.50", ["$1,284.50"], 0.9),
    ],
)
def test_anls_is_docvqas(answer: str, truths: list[str], score: float) -> None:
    assert anls(answer, truths) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "truths", "formula", "right"),
    [
        ("The word is Ronaldo.", ["RONALDO"], False, True),
        ("ron aldo", ["ronaldo"], False, False),
        ("two\nlines", ["two lines"], False, True),
        ("x", ["y", "x"], False, True),
        ("x ^ 2 + 1", ["x^2+1"], True, True),
        ("X^2+1", ["x^2+1"], True, False),
        ("", ["x"], True, False),
    ],
)
def test_ocrbench_looks_for_the_truth_in_the_answer(answer: str, truths: list[str], formula: bool, right: bool) -> None:
    assert ocrbench_correct(answer, truths, formula=formula) is right


def test_numbers_are_found_in_words_and_with_commas() -> None:
    assert numbers_in("Three of 1,284,500, then -4.5 and 23.75 EUR") == [3.0, 1284500.0, -4.5, 23.75]
    assert numbers_in("Room v2, A4") == []


@pytest.mark.parametrize(
    ("left", "right", "shared"),
    [((0, 0, 2, 2), (0, 0, 2, 2), 1.0), ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3), ((0, 0, 1, 1), (2, 2, 3, 3), 0.0)],
)
def test_overlap_is_intersection_over_union(left: Any, right: Any, shared: float) -> None:
    assert overlap(left, right) == pytest.approx(shared)


def test_a_number_is_not_passed_by_listing_many() -> None:
    assert number(23.75)("The total is 23.75 EUR.")
    assert number(65, 4)("about 62")
    assert not number(23.75)("9.60, 5.80, 4.35, 23.75")
    assert not number(65, 4)("70")


def test_words_stand_alone_and_refused_ones_spoil_the_answer() -> None:
    assert words("green")("It is Green.")
    assert not words("green")("evergreen")
    assert not words("first", refused=("second",))("the first or the second")
    assert words("李明")("收货人是李明。")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("<ref>the blue Send button</ref><box>[[711, 806, 933, 903]]</box>", True),
        ("the blue Send button[[711, 806, 933, 903]]", True),
        ("[[711, 806, 822, 903], [822, 806, 933, 903]]", False),
        ("[[0, 0, 1000, 1000]]", False),
        ("at the lower right", False),
    ],
)
def test_a_box_must_be_one_and_in_its_place(answer: str, right: bool) -> None:
    assert box(SEND_BUTTON, 900, 620)(answer) is right


@pytest.mark.parametrize("question", [q for q in QUESTIONS if not q.target], ids=lambda q: q.text.splitlines()[0][:40])
def test_every_question_takes_its_own_answer_and_not_another_ones(question: Question) -> None:
    assert question.check(question.wanted.partition(",")[0])
    assert not question.check("I am sorry, I can not help with that picture")
    assert not question.check("")


def test_pictures_show_what_is_asked(tmp_path: Path) -> None:
    """The colours that questions name stand where their boxes are."""
    for question in (q for q in QUESTIONS if q.target):
        path = tmp_path / "picture.png"
        path.write_bytes(question.pictures[0]())
        with Image.open(path) as picture:
            pixels = picture.convert("RGB")
            place = {"the blue Send button": (650, 510), "the green triangle": (140, 600)}[question.target or ""]
            red, green, blue = pixels.getpixel(place)  # type: ignore[misc]
            assert (blue if "blue" in (question.target or "") else green) == max(red, green, blue)


class FakeModel:
    """Answers with `answer(text)`; what is asked is kept."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[tuple[str, int]] = []

    async def ask(self, pictures: Sequence[Path], text: str, *, tiles: int) -> Said:
        assert all(path.is_file() for path in pictures)
        self.asked.append((text, tiles))
        return self._said(text)

    async def locate(self, picture: Path, target: str, *, tiles: int) -> Said:
        return self._said(target)

    def _said(self, text: str) -> Said:
        answer = self._answer(text)
        return Said(answer, answer, Usage(tiles=7, first_token_s=0.5), 1.0)


def told(done: int, count: int) -> None:
    assert 0 < done <= count


def right_answer(text: str) -> str:
    boxes = {
        "the blue Send button": "[[711, 806, 933, 903]]",
        "the green triangle": "[[78, 714, 233, 914]]",
    }
    known = {q.text: q.wanted.partition(",")[0] for q in QUESTIONS}
    return boxes.get(text) or known[text]


@pytest.mark.anyio
async def test_a_model_that_knows_everything_is_right_everywhere(tmp_path: Path) -> None:
    outcomes = await put_fixed(FakeModel(right_answer), QUESTIONS, tmp_path, 4, told)
    assert [o.asked for o in outcomes if o.score < 1] == []


@pytest.mark.anyio
async def test_a_question_that_fails_counts_as_wrong_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(text: str) -> str:
        if "croissants" in text:
            raise OutOfMemory("the GPU is full", "Close other programs.")
        return right_answer(text)

    outcomes = await put_fixed(FakeModel(answer), QUESTIONS, tmp_path, 4, told)
    assert [(o.score, o.error) for o in outcomes if o.error] == [(0.0, "the GPU is full")]
    assert sum(o.score for o in outcomes) == len(QUESTIONS) - 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One picture; two questions of each benchmark, of which the truths are in the questions."""
    folder = tmp_path / "data"
    (folder / "png").mkdir(parents=True)
    Image.new("RGB", (60, 40), "white").save(folder / "png" / "1.png")
    lines = {
        "chartqa.jsonl": [("14", "human"), ("blue", "augmented")],
        "docvqa.jsonl": [("ITC Limited", ""), ("1/8/93", "")],
        "ocrbench.jsonl": [("centre", "Regular Text Recognition"), ("x^2", FORMULAS)],
    }
    for name, truths in lines.items():
        key = "type" if name == "ocrbench.jsonl" else "split"
        entries = [
            {
                "image": "png/1.png",
                "question": f"say {truth}",
                "answers": [truth] if mark else truth,
                key: mark,
                "id": 7,
            }
            for truth, mark in truths
        ]
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return folder


def says_the_truth(text: str) -> str:
    return text.splitlines()[0].removeprefix("say ")


@pytest.mark.anyio
@pytest.mark.parametrize(("dataset", "tiles"), [(CHARTQA, 12), (DOCVQA, 18), (OCRBENCH, 24)], ids=lambda d: str(d)[:20])
async def test_a_benchmark_is_asked_as_it_was_published(data: Path, dataset: Any, tiles: int) -> None:
    model = FakeModel(says_the_truth)
    trial = await put_dataset(model, dataset, load(dataset, data, None), data, 2, told)
    assert trial.score == 100.0
    assert {(text.splitlines()[1], asked) for text, asked in model.asked} == {
        ("Answer the question using a single word or phrase.", tiles)
    }


def test_chartqas_score_is_the_mean_of_its_splits() -> None:
    entries = [Entry(image="", question="", answers=("",), split=s) for s in ("human", "human", "human", "augmented")]
    assert total(entries, [1, 1, 1, 0]) == 50.0
    assert total([e.model_copy(update={"split": ""}) for e in entries], [1, 1, 1, 0]) == 75.0


def test_a_benchmark_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    assert load(CHARTQA, tmp_path, None) == []


def test_a_shorter_run_takes_questions_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    lines = [json.dumps({"image": "1.png", "question": str(n), "answers": ["x"]}) for n in range(100)]
    (tmp_path / "chartqa.jsonl").write_text("\n".join(lines))
    assert [entry.question for entry in load(CHARTQA, tmp_path, 4)] == ["0", "25", "50", "75"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is no entry"),
        ('{"image": "1.png", "question": "?"}', "line 2 is no entry"),
        ('{"image": "1.png", "question": "?", "answers": []}', "line 2 is no entry"),
        ('{"image": "2.png", "question": "?", "answers": ["x"]}', "line 2: there is no picture"),
    ],
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    good = '{"image": "1.png", "question": "?", "answers": ["x"]}'
    (tmp_path / "docvqa.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(InvalidArgument, match=says):
        load(DOCVQA, tmp_path, None)


def trial_of(dataset: Any, right: int, count: int) -> Trial:
    entry = Entry(image="", question="?", answers=("x",))
    outcomes = [Outcome("?", "x", "x", float(number < right)) for number in range(count)]
    return Trial(dataset, (entry,) * count, tuple(outcomes))


def run_of(*trials: Trial, fixed: float = 1.0, published: dict[Benchmark, Score] | None = None) -> Run:
    good = math.ceil(fixed * len(QUESTIONS))
    outcomes = [Outcome(q.text, q.wanted, "?", float(n < good)) for n, q in enumerate(QUESTIONS)]
    known: dict[Benchmark, Score] = {
        "chartqa": Score(value=77.7, source="a paper"),
        "ocrbench": Score(value=795, source="a paper"),
    }
    return Run(
        PLAN, "a checkpoint", {"Python": "3"}, known if published is None else published, QUESTIONS, outcomes, trials
    )


@pytest.mark.parametrize(
    ("right", "count", "accepted"),
    [(1943, 2500, True), (1870, 2500, True), (1860, 2500, False), (70, 100, True), (60, 100, False)],
)
def test_a_score_below_the_published_one_is_not_accepted_beyond_what_chance_explains(
    right: int, count: int, accepted: bool
) -> None:
    run = run_of(trial_of(CHARTQA, right, count))
    assert run.accepted is accepted
    assert ("agrees" if accepted else "below") in page(run)


def test_too_few_fixed_questions_are_not_accepted() -> None:
    assert run_of(fixed=0.7).accepted
    assert not run_of(fixed=0.6).accepted


def test_the_report_is_a_page_that_names_what_it_compares() -> None:
    text = page(run_of(trial_of(CHARTQA, 1943, 2500), trial_of(OCRBENCH, 800, 1000), fixed=0.9))
    assert text.startswith("# InternVL3.5-1B: ACCEPTED\n")
    assert "| ChartQA | 2500 of 2500 | 77.7 | 77.7 (a paper) | +0.0 | agrees |" in text
    assert "| OCRBench | 1000 of 1000 | 800.0 | 795 (a paper) | +5.0 | agrees |" in text
    assert "OCRBench was published with up to 24 tiles; this plan allows 12." in text
    assert len(text.splitlines()) < 60


def test_a_checkpoint_without_published_scores_is_judged_by_the_fixed_questions() -> None:
    run = run_of(trial_of(CHARTQA, 0, 10), published={})
    assert run.accepted
    assert "unknown" in page(run)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["InternVL9-1B"], 2, "InternVL9-1B"),
        (["/no/such/folder"], 1, "there is no folder"),
        (["InternVL3.5-1B", "--data", "/no/such/data"], 2, "there is no folder /no/such/data"),
        (["InternVL3.5-1B", "--memory-fraction", "7"], 2, "memory_fraction"),
        (["InternVL3.5-1B"], 1, "internvl-mcp pull"),
    ],
)
def test_what_cannot_be_accepted_is_one_error(
    arguments: list[str],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(arguments) == code
    assert says in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_tiny_checkpoint_goes_all_the_way_and_is_not_accepted(tmp_path: Path, data: Path) -> None:
    checkpoint, out = tmp_path / "tiny", tmp_path / "report.md"
    maker = ROOT / "scripts" / "tiny_checkpoint.py"
    subprocess.run([sys.executable, maker, checkpoint], check=True, capture_output=True)
    (tmp_path / "run").mkdir(mode=0o700)
    folders = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path)}
    short = ["--max-answer-tokens", "8", "--idle-unload-s", "3"]
    ran = subprocess.run(
        [ROOT / "scripts" / "accept-weights", "tiny", "--data", "data", "--out", "report.md", *short],
        cwd=tmp_path,
        # One thread: those of a model this small would only wait for each other on a busy machine.
        env=os.environ | folders | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 1, ran.stderr
    report = out.read_text(encoding="utf-8")
    assert report.startswith("# tiny: NOT ACCEPTED")
    assert f"of {len(QUESTIONS)} (" in report
    answers = [json.loads(line) for line in (tmp_path / "report.md.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(answers) == len(QUESTIONS) + 6
    assert [each for each in answers if each["error"]] == []
