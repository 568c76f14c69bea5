"""locate_objects: where something stands in a picture. The embedded engine finds text."""

from __future__ import annotations

from contextlib import aclosing
from difflib import SequenceMatcher
from typing import Annotated, Literal

from pydantic import Field

from tools.common import OCR_ENGINE, Pages, Password, Region, Source, source_facts, used_scale
from tools.result import Evidence, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.reading import read_pages
from vision.service import VisionService
from vision.types import Box, Frozen, TextLine

# Alike enough to be the same words with a letter or two misread, found by trying pairs of UI labels.
_ALIKE = 0.82
_MOST_FOUND = 100


class LocateObjectsParameters(Parameters):
    source: Source
    target: Annotated[
        str, Field(min_length=1, max_length=500, description="The text to find, such as a button's label")
    ]
    kind: Annotated[Literal["box", "point"], Field(description="box, or its centre as a point to click")] = "box"
    region: Region = None
    pages: Pages = None
    password: Password = None


class LocatedObject(Frozen):
    """`confidence`: the recogniser's, lowered when the text is only alike. `line`: the whole line it stands in."""

    label: str
    box: Box | None = None
    point: tuple[float, float] | None = None
    confidence: float
    line: str
    page: int


class LocateObjectsResult(ToolResult):
    objects: tuple[LocatedObject, ...]


async def run(service: VisionService, parameters: LocateObjectsParameters, call: Call) -> LocateObjectsResult:
    found: list[LocatedObject] = []
    numbers: list[int] = []
    complete = True
    scale = 1.0
    with await service.open(parameters.source, call) as media:
        facts = source_facts(media)
        pages = read_pages(
            service, media, call, output="text", pages=parameters.pages, region=parameters.region,
            password=parameters.password,
        )  # fmt: skip
        async with aclosing(pages):
            async for read in pages:
                facts = source_facts(media, width=read.page.width, height=read.page.height, pages=read.page_count)
                numbers.append(read.page.number)
                scale = min(scale, read.scale)
                found += [
                    _located(*match, parameters.kind)
                    for match in matches(parameters.target, read.page.text_content.lines)
                ]
                complete = read.place + 1 == read.total
                if len(found) >= _MOST_FOUND or (not complete and call.left_s <= 0):
                    break
    found.sort(key=lambda o: -o.confidence)
    notices = ["Found by reading text; finding things that are not text needs an InternVL model."]
    if not complete:
        notices.append(f"Pages up to {numbers[-1]} were searched; give pages for the others.")
    return LocateObjectsResult(
        engine=OCR_ENGINE,
        sources=(facts,),
        used=Used(pages=tuple(numbers), region=parameters.region, downscaled=used_scale(scale)),
        evidence=tuple(Evidence(text=o.line, box=o.box, page=o.page) for o in found[:_MOST_FOUND]),
        truncated=not complete,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        objects=tuple(found[:_MOST_FOUND]),
    )


def matches(target: str, lines: tuple[TextLine, ...]) -> list[tuple[str, Box, float, TextLine]]:
    """(text found, its box, confidence, line) for each place where `target` stands, exactly or nearly.

    A part of a line gets its share of the line's box by its place among the characters; letters differ in width, so
    such a box is right to about a letter.
    """
    wanted = _folded(target)
    exact = [match for line in lines for match in _exact(wanted, line)]
    if exact or len(wanted) < 4:  # short words are alike too easily
        return exact
    near = []
    for line in lines:
        ratio = SequenceMatcher(None, wanted, _folded(line.text), autojunk=False).ratio()
        if ratio >= _ALIKE:
            near.append((line.text, line.box, round(line.confidence * ratio, 3), line))
    return near


def _exact(wanted: str, line: TextLine) -> list[tuple[str, Box, float, TextLine]]:
    text = _folded(line.text)
    found = []
    at = text.find(wanted)
    while at >= 0 and wanted:
        end = at + len(wanted)
        label = line.text[at:end] if len(text) == len(line.text) else line.text
        found.append((label, _share(line.box, at / len(text), end / len(text)), round(line.confidence, 3), line))
        at = text.find(wanted, end)
    return found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _share(box: Box, start: float, end: float) -> Box:
    """The part of a line's box between two shares of its length, along its longer side."""
    x1, y1, x2, y2 = box
    if (y2 - y1) > 1.5 * (x2 - x1):
        return (x1, round(y1 + start * (y2 - y1)), x2, round(y1 + end * (y2 - y1)))
    return (round(x1 + start * (x2 - x1)), y1, round(x1 + end * (x2 - x1)), y2)


def _located(label: str, box: Box, confidence: float, line: TextLine, kind: str) -> LocatedObject:
    x1, y1, x2, y2 = (float(round(v)) for v in box)
    place = {"box": (x1, y1, x2, y2)} if kind == "box" else {"point": ((x1 + x2) / 2, (y1 + y2) / 2)}
    return LocatedObject.model_validate(
        {"label": label, "confidence": confidence, "line": line.text, "page": line.page, **place}
    )


TOOL = Tool(
    name="locate_objects",
    title="Find where something stands",
    description=(
        "Gives the boxes (or the points to click) of a text in a screenshot, picture or document: a button, a label, "
        "a field, a word, in pixels of the original. Exact matches first; nearly equal text when there is none. "
        "Without a model it finds text, not things."
    ),
    parameters=LocateObjectsParameters,
    result=LocateObjectsResult,
    run=run,
)
