"""extract_data: the caller's JSON Schema filled from a document or picture, every value with where it stands."""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from anyio import to_thread
from pydantic import Field

from tools.asking import Spoken, silent
from tools.common import MORE, CursorText, Pages, Password, Region, Source, page_facts, used_scale
from tools.cursor import Cursors, past_the_end
from tools.document_model import Shows
from tools.extract_model import extracted, show_best
from tools.extract_reply import Part, ValueEvidence, part_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.engine.choice import Choice
from vision.errors import InvalidArgument
from vision.extraction.filling import Seen, fill
from vision.extraction.found import Filling
from vision.extraction.layout import Page
from vision.media.document_facts import FormField
from vision.media.document_pages import parse_pages
from vision.reading import ReadPage, read_pages
from vision.schema.reading import read_schema
from vision.schema.shape import Node, phrases
from vision.service import VisionService
from vision.whole import Whole, spec, unreadable

# Longer documents are searched for the pages that speak of what is wanted.
_MOST_PAGES, _MOST_FOUND = 40, 20
_MOST_HITS = 200
# Of the work's time: kept for a model while pages are read; and for reading pages without text in a search.
_MODEL_SHARE, _SEARCH_SHARE = 0.6, 0.2
_MOST_QUERY_CHARACTERS = 1_000
_NO_MODEL = (
    "Values were taken from form fields, from beside their labels and from tables; the embedded engine understands no "
    "running text. Why: {why}"
)
# Pages done of those chosen; how many were read at once, of whose items so many are done; the schema.
_CURSORS = Cursors("extract_data", 4, ("region", "pages"))


with warnings.catch_warnings():
    # pydantic has an old method of this name, which nothing here calls.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class ExtractDataParameters(Parameters):
        source: Source
        schema: Annotated[  # pyright: ignore[reportIncompatibleMethodOverride]
            dict[str, Any] | str,
            Field(
                description="JSON Schema (2020-12) of what is wanted: nested objects, arrays, enums, nullable types, "
                "formats, $defs. A property's name, title and description say what to look for, in English or Chinese"
            ),
        ]
        pages: Pages = None
        region: Region = None
        password: Password = None
        cursor: CursorText = None


class ExtractDataResult(ToolResult):
    """`data` has the schema's shape. What was not found is null, with the reason in `errors` under its JSON Pointer;
    `evidence` tells of every value where it stands. What a model told and nothing read supports is in `unsupported`.
    """

    # Narrower than the base's, which is sound: results are frozen.
    evidence: tuple[ValueEvidence, ...] = ()  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Any = Field(description="the values, in the schema's shape")
    errors: dict[str, str] = Field(default={}, description="JSON Pointer into data: why there is no valid value")
    valid: bool = Field(description="whether data is valid under the schema, nulls included")


async def run(service: VisionService, parameters: ExtractDataParameters, call: Call) -> ExtractDataResult:
    parameters, start = _CURSORS.resume(parameters, parameters.cursor)
    call = call.made_with(parameters.model_dump(mode="json", exclude_unset=True))
    node = await to_thread.run_sync(read_schema, parameters.schema)
    place, count, done, mark = start.place
    digest = _digest(parameters.schema)
    if parameters.cursor is not None and mark != digest:
        raise InvalidArgument("this cursor was made with another schema", "Pass the schema of the call before.")
    choice = await service.engine.choice()
    with await service.open(parameters.source, call) as media:
        start.check(media.opened.sha256)
        whole = Whole(service, media, call, parameters.password)
        reading = _Reading(whole, parameters, node)
        await reading.read(place, count or _MOST_PAGES, _MODEL_SHARE * call.within_s if choice.model else 0.0)
        facts = reading.facts
        if facts is None:
            raise past_the_end()
        fields = (await whole.facts()).form_fields if whole.paged else ()
        shows = None
        if choice.model is not None and reading.reads:
            shows = await show_best(
                service, media, call, reading.reads, node, password=parameters.password, region=parameters.region
            )
    read = await to_thread.run_sync(fill, node, _seen(reading.reads, fields, named=parameters.pages is not None))
    spoken, filling = await _with_model(service, call, choice, shows, node, read, reading.reads, facts)
    room = service.settings.max_reply_tokens - spoken.tokens
    part = await to_thread.run_sync(part_of, node, filling, done, room)
    cursor = None
    if part.next_item is not None:
        cursor = _CURSORS.make(facts.sha256, parameters, place, len(reading.numbers), part.next_item, digest)
    elif reading.next is not None:
        cursor = _CURSORS.make(facts.sha256, parameters, reading.next, 0, 0, digest)
    return _result(reading, part, spoken, choice, cursor, call)


