"""read_document: a document as Markdown or text, page by page; a question about it is the model's to answer."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import Field

from tools.asking import Spoken, answer_room, engine_used, silent
from tools.common import MORE, CursorText, Pages, Password, Source, needs_model, page_facts
from tools.cursor import Cursors, Start, past_the_end
from tools.document_model import MOST_TRANSCRIBED, ask_about, pages_for, poor_pages, show, transcribed
from tools.evidence import support
from tools.paging import LEAST_TOKENS, At, Budget, fill, split_text, tokens_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.engine.choice import Choice
from vision.reading import ReadPage, read_pages
from vision.seen import Media
from vision.service import VisionService
from vision.types import Frozen, TextTable

_OVERHEAD_TOKENS = 800
# With a question for a model, no page is begun when less than this share of the work's time is left for it.
_MODEL_SHARE = 0.6
# Pages done of those chosen, then the place in the next: its text and so many tables done, rows, characters.
_CURSORS = Cursors("read_document", 4, ("pages", "format"))


class ReadDocumentParameters(Parameters):
    source: Source
    question: Annotated[
        str | None,
        Field(description="What you want to know, in your language; answered from the few pages that fit it best"),
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
    """One page, and why it was read that way. `markdown` and `tables` are filled in for format json.

    What of it does not fit in a reply comes with `next_cursor`, under the same number.
    """

    number: int
    source: Literal["text-layer", "ocr", "model"]
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
    """Collects pages until the reply is full. A page is its text, then (for format json) its tables."""

    def __init__(self, parameters: ReadDocumentParameters, start: Start, tokens: int) -> None:
        self.parameters = parameters
        self.start, self.tokens = start, tokens
        self.page, *begin = start.place
        self.begin = At(*begin)
        self.budget = Budget(tokens - _OVERHEAD_TOKENS)
        self.reads: list[ReadPage] = []
        self.by_model: frozenset[int] = frozenset()
        self.pages: list[PageRead] = []
        self.parts: list[str] = []
        self.title: str | None = None
        self.facts: SourceFacts | None = None
        self.next: tuple[int, At] | None = None
        self.empty = True

    def add(self, read: ReadPage) -> None:
        """Adds one page; sets `next` when the reply is full."""
        self.reads.append(read)
        self.title = read.title
        begin = self.begin if read.place == self.page else At()
        source = "model" if read.page.number in self.by_model else read.page.source
        shown = PageRead(number=read.page.number, source=source, reason=read.page.ocr_reason)
        text, tables = self._contents(read)
        if begin.item > len(tables) or (begin.item == 0 and (begin.row or 0 < len(text) <= begin.character)):
            raise past_the_end()
        if not self.budget.take_all(shown, f"<!-- page {shown.number} -->") and self.pages:
            self.next = (read.place, begin)
            return
        part, rest = split_text(text[begin.character :] if begin.item == 0 else "", self._room())
        if rest and self.pages and len(part) < len(rest):
            # A page that starts the next reply whole reads better than one cut near its top.
            self.next = (read.place, begin)
            return
        self.budget.spend(tokens_of(part))
        self.empty = self.empty and not part.strip()
        given: list[TextTable] = []
        if rest:
            self.next = (read.place, At(0, 0, begin.character + len(part)))
        else:
            begin = At(begin.item - 1, begin.row, begin.character) if begin.item else At()
            given, left = fill(tables, begin, self.budget, empty=not (self.pages or part))
            if left is not None:
                self.next = (read.place, At(left.item + 1, left.row, left.character))
        if self.parameters.format == "json":
            shown = shown.model_copy(update={"markdown": part, "tables": tuple(given)})
        else:
            self.parts.append(f"<!-- page {read.page.number} -->\n\n{part.strip()}\n")
        self.pages.append(shown)

    def again(self, replaced: dict[int, ReadPage]) -> _Reply:
        """The same pages in a new reply, those whose number is in `replaced` as the model read them."""
        reply = _Reply(self.parameters, self.start, self.tokens)
        reply.facts, reply.by_model = self.facts, frozenset(replaced)
        for read in self.reads:
            reply.add(replaced.get(read.page.number, read))
            if reply.next is not None:
                return reply
        if self.next is not None:  # it ended for want of room or time, and what is left still is
            last = self.reads[-1]
            went_on = self.next[0] > last.place or self.pages[-1].number == last.page.number
            reply.next = (last.place + 1, At()) if went_on and last.place + 1 < last.total else None
        return reply

    def _contents(self, read: ReadPage) -> tuple[str, tuple[TextTable, ...]]:
        text = read.page.text if self.parameters.format == "text" else read.page.markdown
        return text, read.page.text_content.tables if self.parameters.format == "json" else ()

    def _room(self) -> int:
        """Tokens for a page's text: the first page of a reply gets some in any case, so that every reply gets on."""
        return self.budget.left if self.pages else max(self.budget.left, LEAST_TOKENS)


