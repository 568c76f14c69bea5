"""describe_image: what one or several pictures are. The model describes and answers; what is measured and read comes
with it, and is all there is without one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tools.asking import Spoken, answer_room, ask, silent
from tools.common import Region, Source, clipped, source_facts, used_scale, whole_pixels
from tools.evidence import support
from tools.paging import Budget, estimate_tokens, split_text, tokens_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.chat.types import ImagePart
from vision.engine.choice import Choice
from vision.errors import VisionError
from vision.media.picture_facts import PictureFacts
from vision.prompts.describe import TILES, describe
from vision.service import VisionService
from vision.types import Frozen, PageText, TextLine, TextTable
from vision.workers.jobs import PictureItem

_OVERHEAD_TOKENS = 700
_NO_DESCRIPTION = (
    "A description of what the picture shows needs an InternVL model. Measured here: size, colours, and the text that "
    "stands in it."
)
_CUT = (
    "Not all that was read and measured fits in the reply: use extract_text, which gives the text in parts, or look at "
    "fewer pictures at a time."
)
_BRIEF_CHARACTERS = 500
_SOURCE_CHARACTERS = 100
_MOST_NOTICES = 4
_FEW_COLORS = 2
# With a model, no picture's text is read any more when less than this share of the work's time is left for it.
_MODEL_SHARE = 0.6
_UNREAD = "The text on {count} of the pictures was not read, to leave the model time: extract_text reads it."


class DescribeImageParameters(Parameters):
    sources: Annotated[list[Source], Field(min_length=1, max_length=8, description="One to eight pictures")]
    question: Annotated[
        str | None,
        Field(description="What you want to know, in your language; without it the picture is described"),
    ] = None
    region: Region = None
    detail: Annotated[
        Literal["brief", "normal", "full"],
        Field(
            description="How closely the model looks, and how much text comes: brief: the text alone; normal: lines "
            "with boxes; full: tables too"
        ),
    ] = "normal"


class PictureMeasured(Frozen):
    """What was measured and read in one picture. `measured.cells` comes with detail full."""

    width: int
    height: int
    pages: int
    measured: PictureFacts
    text: str
    lines: tuple[TextLine, ...] = ()
    tables: tuple[TextTable, ...] = ()
    turned: int = Field(default=0, description="degrees clockwise by which it was turned to be read")


class PictureFailed(Frozen):
    """Why one of several pictures could not be looked at."""

    source: str
    code: str
    message: str
    hint: str


class DescribeImageResult(ToolResult):
    """`pictures` in the order of the sources asked for; `sources` holds those that could be looked at."""

    pictures: tuple[PictureMeasured | PictureFailed, ...]


class _Reply:
    """Collects pictures; each may take its share of what is left of the reply."""

    def __init__(self, parameters: DescribeImageParameters, tokens: int, choice: Choice) -> None:
        self.parameters = parameters
        self.choice = choice
        self.budget = Budget(tokens - _OVERHEAD_TOKENS - answer_room(choice, tokens))
        self.sources: list[SourceFacts] = []
        self.pictures: list[PictureMeasured | PictureFailed] = []
        self.first_error: VisionError | None = None
        self.notices: list[str] = []
        self.shown: list[ImagePart] = []
        self.lines: list[TextLine] = []
        self.unread = 0
        self.cut = False
        self.scale = 1.0

    def add(self, facts: SourceFacts, info: PictureItem, text: PageText) -> None:
        assert info.facts is not None  # asked for below
        self.lines += text.lines
        detail = self.parameters.detail
        self.scale = min(self.scale, info.scale)
        self.sources.append(facts)
        if info.pages > 1 and len(self.notices) < _MOST_NOTICES:
            self.notices.append(_only_first(facts, info.pages))
        picture = PictureMeasured(
            width=info.width,
            height=info.height,
            pages=info.pages,
            measured=info.facts if detail == "full" else info.facts.model_copy(update={"cells": ()}),
            text="",
            turned=text.rotation,
        )
        share = Budget(self.budget.left // (len(self.parameters.sources) - len(self.pictures)))
        share.spend(tokens_of(facts))
        if not share.take_all(picture):
            self.cut = True
            colors = info.facts.dominant_colors[:_FEW_COLORS]
            fewer = info.facts.model_copy(update={"cells": (), "dominant_colors": colors})
            picture = picture.model_copy(update={"measured": fewer})
            share.spend(tokens_of(picture))
        within, whole = _text_within(text, detail, share)
        self.cut = self.cut or not whole
        self.budget.spend(share.spent)
        self.pictures.append(picture.model_copy(update=within))

    def fail(self, source: str, error: VisionError) -> None:
        self.first_error = self.first_error or error
        failed = PictureFailed(
            source=clipped(source, _SOURCE_CHARACTERS), code=error.code, message=error.message, hint=error.hint
        )
        self.budget.spend(tokens_of(failed))
        self.pictures.append(failed)


async def run(service: VisionService, parameters: DescribeImageParameters, call: Call) -> DescribeImageResult:
    choice = await service.engine.choice()
    reply = _Reply(parameters, service.settings.max_reply_tokens, choice)
    total = len(parameters.sources)
    for place, source in enumerate(parameters.sources):
        if reply.sources and call.left_s <= 0:
            break
        try:
            await _look(service, source, reply, call)
        except VisionError as error:
            reply.fail(source, error)
        await call.progress(place + 1, total, f"picture {place + 1} of {total}")
    if reply.first_error is not None and not reply.sources:
        raise reply.first_error
    return _result(reply, await _ask(service, reply, call), call)


async def _look(service: VisionService, source: str, reply: _Reply, call: Call) -> None:
    modelled = reply.choice.model is not None
    with await service.open(source, call) as media:
        picture = await service.picture(media, call, region=reply.parameters.region, measure=True)
        info = picture.info
        facts = source_facts(media, width=info.width, height=info.height, pages=info.pages)
        shown = await service.shown(picture, call) if modelled else None
    if modelled and reply.sources and call.left_s < _MODEL_SHARE * call.within_s:
        reply.unread += 1
        reply.add(facts, info, PageText())
    else:
        reply.add(facts, info, await service.read_text(picture, tables=reply.parameters.detail == "full"))
    if shown is not None:
        reply.shown.append(shown.part)


async def _ask(service: VisionService, reply: _Reply, call: Call) -> Spoken:
    if reply.choice.model is None:
        return await silent(service, call, reply.choice, reply.sources)
    parameters = reply.parameters
    words = estimate_tokens(parameters.question or "")
    tiles = service.engine.tiles(reply.choice, TILES[parameters.detail], len(reply.shown), words)
    prompt = describe(reply.shown, parameters.question, parameters.detail, tiles)
    return await ask(service, call, prompt, reply.sources)


def _result(reply: _Reply, spoken: Spoken, call: Call) -> DescribeImageResult:
    evidence, unsupported = support(spoken.text or "", reply.lines)
    unseen = [clipped(s, _SOURCE_CHARACTERS) for s in reply.parameters.sources[len(reply.pictures) :]]
    return DescribeImageResult(
        **spoken.shared(),
        sources=tuple(reply.sources),
        used=Used(region=reply.parameters.region, downscaled=used_scale(reply.scale), tiles=spoken.tiles),
        evidence=evidence,
        unsupported=unsupported,
        truncated=reply.cut or bool(unseen) or spoken.truncated,
        notices=_notices(reply, spoken, unseen),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        pictures=tuple(reply.pictures),
    )


def _notices(reply: _Reply, spoken: Spoken, unseen: list[str]) -> tuple[str, ...]:
    notices = [*spoken.notices]
    if reply.choice.model is None:
        notices.append(f"{_NO_DESCRIPTION} Why there is none: {reply.choice.says}")
    notices += reply.notices
    if spoken.text is not None and len(reply.sources) > 1 and len(reply.sources) < len(reply.pictures):
        names = ", ".join(f"Image-{n} {facts.name}" for n, facts in enumerate(reply.sources, 1))
        notices.append(f"The model was shown {names}.")
    if reply.unread:
        notices.append(_UNREAD.format(count=reply.unread))
    if reply.cut:
        notices.append(_CUT)
    if unseen:
        notices.append(f"The time for a call ended; not looked at: {', '.join(unseen)}. Ask for them again.")
    return tuple(notices)


def _only_first(facts: SourceFacts, pages: int) -> str:
    if facts.format == "tiff":
        return f"{facts.name} has {pages} pages, and the first was looked at: extract_text reads the others."
    return f"{facts.name} has {pages} frames, and the first was looked at: analyze_video sees the others."


def _text_within(text: PageText, detail: str, budget: Budget) -> tuple[dict[str, Any], bool]:
    """The text, lines and tables that fit, and whether that is all of them."""
    if detail == "brief":
        whole = "\n".join(line.text for line in text.lines)
        first, rest = split_text(whole[:_BRIEF_CHARACTERS], budget.left)
        budget.spend(tokens_of(first))
        cut = bool(rest) or len(whole) > _BRIEF_CHARACTERS
        return {"text": f"{first} …" if cut else first}, not cut
    lines: list[TextLine] = []
    for line in map(whole_pixels, text.lines):
        if not budget.take_all(line.text, line):  # it comes twice, in `text` and in `lines`
            break
        lines.append(line)
    within = {"text": "\n".join(line.text for line in lines), "lines": tuple(lines)}
    whole_text = len(lines) == len(text.lines)
    if detail != "full" or not whole_text:
        return within, whole_text
    tables = tuple(table for table in text.tables if budget.take_all(table))
    return {**within, "tables": tables}, len(tables) == len(text.tables)


TOOL = Tool(
    name="describe_image",
    title="Look at pictures",
    description=(
        "Looks at one to eight pictures (PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF, SVG) and gives what is known of "
        "each: exact size, dominant colours, brightness, and all text with boxes. `answer` describes them or answers "
        "`question` when an InternVL model is there; it is null, never made up, without one."
    ),
    parameters=DescribeImageParameters,
    result=DescribeImageResult,
    run=run,
)