class _Reading:
    """The pages that are looked at in one call."""

    def __init__(self, whole: Whole, parameters: ExtractDataParameters, node: Node) -> None:
        self.whole, self.parameters, self._node = whole, parameters, node
        self.reads: list[ReadPage] = []
        self.numbers: list[int] = []
        self.notices: list[str] = []
        self.facts: SourceFacts | None = None
        self.next: int | None = None

    async def read(self, place: int, most: int, keep_s: float) -> None:
        """At most so many pages from `place` of those chosen on, until only `keep_s` seconds are left."""
        call = self.whole.call
        async with aclosing(self._pages(place, await self._chosen())) as pages:
            async for read in pages:
                self.facts = self.facts or page_facts(self.whole.media, read)
                self.numbers.append(read.page.number)
                why = unreadable(read.page)
                if why is None:
                    self.reads.append(read)
                else:
                    self.notices.append(f"Page {read.page.number} cannot be read: {why}.")
                await call.progress(read.place + 1, read.total, f"page {read.page.number} read")
                left = read.place + 1 < read.total
                if left and (len(self.numbers) >= most or call.left_s <= keep_s):
                    self.next = read.place + 1
                    break

    def _pages(self, place: int, chosen: str | None) -> AsyncGenerator[ReadPage]:
        whole, region = self.whole, self.parameters.region
        if whole.paged and region is None:
            return whole.pages(output="markdown", pages=chosen, after=place)
        return read_pages(
            whole.service, whole.media, whole.call, output="markdown", pages=chosen, region=region, after=place,
            password=self.parameters.password,
        )  # fmt: skip

    async def _chosen(self) -> str | None:
        """The pages named, or those of a long document that speak of what is wanted."""
        named = self.parameters.pages
        if named or not self.whole.paged or self.parameters.region is not None:
            return named
        total = (await self.whole.facts()).page_count
        if total <= _MOST_PAGES:
            return None
        words = " ".join(phrase.replace("_", " ") for phrase in phrases(self._node))[:_MOST_QUERY_CHARACTERS]
        searched = await self.whole.search(
            words, is_question=True, most=_MOST_HITS, read_s=_SEARCH_SHARE * self.whole.call.left_s
        )
        best = list(dict.fromkeys(hit.page for hit in searched.found.hits))[:_MOST_FOUND]
        pages = sorted(best) or list(range(1, _MOST_FOUND + 1))
        why = "which speak most of what is wanted" if best else "as none speaks of what is wanted"
        self.notices.append(f"{len(pages)} of {total} pages were looked at, {why}: name others with `pages`.")
        return spec(parse_pages(spec(pages), total))


def _seen(reads: Sequence[ReadPage], fields: Sequence[FormField], *, named: bool) -> Seen:
    """What was read; form fields of all pages where none were `named`, as they are known without reading any."""
    numbers = {read.page.number for read in reads}
    return Seen(
        pages=tuple(Page(read.page.number, read.page.width, read.page.text_content.lines) for read in reads),
        tables=tuple(table for read in reads for table in read.page.text_content.tables),
        fields=tuple(field for field in fields if not named or field.page in numbers),
    )


async def _with_model(
    service: VisionService,
    call: Call,
    choice: Choice,
    shows: Shows | None,
    node: Node,
    read: Filling,
    reads: Sequence[ReadPage],
    facts: SourceFacts,
) -> tuple[Spoken, Filling]:
    """What the model makes of it, where there is one; else what was found without."""
    if shows is None:
        return await silent(service, call, choice, [facts]), read
    told = await extracted(service, call, shows, node, read, reads, facts)
    spoken = told.spoken
    shown = ", ".join(str(one.page.number) for one in shows.reads)
    if spoken.seen and len(shows.reads) < len(reads):
        spoken = spoken.noting(f"The model was shown of these pages: {shown}.")
    return spoken, read if told.filling is None else told.filling


def _digest(schema: dict[str, Any] | str) -> int:
    """Of a schema that was read before, and so is small."""
    text = schema if isinstance(schema, str) else json.dumps(schema, sort_keys=True)
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _result(
    reading: _Reading, part: Part, spoken: Spoken, choice: Choice, cursor: str | None, call: Call
) -> ExtractDataResult:
    assert reading.facts is not None
    notices = [*spoken.notices, *reading.notices]
    if choice.model is None:
        notices.append(_NO_MODEL.format(why=choice.says))
    if cursor is not None:
        notices.append(f"{MORE} The next data are of what comes then: join the arrays.")
    return ExtractDataResult(
        **spoken.shared(),
        sources=(reading.facts,),
        used=Used(
            pages=tuple(reading.numbers),
            tiles=spoken.tiles,
            region=reading.parameters.region,
            downscaled=used_scale(min((read.scale for read in reading.reads), default=1.0)),
        ),
        evidence=part.evidence,
        unsupported=part.unsupported,
        truncated=cursor is not None or spoken.truncated,
        next_cursor=cursor,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        data=part.data,
        errors=part.errors,
        valid=part.valid,
    )


TOOL = Tool(
    name="extract_data",
    title="Extract data under a JSON Schema",
    description=(
        "Fills your JSON Schema from a PDF, scan, form, office file, screenshot or photo: nested objects, arrays from "
        "tables, enums, dates and numbers typed. Every value comes with its page, box and confidence; what is not "
        "there is null with the reason in `errors`, never made up. Form fields, labels and tables are read without a "
        "model; an InternVL model fills the rest, held to the schema."
    ),
    parameters=ExtractDataParameters,
    result=ExtractDataResult,
    run=run,
)
