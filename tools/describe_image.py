"""describe_image: what one or several pictures are. The embedded engine measures and reads; it does not describe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.common import OCR_ENGINE, Region, Source, source_facts, used_scale, whole_pixels
from tools.paging import Budget
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.media.picture_facts import PictureFacts
from vision.service import VisionService
from vision.types import Frozen, PageText, TextLine, TextTable

_OVERHEAD_TOKENS = 900
_NO_DESCRIPTION = (
    "A description of what the picture shows needs an InternVL model. Measured here: size, colours, and the text that "
    "stands in it."
)
_BRIEF_CHARACTERS = 500


class DescribeImageParameters(Parameters):
    sources: Annotated[list[Source], Field(min_length=1, max_length=8, description="One to eight pictures")]
    question: Annotated[
        str | None, Field(description="What you want to know; the embedded engine returns what it measured and read")
    ] = None
    region: Region = None
    detail: Annotated[
        Literal["brief", "normal", "full"],
        Field(description="brief: the text alone; normal: lines with boxes; full: tables too"),
    ] = "normal"


class PictureMeasured(Frozen):
    """What was measured and read in one picture, in the order of `sources`."""

    width: int
    height: int
    pages: int
    measured: PictureFacts
    text: str
    lines: tuple[TextLine, ...] = ()
    tables: tuple[TextTable, ...] = ()
    turned: int = Field(default=0, description="degrees clockwise by which it was turned to be read")


class DescribeImageResult(ToolResult):
    pictures: tuple[PictureMeasured, ...]


async def run(service: VisionService, parameters: DescribeImageParameters, call: Call) -> DescribeImageResult:
    budget = Budget(service.settings.max_reply_tokens - _OVERHEAD_TOKENS)
    sources: list[SourceFacts] = []
    pictures: list[PictureMeasured] = []
    cut = False
    scale = 1.0
    for place, source in enumerate(parameters.sources):
        with await service.open(source, call) as media:
            picture = await service.picture(media, call, region=parameters.region, measure=True)
            info = picture.info
            scale = min(scale, info.scale)
            sources.append(source_facts(media, width=info.width, height=info.height, pages=info.pages))
        text = await service.read_text(picture, tables=parameters.detail == "full")
        assert info.facts is not None  # asked for above
        share = Budget(budget.left // (len(parameters.sources) - place))
        lines, tables, whole = _text_within(text, parameters.detail, share)
        budget.left -= share.spent
        cut = cut or not whole
        pictures.append(
            PictureMeasured(
                width=info.width,
                height=info.height,
                pages=info.pages,
                measured=info.facts,
                text=_joined(text, parameters.detail, lines),
                lines=lines,
                tables=tables,
                turned=text.rotation,
            )
        )
        await call.progress(place + 1, len(parameters.sources), f"{media.opened.name} read")
    notices = [_NO_DESCRIPTION]
    if cut:
        notices.append("Not all of the text fits in a reply: use extract_text, which gives it in parts.")
    return DescribeImageResult(
        engine=OCR_ENGINE,
        sources=tuple(sources),
        used=Used(region=parameters.region, downscaled=used_scale(scale)),
        truncated=cut,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        pictures=tuple(pictures),
    )


def _text_within(
    text: PageText, detail: str, budget: Budget
) -> tuple[tuple[TextLine, ...], tuple[TextTable, ...], bool]:
    """The lines and tables that fit, and whether that is all of them."""
    if detail == "brief":
        return (), (), True
    lines: list[TextLine] = []
    for line in text.lines:
        short = whole_pixels(line)
        if not budget.take_all(line.text, short):
            return tuple(lines), (), False
        lines.append(short)
    tables = tuple(table for table in text.tables if budget.take_all(table)) if detail == "full" else ()
    return tuple(lines), tables, detail != "full" or len(tables) == len(text.tables)


def _joined(text: PageText, detail: str, lines: tuple[TextLine, ...]) -> str:
    if detail == "brief":
        whole = "\n".join(line.text for line in text.lines)
        return whole if len(whole) <= _BRIEF_CHARACTERS else whole[:_BRIEF_CHARACTERS] + " …"
    return "\n".join(line.text for line in lines)


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
