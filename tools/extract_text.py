"""extract_text: every line of text that stands in a picture or document, with its place."""

from __future__ import annotations

from contextlib import aclosing

from pydantic import Field

from tools.common import OCR_ENGINE, CursorText, Pages, Password, Region, Source, source_facts, used_scale, whole_pixels
from tools.paging import Budget, Cursor, start_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.reading import ReadPage, read_pages
from vision.service import VisionService
from vision.types import TextLine, TextTable

# What a reply spends on its other parts: engine, source, notices.
_OVERHEAD_TOKENS = 600


class ExtractTextParameters(Parameters):
    source: Source
    region: Region = None
    pages: Pages = None
    password: Password = None
    cursor: CursorText = None


class ExtractTextResult(ToolResult):
    """`text` holds the lines in reading order; boxes are in the source as it is, turned or not."""

    text: str
    lines: tuple[TextLine, ...]
    tables: tuple[TextTable, ...] = ()
    page_rotations: dict[int, int] = Field(default={}, description="page: degrees clockwise it was turned to be read")


class _Reply:
    """Collects lines until the reply is full."""

    def __init__(self, start: Cursor, tokens: int) -> None:
        self.start = start
        self.budget = Budget(tokens - _OVERHEAD_TOKENS)
        self.lines: list[TextLine] = []
        self.tables: list[TextTable] = []
        self.rotations: dict[int, int] = {}
        self.pages: list[int] = []
        self.next: Cursor | None = None
        self.scale = 1.0

    def add(self, read: ReadPage) -> None:
        """Adds one page; sets `next` when the reply is full."""
        skip = self.start.offset if read.place == self.start.item else 0
        self.pages.append(read.page.number)
        self.scale = min(self.scale, read.scale)
        if read.page.text_content.rotation:
            self.rotations[read.page.number] = read.page.text_content.rotation
        for index, line in enumerate(read.page.text_content.lines[skip:], skip):
            short = whole_pixels(line)
            if not self.budget.take_all(line.text, short):  # it comes twice, in `text` and in `lines`
                self.next = Cursor(self.start.sha256, read.place, index)
                return
            self.lines.append(short)
        if not skip:
            self.tables.extend(table for table in read.page.text_content.tables if self.budget.take_all(table))


async def run(service: VisionService, parameters: ExtractTextParameters, call: Call) -> ExtractTextResult:
    with await service.open(parameters.source, call) as media:
        facts = source_facts(media)
        start = start_of(parameters.cursor, media.opened.sha256)
        reply = _Reply(start, service.settings.max_reply_tokens)
        pages = read_pages(
            service, media, call, output="markdown", pages=parameters.pages, region=parameters.region,
            after=start.item, password=parameters.password,
        )  # fmt: skip
        async with aclosing(pages):
            async for read in pages:
                facts = source_facts(media, width=read.page.width, height=read.page.height, pages=read.page_count)
                reply.add(read)
                await call.progress(read.place + 1, read.total, f"page {read.page.number} read")
                if reply.next is None and read.place + 1 < read.total and call.left_s <= 0:
                    reply.next = Cursor(start.sha256, read.place + 1)
                if reply.next is not None:
                    break
    return _result(reply, facts, parameters, call)


def _result(reply: _Reply, facts: SourceFacts, parameters: ExtractTextParameters, call: Call) -> ExtractTextResult:
    notices = () if reply.lines or reply.next else ("No text was found.",)
    return ExtractTextResult(
        engine=OCR_ENGINE,
        sources=(facts,),
        used=Used(pages=tuple(reply.pages), region=parameters.region, downscaled=used_scale(reply.scale)),
        truncated=reply.next is not None,
        next_cursor=reply.next.encode() if reply.next else None,
        notices=notices,
        timings_ms={"total": round(call.elapsed_s * 1000)},
        text="\n".join(line.text for line in reply.lines),
        lines=tuple(reply.lines),
        tables=tuple(reply.tables),
        page_rotations=reply.rotations,
    )


TOOL = Tool(
    name="extract_text",
    title="Read the text in a picture or document",
    description=(
        "Reads every line of text in an image, screenshot, scan or document (English, Chinese and other scripts in "
        "Latin letters), in reading order, each with its box [x1, y1, x2, y2] and confidence; tables as rows. Finds "
        "and rights turned pages. Use `region` to read small text at full resolution. For running text of a PDF, "
        "read_document is shorter."
    ),
    parameters=ExtractTextParameters,
    result=ExtractTextResult,
    run=run,
)
