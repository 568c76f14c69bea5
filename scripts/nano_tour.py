"""What the demo asks with `--engine nano`: four tools, on pictures and a video made for it, answered by the test model.

The model (tests/nano) is an InternVL of four million parameters that knows these made pictures and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from scripts.tour import Result, Stop
from tests.nano.evaluate import CHECKPOINT, right
from tests.nano.files import write_pictures, write_video
from tests.nano.scenes import draw
from tests.nano.tasks import Maker, Question, Scene

WHAT = (
    "The answers come from the nano model: a test model that knows pictures made by its own generator, nothing else.\n"
    "It shows that pictures, pages, charts and frames reach a model through the whole server."
)
SERVER_ARGUMENTS = ["--engine", "internvl", "--variant", str(CHECKPOINT)]
# Of each tool the kind of scene, the task, and what a person would ask.
_TOOLS = {
    "describe_image": ("large", "place", "What stands where on this picture of several tiles?"),
    "read_document": ("document", "read", "What stands on this page?"),
    "answer_chart": ("chart", "values", "What are the bars' values?"),
    "analyze_video": ("motion", "motion", "Which way does it go?"),
}


def make_files(folder: Path) -> tuple[Stop, ...]:
    """Writes the files into `folder` and gives the calls, each with the answer that is right."""
    make = Maker("demo", "test", chinese=0.0)
    return tuple(_stop(tool, draw(make, kind), task, asks, folder) for tool, (kind, task, asks) in _TOOLS.items())


def _stop(tool: str, scene: Scene, task: str, asks: str, folder: Path) -> Stop:
    question = next(question for question in scene.questions if question.task == task)
    stem = folder / f"nano-{tool}"
    if tool == "analyze_video":
        path, _ = write_video(scene, stem)
        source = {"source": path.name, "max_frames": len(scene.pictures)}
    else:
        names = [path.name for path in write_pictures(scene, stem)]
        source = {"sources": names} if tool == "describe_image" else {"source": names[0]}
    return Stop(asks, tool, {**source, "question": question.text}, _shows, lambda result: _wants(result, question))


def _shows(result: Result) -> list[str]:
    return [f"nano, the test model: {result['answer']}", *result["notices"][:2]]


def _wants(result: Result, question: Question) -> list[str]:
    said = result["answer"] or ""
    return [] if right(question, said) else [f"it said {said!r}, right is {question.answer!r}"]