async def run(service: VisionService, parameters: ReadDocumentParameters, call: Call) -> ReadDocumentResult:
    parameters, start = _CURSORS.resume(parameters, parameters.cursor)
    call = call.made_with(parameters.model_dump(mode="json", exclude_unset=True))
    choice = await service.engine.choice()
    tokens = service.settings.max_reply_tokens
    if parameters.question:
        tokens -= answer_room(choice, tokens)
    modelled = choice.model is not None
    with await service.open(parameters.source, call) as media:
        start.check(media.opened.sha256)
        reply = _Reply(parameters, start, tokens)
        asking = modelled and parameters.question is not None
        await _read(service, media, reply, call, _MODEL_SHARE * call.within_s if asking else 0.0)
        facts = reply.facts
        if facts is None:
            raise past_the_end()
        chosen = poor_pages(reply.reads)[:MOST_TRANSCRIBED] if modelled else []
        if asking:
            chosen = pages_for(choice, reply.reads, parameters.question or "")
        shows = await show(service, media, call, chosen, parameters.password)
    if asking:
        spoken = await ask_about(service, call, shows, parameters.question or "", facts)
    else:
        spoken = await silent(service, call, choice, [facts])
        if shows.reads:
            replaced, notices = await transcribed(service, call, shows)
            reply = reply.again(replaced) if replaced else reply
            spoken = spoken.noting(*notices)
    return _result(reply, facts, choice, spoken, call)


async def _read(service: VisionService, media: Media, reply: _Reply, call: Call, keep_s: float) -> None:
    """Reads pages until the reply is full, or only `keep_s` seconds of its time are left."""
    parameters = reply.parameters
    pages = read_pages(
        service, media, call, output="text" if parameters.format == "text" else "markdown",
        pages=parameters.pages, after=reply.page, password=parameters.password,
    )  # fmt: skip
    async with aclosing(pages):
        async for read in pages:
            reply.facts = reply.facts or page_facts(media, read)
            reply.add(read)
            await call.progress(read.place + 1, read.total, f"page {read.page.number} of {read.page_count}")
            if reply.next is None and read.place + 1 < read.total and call.left_s <= keep_s:
                reply.next = (read.place + 1, At())
            if reply.next is not None:
                break


def _result(reply: _Reply, facts: SourceFacts, choice: Choice, spoken: Spoken, call: Call) -> ReadDocumentResult:
    notices = [*spoken.notices]
    cursor = None
    if reply.parameters.question and choice.model is None:
        notices.append(needs_model(choice))
    if reply.next is not None:
        page, at = reply.next
        cursor = _CURSORS.make(facts.sha256, reply.parameters, page, at.item, at.row, at.character)
        notices.append(MORE)
    elif reply.empty and reply.begin == At():
        notices.append("No text was found on these pages.")
    lines = [line for read in reply.reads for line in read.page.text_content.lines]
    evidence, unsupported = support(spoken.text or "", lines)
    shared = spoken.shared()
    if reply.by_model and choice.model is not None:
        shared["engine"] = engine_used(choice)
    return ReadDocumentResult(
        **shared,
        sources=(facts,),
        used=Used(pages=tuple(page.number for page in reply.pages), tiles=spoken.tiles),
        evidence=evidence,
        unsupported=unsupported,
        truncated=cursor is not None or spoken.truncated,
        next_cursor=cursor,
        notices=tuple(notices),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        markdown="\n".join(reply.parts),
        page_count=facts.pages or 0,
        title=reply.title,
        pages=tuple(reply.pages),
    )


TOOL = Tool(
    name="read_document",
    title="Read a document",
    description=(
        "Reads a PDF (digital, scanned, rotated, encrypted with `password`), XPS, EPUB, multi-page TIFF or a "
        "photographed page as Markdown, page by page: headings, lists and tables kept, scanned pages by OCR, each "
        "page marked with how it was read. An InternVL model answers `question` from the pages and names them. Long "
        "documents come in parts: choose `pages` or follow `next_cursor`."
    ),
    parameters=ReadDocumentParameters,
    result=ReadDocumentResult,
    run=run,
)
