"""locate_objects: where something stands in a picture. Text is found by reading; what is no text, by a model."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Annotated, Literal

from anyio import to_thread
from pydantic import Field

from tools.asking import Spoken, ask, silent
from tools.common import (
    Pages,
    Password,
    Region,
    Source,
    clipped,
    page_facts,
    source_facts,
    used_scale,
)
from tools.paging import Budget
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.engine.choice import Choice
from vision.prompts.grounding import TILES, Grounding, locate, read_grounding
from vision.reading import ReadPage, read_pages
from vision.seen import Media, Shown
from vision.service import VisionService
from vision.types import Box, Frozen, PageText, TextLine

# Alike enough to be the same words with a letter or two misread, found by trying pairs of UI labels.
_ALIKE = 0.82
# Shorter texts are alike too easily; longer ones are no labels, and comparing them takes long.
_SHORTEST_NEAR, _LONGEST_NEAR = 4, 200
_MOST_FOUND = 100
_LINE_CHARACTERS = 200
_OVERHEAD_TOKENS = 700


class LocateObjectsParameters(Parameters):
    source: Source
    target: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description='The text to find, such as a button\'s label; with a model also a thing, such as "the red car"',
        ),
    ]
    kind: Annotated[Literal["box", "point"], Field(description="box, or its centre as a point to click")] = "box"
    region: Region = None
    pages: Pages = None
    password: Password = None


class LocatedObject(Frozen):
    """`confidence`: the recogniser's, lowered when the text is only alike; null for what the model found, which says
    nothing of it. `line`: the line it stands in, about 200 characters of it; "" for what the model found.
    """

    label: str
    box: Box | None = None
    point: tuple[float, float] | None = None
    confidence: float | None
    line: str
    page: int


class LocateObjectsResult(ToolResult):
    objects: tuple[LocatedObject, ...]


@dataclass(frozen=True)
class Match:
    """A place where the target stands: its text, its box, and where in the line it begins (characters)."""

    label: str
    box: Box
    confidence: float | None
    line: TextLine
    at: int = 0


class _Reply:
    """Collects matches while they fit."""

    def __init__(self, kind: str, tokens: int) -> None:
        self.kind = kind
        self.budget = Budget(tokens - _OVERHEAD_TOKENS)
        self.found: list[LocatedObject] = []
        self.pages: list[int] = []
        self.facts: SourceFacts | None = None
        self.complete = True
        self.full = False
        self.scale = 1.0

    def add(self, read: ReadPage, matches: list[Match]) -> None:
        self.pages.append(read.page.number)
        self.scale = min(self.scale, read.scale)
        self.complete = read.place + 1 == read.total
        self.budget.take_all(str(read.page.number))
        for match in matches:
            located = _located(match, self.kind)
            self.full = len(self.found) >= _MOST_FOUND or not self.budget.take_all(located)
            if self.full:
                return
            self.found.append(located)


async def run(service: VisionService, parameters: LocateObjectsParameters, call: Call) -> LocateObjectsResult:
    choice = await service.engine.choice()
    reply = _Reply(parameters.kind, service.settings.max_reply_tokens)
    with await service.open(parameters.source, call) as media:
        pages = read_pages(
            service, media, call, output="text", pages=parameters.pages, region=parameters.region,
            password=parameters.password,
        )  # fmt: skip
        async with aclosing(pages):
            async for read in pages:
                reply.facts = reply.facts or page_facts(media, read)
                # In a thread: comparing a page of long lines takes a while, and other calls go on meanwhile.
                found = await to_thread.run_sync(matches, parameters.target, read.page.text_content)
                reply.add(read, found)
                if reply.full or (not reply.complete and (call.left_s <= 0 or reply.budget.full)):
                    break
        facts = reply.facts or source_facts(media)
        shown = None
        if choice.model is not None and not reply.found and reply.pages:
            shown = await _shown(service, media, reply.pages[0], parameters, call)
    if shown is None:
        spoken = await silent(service, call, choice, [facts])
        return _result(reply, facts, parameters, choice, spoken, call)
    prompt = locate(shown.part, parameters.target, service.engine.tiles(choice, TILES))
    spoken = await ask(service, call, prompt, [facts])
    return _result(reply, facts, parameters, choice, _grounded(reply, spoken, shown, parameters), call)


async def _shown(
    service: VisionService, media: Media, page: int, parameters: LocateObjectsParameters, call: Call
) -> Shown:
    if media.kind.kind == "image":
        picture = await service.picture(media, call, page=page, region=parameters.region)
        return await service.shown(picture, call)
    ((_, shown),) = [p async for p in service.page_pictures(media, call, (page,), password=parameters.password)]
    return shown


def _grounded(reply: _Reply, spoken: Spoken, shown: Shown, parameters: LocateObjectsParameters) -> Spoken:
    """Adds what the model found to the reply. Its words are the answer only where they name no place."""
    if spoken.said is None or spoken.text is None:
        return spoken
    found = read_grounding(spoken.said.raw, shown.region)
    for label, box in [(each.label, each.box) for each in found.boxes]:
        located = _located(Match(label or parameters.target, box, None, _nowhere(reply.pages[0])), parameters.kind)
        reply.full = len(reply.found) >= _MOST_FOUND or not reply.budget.take_all(located)
        if reply.full:
            break
        reply.found.append(located)
    return (spoken.without_text() if found.boxes else spoken).noting(*_grounding_notices(reply, found))


def _nowhere(page: int) -> TextLine:
    """The line of what stands in none."""
    return TextLine(text="", box=(0, 0, 0, 0), confidence=0, page=page)


def _grounding_notices(reply: _Reply, found: Grounding) -> list[str]:
    notices = []
    if found.boxes:
        notices.append(
            "The text is not there as such; the model found these places, to about a hundredth of the picture."
        )
    else:
        notices.append("The text is not there as such, and the model named no place.")
    if found.dropped:
        notices.append(
            f"{found.dropped} places of the model's lie outside the picture or are empty; they are left out."
        )
    if len(reply.pages) > 1:
        notices.append(f"The model was shown page {reply.pages[0]} only: give pages for another.")
    return notices


def _result(
    reply: _Reply, facts: SourceFacts, parameters: LocateObjectsParameters, choice: Choice, spoken: Spoken, call: Call
) -> LocateObjectsResult:
    notices = [*spoken.notices]
    if choice.model is None:
        notices.append(f"Found by reading text; finding things that are not text needs a model. {choice.says}")
    elif not spoken.seen:
        notices.append("Found by reading text.")
    if reply.full:
        notices.append(
            f"There are more than the {len(reply.found)} places given: use region, pages or a longer target."
        )
    if not reply.complete:
        notices.append(f"Pages up to {reply.pages[-1]} were searched; give pages for the others.")
    return LocateObjectsResult(
        **spoken.shared(),
        sources=(facts,),
        used=Used(
            pages=tuple(reply.pages),
            region=parameters.region,
            downscaled=used_scale(reply.scale),
            tiles=spoken.tiles,
        ),
        truncated=reply.full or not reply.complete,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        objects=tuple(sorted(reply.found, key=lambda o: -(o.confidence or 0))),
    )


def matches(target: str, text: PageText) -> list[Match]:
    """Each place where `target` stands, exactly or, where it stands nowhere exactly, nearly."""
    wanted = _folded(target)
    exact = [match for line in text.lines for match in _exact(wanted, line, text.rotation)]
    if exact or not _SHORTEST_NEAR <= len(wanted) <= _LONGEST_NEAR:
        return exact
    alike = SequenceMatcher(None, "", wanted, autojunk=False)
    near = []
    for line in text.lines:
        alike.set_seq1(_folded(line.text))
        # The quick bounds first: they rule out nearly all lines, very long ones among them.
        if all(ratio() >= _ALIKE for ratio in (alike.real_quick_ratio, alike.quick_ratio, alike.ratio)):
            near.append(Match(line.text, line.box, round(line.confidence * alike.ratio(), 3), line))
    return near


def _exact(wanted: str, line: TextLine, rotation: int) -> list[Match]:
    text = _folded(line.text)
    found = []
    at = text.find(wanted)
    while at >= 0 and wanted:
        end = at + len(wanted)
        label = line.text[at:end] if len(text) == len(line.text) else clipped(line.text, _LINE_CHARACTERS, at)
        box = _share(line, at / len(text), end / len(text), rotation)
        found.append(Match(label, box, round(line.confidence, 3), line, at))
        at = text.find(wanted, end)
    return found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _share(line: TextLine, start: float, end: float, rotation: int) -> Box:
    """The part of a line's box between two shares of its length; letters differ in width, so it is right to about one.

    `rotation`: degrees clockwise by which the page is turned to stand upright, which tells the way its lines run. A
    line that runs another way than its page (upwards or downwards, nothing tells which) gives its whole box.
    """
    x1, y1, x2, y2 = line.box
    across, along = (x2 - x1, y2 - y1) if rotation in (90, 270) else (y2 - y1, x2 - x1)
    if across > 1.5 * along and len(line.text) > 1:
        return line.box
    if rotation in (90, 180):  # towards the top or the left of the page as it is
        start, end = 1 - end, 1 - start
    if rotation in (90, 270):
        return (x1, round(y1 + start * along), x2, round(y1 + end * along))
    return (round(x1 + start * along), y1, round(x1 + end * along), y2)


def _located(match: Match, kind: str) -> LocatedObject:
    x1, y1, x2, y2 = (float(round(v)) for v in match.box)
    place = {"box": (x1, y1, x2, y2)} if kind == "box" else {"point": ((x1 + x2) / 2, (y1 + y2) / 2)}
    return LocatedObject.model_validate(
        {
            "label": clipped(match.label, _LINE_CHARACTERS),
            "confidence": match.confidence,
            "line": clipped(match.line.text, _LINE_CHARACTERS, match.at, len(match.label)),
            "page": match.line.page,
            **place,
        }
    )


TOOL = Tool(
    name="locate_objects",
    title="Find where something stands",
    description=(
        "Gives the boxes (or the points to click) of a text in a screenshot, picture or document: a button, a label, "
        "a field, a word, in pixels of the original. Exact matches first; nearly equal text when there is none. "
        "An InternVL model also finds things by what they are; without one, text only."
    ),
    parameters=LocateObjectsParameters,
    result=LocateObjectsResult,
    run=run,
)
