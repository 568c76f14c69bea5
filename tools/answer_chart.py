"""answer_chart: a chart's data. The model answers and writes the table; what is printed is read either way, and is all
there is without a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from tools.asking import Spoken, ask, silent
from tools.chart_table import ChartTable, parse_table
from tools.common import Region, Source, needs_model, source_facts, used_scale, whole_pixels
from tools.evidence import support
from tools.paging import Budget, tokens_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.chat.types import ImagePart
from vision.engine.choice import Choice
from vision.prompts.charts import TILES, ask_chart, chart_table
from vision.seen import Picture
from vision.service import VisionService
from vision.types import Box, Frozen, PageText, TextLine

_OVERHEAD_TOKENS = 700
_AS_PRINTED = "numbers are as printed; confidence is the recogniser's"
_UNCERTAIN = (
    "the answer and the table are the model's; numbers that are printed are in evidence, those it estimated from bars "
    "or lines are in unsupported"
)
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
        str | None, Field(description="What you want to know, in your language; best one thing at a time")
    ] = None
    output: Annotated[
        Literal["answer", "table"],
        Field(description="answer: labels and values with boxes; table: the chart's data as rows too"),
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


class AnswerChartResult(ToolResult):
    """`table` is the model's where one answers, else the printed numbers with the words in line with them."""

    chart_type: str | None = None
    table: ChartTable | None = None
    readings: tuple[ChartReading, ...]
    uncertainty: str


@dataclass(frozen=True)
class _Printed:
    """What stands on the chart, as far as it fits in the reply."""

    facts: SourceFacts
    scale: float
    lines: tuple[TextLine, ...]
    readings: list[ChartReading]
    full: bool


async def run(service: VisionService, parameters: AnswerChartParameters, call: Call) -> AnswerChartResult:
    choice = await service.engine.choice()
    with await service.open(parameters.source, call) as media:
        picture = await service.picture(media, call, region=parameters.region)
        facts = source_facts(media, width=picture.info.width, height=picture.info.height)
        shown = (await service.shown(picture, call)).part if choice.model is not None else None
    text = await service.read_text(picture, tables=False)
    if shown is None:
        spoken, table = await silent(service, call, choice, [facts]), None
    else:
        spoken, table = await _ask(service, shown, parameters, facts, call)
    taken = spoken.tokens + (0 if table is None else tokens_of(table))
    tokens = service.settings.max_reply_tokens - _OVERHEAD_TOKENS - taken
    printed = _printed(picture, facts, text, tokens, parameters.output == "table" and table is None)
    return _result(printed, parameters, choice, spoken, table, call)


async def _ask(
    service: VisionService, shown: ImagePart, parameters: AnswerChartParameters, facts: SourceFacts, call: Call
) -> tuple[Spoken, ChartTable | None]:
    """The model's answer, and its table where one is wanted: what was seen for the one serves the other."""
    tiles = service.engine.tiles(await service.engine.choice(), TILES)
    question, wants_table = parameters.question, parameters.output == "table"
    if not wants_table:
        return await ask(service, call, ask_chart(shown, question, tiles), [facts]), None
    # The conversation goes on from the answer to the question, where there is one, not from the table too.
    for_table = replace(call, asked=None) if question else call
    share = 0.6 if question else 1.0
    asked = await ask(service, for_table, chart_table(shown, question, tiles), [facts], share=share)
    table = parse_table(asked.text or "")
    if table is not None and tokens_of(table) > service.settings.max_reply_tokens // 3:
        table = None
    if asked.text is not None and table is None:
        asked = asked.noting("What the model wrote is no table that could be read: the printed numbers are below.")
    if question:
        answered = await ask(service, call, ask_chart(shown, question, tiles), [facts])
        return answered.noting(*asked.notices), table
    return asked.without_text() if table is not None else asked, table


def _printed(picture: Picture, facts: SourceFacts, text: PageText, tokens: int, as_table: bool) -> _Printed:
    """`as_table`: the readings become the table's rows, so that only numbers count, and twice."""
    budget = Budget(tokens)
    readings: list[ChartReading] = []
    for line in text.lines:
        read = reading(whole_pixels(line))
        if as_table and read.value is None:
            continue
        if not budget.take_all(read, *((read,) if as_table else ())):
            break
        readings.append(read)
    return _Printed(facts, picture.info.scale, text.lines, readings, budget.full)


def _result(
    printed: _Printed,
    parameters: AnswerChartParameters,
    choice: Choice,
    spoken: Spoken,
    table: ChartTable | None,
    call: Call,
) -> AnswerChartResult:
    said = spoken.text or ("" if table is None else " ".join(str(cell) for row in table.rows for cell in row))
    evidence, unsupported = support(said, printed.lines)
    if table is None and parameters.output == "table":
        table = _table(printed.readings, printed.lines)
    return AnswerChartResult(
        **spoken.shared(),
        sources=(printed.facts,),
        used=Used(region=parameters.region, downscaled=used_scale(printed.scale), tiles=spoken.tiles),
        evidence=evidence,
        unsupported=unsupported,
        truncated=printed.full or spoken.truncated,
        notices=_notices(printed, parameters, choice, spoken),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        table=table,
        readings=tuple(printed.readings),
        uncertainty=_UNCERTAIN if spoken.seen else _AS_PRINTED,
    )


def _notices(printed: _Printed, parameters: AnswerChartParameters, choice: Choice, spoken: Spoken) -> tuple[str, ...]:
    notices = [*spoken.notices]
    if choice.model is None:
        notices += [needs_model(choice)] if parameters.question else []
        notices.append("Only text was read: values that are drawn but not printed are not in it.")
    if printed.full:
        notices.append("Not all of the text fits in a reply: give region to read a part of the chart.")
    return tuple(notices)


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
        "(signs, %, K/M/B, 万/亿). An InternVL model answers `question` and, with output=table, gives the chart's data "
        "as rows. Without a model it gives what is printed, not values that only bars or lines show."
    ),
    parameters=AnswerChartParameters,
    result=AnswerChartResult,
    run=run,
)
