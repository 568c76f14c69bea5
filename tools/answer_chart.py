"""answer_chart: a chart's data. The embedded engine gives the labels and printed values that it read."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tools.common import NEEDS_MODEL, OCR_ENGINE, Region, Source, source_facts, used_scale, whole_pixels
from tools.paging import Budget
from tools.result import ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.service import VisionService
from vision.types import Box, Frozen, TextLine

_OVERHEAD_TOKENS = 700
# Groups of three digits stand apart by commas or by one of the spaces used in print.
_NUMBER = re.compile(
    r"(?P<sign>[-+−–]?)\s*(?P<money>[$€£¥]?)\s*"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"\s*(?P<unit>%|[KkMBbT]\b|[万亿]|(?:[^\W\d]\w{0,11})?)"
)
_GROUPING = str.maketrans("", "", ", \u00a0\u2009\u202f")
_LETTERS = {"K": 1e3, "k": 1e3, "M": 1e6, "B": 1e9, "b": 1e9, "T": 1e12, "万": 1e4, "亿": 1e8}
_WORDS = {"thousand": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}


class AnswerChartParameters(Parameters):
    source: Source
    question: Annotated[
        str | None, Field(description="What you want to know; the embedded engine returns the readings to reason from")
    ] = None
    output: Annotated[
        Literal["answer", "table"],
        Field(description="answer: labels and values with boxes; table: the printed values as rows"),
    ] = "answer"
    region: Region = None


class ChartReading(Frozen):
    """A text on the chart. `value` is the number it states, if it states one, scale (K, million, 万) multiplied in;
    `unit` is its currency or what stands behind it.
    """

    text: str
    value: float | None = None
    unit: str | None = None
    box: Box
    confidence: float


class ChartTable(Frozen):
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


class AnswerChartResult(ToolResult):
    """`chart_type` is null: telling it needs to see the chart, not only its text."""

    chart_type: str | None = None
    table: ChartTable | None = None
    readings: tuple[ChartReading, ...]
    uncertainty: str


async def run(service: VisionService, parameters: AnswerChartParameters, call: Call) -> AnswerChartResult:
    with await service.open(parameters.source, call) as media:
        picture = await service.picture(media, call, region=parameters.region)
        facts = source_facts(media, width=picture.info.width, height=picture.info.height)
    text = await service.read_text(picture, tables=False)
    budget = Budget(service.settings.max_reply_tokens - _OVERHEAD_TOKENS)
    as_table = parameters.output == "table"
    readings: list[ChartReading] = []
    for line in text.lines:
        read = reading(whole_pixels(line))
        if as_table and read.value is None:
            continue
        if not budget.take_all(read, *((read,) if as_table else ())):
            break
        readings.append(read)
    notices = ["Only text was read: values that are drawn but not printed are not in it."]
    if parameters.question:
        notices.insert(0, NEEDS_MODEL)
    if budget.full:
        notices.append("Not all of the text fits in a reply: give region to read a part of the chart.")
    return AnswerChartResult(
        engine=OCR_ENGINE,
        sources=(facts,),
        used=Used(region=parameters.region, downscaled=used_scale(picture.info.scale)),
        truncated=budget.full,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        table=_table(readings, text.lines) if as_table else None,
        readings=tuple(readings),
        uncertainty="numbers are as printed; confidence is the recogniser's",
    )


def reading(line: TextLine) -> ChartReading:
    """A line with the number it states, when all of it is one number with an optional sign, currency and unit."""
    match = _NUMBER.fullmatch(line.text.strip())
    if match is None:
        return ChartReading(text=line.text, box=line.box, confidence=line.confidence)
    value = float(match["digits"].translate(_GROUPING))
    unit = match["unit"]
    factor = _LETTERS.get(unit) or _WORDS.get(unit.lower())
    if factor is not None:
        value, unit = value * factor, ""
    if match["sign"] in ("-", "−", "–"):
        value = -value
    return ChartReading(
        text=line.text, value=value, unit=(match["money"] + unit) or None, box=line.box, confidence=line.confidence
    )


def _table(readings: list[ChartReading], lines: tuple[TextLine, ...]) -> ChartTable:
    """Each printed number with the words straight below, above, left and right of it, which a reader can judge."""
    words = [line for line in lines if reading(line).value is None]
    rows = []
    for read in readings:
        assert read.value is not None
        rows.append((read.value, read.text, _nearest(read.box, words, across=False), _nearest(read.box, words, True)))
    return ChartTable(columns=("value", "printed", "text in its column", "text in its row"), rows=tuple(rows))


def _nearest(box: Box, words: list[TextLine], across: bool) -> str:
    """The word nearest to a number among those in its row (`across`) or its column; empty when there is none."""
    first, last = (1, 3) if across else (0, 2)
    middle = (box[first] + box[last]) / 2
    along = [w for w in words if w.box[first] <= middle <= w.box[last]]

    def distance(line: TextLine) -> float:
        near, far = (0, 2) if across else (1, 3)
        return max(line.box[near] - box[far], box[near] - line.box[far])

    return min(along, key=distance).text if along else ""


TOOL = Tool(
    name="answer_chart",
    title="Read a chart",
    description=(
        "Reads a chart: title, axis and legend labels and every printed value, each with its box, numbers parsed "
        "(signs, %, K/M/B, 万/亿). Without a model it gives what is printed, not values that only bars or lines show, "
        "and no answer of its own; with output=table the printed numbers with the labels in line with them."
    ),
    parameters=AnswerChartParameters,
    result=AnswerChartResult,
    run=run,
)
