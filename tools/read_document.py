"""read_document: a document as Markdown or text, page by page."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import Field

from tools.common import NEEDS_MODEL, OCR_ENGINE, CursorText, Pages, Password, Source, source_facts
from tools.paging import Budget, Cursor, split_text, start_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.reading import ReadPage, read_pages
from vision.service import VisionService
from vision.types import Frozen, TextTable

_OVERHEAD_TOKENS = 700
_PAGE_OVERHEAD = "{'number': 1234, 'source': 'text-layer', 'reason': null, 'markdown': ''}"


class ReadDocumentParameters(Parameters):
    source: Source
    question: Annotated[
        str | None, Field(description="What you want to know; the embedded engine returns the pages to reason from")
    ] = None
    pages: Pages = None
    format: Annotated[
        Literal["markdown", "text", "json"],
        Field(
            description="markdown keeps headings, lists and tables; text is fastest; json gives each page apart, with "
            "its tables as rows"
        ),
    ] = "markdown"
    password: Password = None
    cursor: CursorText = None


class PageRead(Frozen):
    """One page, and why it was read that way. `markdown` and `tables` are filled in for format json."""

    number: int
    source: Literal["text-layer", "ocr"]
    reason: str | None = None
    markdown: str | None = None
    tables: tuple[TextTable, ...] = ()


class ReadDocumentResult(ToolResult):
    """The text stands once: in `markdown`, each page begun by <!-- page N -->, or for format json in `pages`."""

    markdown: str
    page_count: int
    title: str | None = None
    pages: tuple[PageRead, ...]


class _Reply:
    """Collects pages until the reply is full; a page that does not fit is split."""

    def __init__(self, parameters: ReadDocumentParameters, start: Cursor, tokens: int) -> None:
        self.parameters = parameters
        self.start = start
        self.budget = Budget(tokens - _OVERHEAD_TOKENS)
        self.pages: list[PageRead] = []
        self.parts: list[str] = []
        self.page_count = 0
        self.title: str | None = None
        self.next: Cursor | None = None
        self.empty = True

    def add(self, read: ReadPage) -> None:
        self.page_count, self.title = read.page_count, read.title
        skip = self.start.offset if read.place == self.start.item else 0
        whole = read.page.text if self.parameters.format == "text" else read.page.markdown
        if not self.budget.take_all(_PAGE_OVERHEAD):
            self.next = Cursor(self.start.sha256, read.place, skip)
            return
        part, rest = split_text(whole[skip:], self.budget.left)
        if rest and self.pages and len(part) < len(rest):
            # A page that starts the next reply whole reads better than one cut near its top.
            self.next = Cursor(self.start.sha256, read.place, skip)
            return
        self.budget.take_all(part)
        self.empty = self.empty and not part.strip()
        shown = PageRead(number=read.page.number, source=read.page.source, reason=read.page.ocr_reason)
        if self.parameters.format == "json":
            tables = (
                () if skip else tuple(table for table in read.page.text_content.tables if self.budget.take_all(table))
            )
            shown = shown.model_copy(update={"markdown": part, "tables": tables})
        else:
            self.parts.append(f"<!-- page {read.page.number} -->\n\n{part.strip()}\n")
        self.pages.append(shown)
        if rest:
            self.next = Cursor(self.start.sha256, read.place, skip + len(part))


async def run(service: VisionService, parameters: ReadDocumentParameters, call: Call) -> ReadDocumentResult:
    with await service.open(parameters.source, call) as media:
        facts = source_facts(media)
        start = start_of(parameters.cursor, media.opened.sha256)
        reply = _Reply(parameters, start, service.settings.max_reply_tokens)
        pages = read_pages(
            service, media, call, output="text" if parameters.format == "text" else "markdown",
            pages=parameters.pages, after=start.item, password=parameters.password,
        )  # fmt: skip
        async with aclosing(pages):
            async for read in pages:
                facts = source_facts(media, width=read.page.width, height=read.page.height, pages=read.page_count)
                reply.add(read)
                await call.progress(read.place + 1, read.total, f"page {read.page.number} of {read.page_count}")
                if reply.next is None and read.place + 1 < read.total and call.left_s <= 0:
                    reply.next = Cursor(start.sha256, read.place + 1)
                if reply.next is not None:
                    break
    return _result(reply, facts, call)


def _result(reply: _Reply, facts: SourceFacts, call: Call) -> ReadDocumentResult:
    notices: list[str] = []
    if reply.parameters.question:
        notices.append(NEEDS_MODEL)
    if reply.next is not None:
        notices.append("There is more: pass next_cursor as cursor, or choose pages.")
    if reply.empty and reply.next is None:
        notices.append("No text was found on these pages.")
    return ReadDocumentResult(
        engine=OCR_ENGINE,
        sources=(facts,),
        used=Used(pages=tuple(page.number for page in reply.pages)),
        truncated=reply.next is not None,
        next_cursor=reply.next.encode() if reply.next else None,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        markdown="\n".join(reply.parts),
        page_count=reply.page_count,
        title=reply.title,
        pages=tuple(reply.pages),
    )


TOOL = Tool(
    name="read_document",
    title="Read a document",
    description=(
        "Reads a PDF (digital, scanned, rotated, encrypted with `password`), XPS, EPUB, multi-page TIFF or a "
        "photographed page as Markdown, page by page: headings, lists and tables kept, scanned pages by OCR, each "
        "page marked with how it was read. Long documents come in parts: choose `pages` or follow `next_cursor`."
    ),
    parameters=ReadDocumentParameters,
    result=ReadDocumentResult,
    run=run,
)
