"""read_document: a document as Markdown or text, page by page; its outline; a search through it; questions about it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from tools.asking import Spoken, answer_room, engine_used, silent
from tools.common import MORE, CursorText, Pages, Password, Source, clipped, needs_model, page_facts, source_facts
from tools.cursor import Cursors, Start, past_the_end
from tools.document_model import MOST_TRANSCRIBED, poor_pages, show, transcribed
from tools.document_parts import DocumentParts, beside_text, everything
from tools.document_question import Answered, Answering, Question, look_for
from tools.document_reply import Format, PageRead, Reply
from tools.evidence import support
from tools.paging import At, Budget
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.engine.choice import Choice
from vision.errors import InvalidArgument
from vision.media.document_pages import parse_pages
from vision.search.hits import Found, Hit
from vision.service import VisionService
from vision.types import Box, Frozen
from vision.whole import Searched, Whole, spec

# With a question for a model, no page is begun when less than this share of the work's time is left for it.
_MODEL_SHARE = 0.6
# With a question, the text of so few pages comes too; of more, only the passages that fit.
_FEW_PAGES = 4
_PASSAGES_TOKENS, _PASSAGES_BESIDE_TOKENS = 3_000, 800
_SEARCH_READ_S = 60.0
_MOST_HITS = 50
_MATCHING_CHARACTERS = 400
_OVERHEAD_TOKENS = 800
# Pages done of those chosen, then the place in the next: its text and so many tables done, rows, characters.
# For format outline: which part, and so many of it; for a search: so many hits.
_CURSORS = Cursors("read_document", 4, ("pages", "format", "search"))


class ReadDocumentParameters(Parameters):
    source: Source
    question: Annotated[
        str | None,
        Field(description="What you want to know, in your language; answered from the few pages that fit it best"),
    ] = None
    search: Annotated[
        str | None,
        Field(
            max_length=500,
            description='Words to look for in the whole document: passages with page and box; "quoted words" as they '
            "stand. With question: where to look",
        ),
    ] = None
    pages: Pages = None
    format: Annotated[
        Format,
        Field(
            description="markdown keeps headings, lists and tables; text is fastest; json gives each page apart, with "
            "its tables as rows; outline gives no text but all of the outline, form fields, annotations and links"
        ),
    ] = "markdown"
    password: Password = None
    cursor: CursorText = None


class Passage(Frozen):
    """A few lines that hold what was looked for; `box` in points of the page (pixels for pictures)."""

    page: int
    text: str
    box: Box
    score: float = Field(description="by BM25, to compare within one reply")


class Search(Frozen):
    """What was searched, and what held something: pages as in `pages`."""

    matches: int = Field(description="passages that hold something of what was looked for")
    matching_pages: str
    pages: int = Field(description="how many pages were searched")
    not_searched: str | None = Field(
        default=None, description="pages whose text is not in the file and was not read in the time: call again"
    )


class ReadDocumentResult(ToolResult):
    """The text stands once: in `markdown`, each page begun by <!-- page N -->, or for format json in `pages`.

    `document`: what it says about itself, with the first pages. `passages`: best first, for a search or a question.
    """

    markdown: str = ""
    page_count: int
    title: str | None = None
    pages: tuple[PageRead, ...] = ()
    document: DocumentParts | None = None
    passages: tuple[Passage, ...] = ()
    search: Search | None = None
    in_document: bool | None = Field(
        default=None, description="false: what was asked for is not in this document, as far as it was searched"
    )


@dataclass(frozen=True)
class _Work:
    """One call: its parameters, where it begins, what answers."""

    service: VisionService
    call: Call
    parameters: ReadDocumentParameters
    start: Start
    choice: Choice

    @property
    def tokens(self) -> int:
        return self.service.settings.max_reply_tokens

    def cursor(self, sha256: str, *place: int) -> str:
        return _CURSORS.make(sha256, self.parameters, *place)


async def run(service: VisionService, parameters: ReadDocumentParameters, call: Call) -> ReadDocumentResult:
    parameters, start = _CURSORS.resume(parameters, parameters.cursor)
    call = call.made_with(parameters.model_dump(mode="json", exclude_unset=True))
    work = _Work(service, call, parameters, start, await service.engine.choice())
    if parameters.question:
        return await _answered(work)
    if parameters.search is not None:
        return await _searched(work, parameters.search)
    return await (_outlined(work) if parameters.format == "outline" else _read(work))


async def _read(work: _Work) -> ReadDocumentResult:
    """Pages, from the first chosen one or from where the cursor says."""
    service, call, parameters = work.service, work.call, work.parameters
    modelled = work.choice.model is not None
    with await service.open(parameters.source, call) as media:
        work.start.check(media.opened.sha256)
        whole = Whole(service, media, call, parameters.password)
        reply = Reply(parameters.format, work.start, work.tokens)
        document = await _beside(whole, work, reply.budget)
        facts = await _fill(whole, work, reply, 0.0)
        chosen = poor_pages(reply.reads)[:MOST_TRANSCRIBED] if modelled else []
        shows = await show(service, media, call, chosen, parameters.password)
    spoken = await silent(service, call, work.choice, [facts])
    if shows.reads:
        replaced, notices = await transcribed(service, call, shows)
        reply = reply.again(replaced) if replaced else reply
        spoken = spoken.noting(*notices)
    if document is not None and document.outline and reply.next is not None:
        spoken = spoken.noting(f"{facts.pages} pages: see `document.outline`, name `pages`, or `search` for words.")
    result = _of_pages(work, reply, facts, spoken)
    return result.model_copy(update={"document": document})


async def _beside(whole: Whole, work: _Work, budget: Budget) -> DocumentParts | None:
    """What the document says about itself, with its first pages."""
    if not whole.paged or work.start.digest is not None:
        return None
    facts = await whole.facts()
    pages = work.parameters.pages
    return beside_text(facts, parse_pages(pages, facts.page_count) if pages else None, budget)


async def _fill(whole: Whole, work: _Work, reply: Reply, keep_s: float) -> SourceFacts:
    """Reads pages until the reply is full, or only `keep_s` seconds of its time are left."""
    call = work.call
    output = "text" if reply.format == "text" else "markdown"
    async with aclosing(whole.pages(output=output, pages=work.parameters.pages, after=reply.page)) as pages:
        async for read in pages:
            reply.facts = reply.facts or page_facts(whole.media, read)
            reply.add(read)
            await call.progress(read.place + 1, read.total, f"page {read.page.number} of {read.page_count}")
            if reply.next is None and read.place + 1 < read.total and call.left_s <= keep_s:
                reply.next = (read.place + 1, At())
            if reply.next is not None:
                break
    if reply.facts is None:
        raise past_the_end()
    return reply.facts


async def _outlined(work: _Work) -> ReadDocumentResult:
    """What the document says about itself, and none of its text."""
    parameters, call = work.parameters, work.call
    with await work.service.open(parameters.source, call) as media:
        work.start.check(media.opened.sha256)
        whole = Whole(work.service, media, call, parameters.password)
        if not whole.paged:
            raise InvalidArgument("a picture has no outline", "Leave format out to read what it shows.")
        found = await whole.facts()
    pages = parse_pages(parameters.pages, found.page_count) if parameters.pages else None
    part, item, *_ = work.start.place
    document, rest = everything(found, pages, (part, item), Budget(work.tokens - _OVERHEAD_TOKENS))
    facts = source_facts(media, pages=found.page_count)
    spoken = await silent(work.service, call, work.choice, [facts])
    cursor = None if rest is None else work.cursor(facts.sha256, *rest, 0, 0)
    notices = [*spoken.notices, *([MORE] if cursor else [])]
    if not document.has:
        notices.append("It has no outline, form fields, annotations or links: leave format out to read its text.")
    return ReadDocumentResult(
        **_common(work, facts, spoken, notices, cursor), title=found.metadata.title, document=document
    )


async def _searched(work: _Work, words: str) -> ReadDocumentResult:
    """Passages that hold the words."""
    parameters, call = work.parameters, work.call
    first = work.start.place[0]
    with await work.service.open(parameters.source, call) as media:
        work.start.check(media.opened.sha256)
        whole = Whole(work.service, media, call, parameters.password)
        searched = await whole.search(
            words, pages=parameters.pages, first=first, most=_MOST_HITS, read_s=min(_SEARCH_READ_S, call.left_s / 2)
        )
        facts = source_facts(media, pages=searched.page_count)
    if first and not searched.found.hits:
        raise past_the_end()
    given = _within(searched.found.hits, work.tokens - _OVERHEAD_TOKENS)
    more = first + len(given) < searched.found.matches
    cursor = work.cursor(facts.sha256, first + len(given), 0, 0, 0) if more and given else None
    spoken = await silent(work.service, call, work.choice, [facts])
    notices = [*spoken.notices, *_search_notices(searched), *([MORE] if cursor else [])]
    return ReadDocumentResult(**_common(work, facts, spoken, notices, cursor), passages=given, search=_search(searched))


async def _answered(work: _Work) -> ReadDocumentResult:
    """An answer from the pages that matter, or the passages that do; the text too where there are few pages."""
    parameters, call = work.parameters, work.call
    model = work.choice.model
    asked = Question(
        parameters.question or "", parameters.source, parameters.search, parameters.pages, parameters.password
    )
    with await work.service.open(parameters.source, call) as media:
        work.start.check(media.opened.sha256)
        whole = Whole(work.service, media, call, parameters.password)
        searched = await look_for(whole, asked)
        facts = source_facts(media, pages=searched.page_count)
        tokens = work.tokens - answer_room(work.choice, work.tokens)
        reply = Reply(parameters.format, work.start, tokens)
        reply.budget.spend(_PASSAGES_BESIDE_TOKENS)
        document = None
        if len(searched.numbers) <= _FEW_PAGES and parameters.format != "outline":
            document = await _beside(whole, work, reply.budget)
            facts = await _fill(whole, work, reply, _MODEL_SHARE * call.within_s if model else 0.0)
        answering = Answering(work.service, call, work.choice, asked, searched)
        prepared = await answering.prepare(whole) if model else None
    notices = [*_search_notices(searched)] if model is None else []
    if prepared is None:
        answered = Answered(await silent(work.service, call, work.choice, [facts]), (), None, ())
        notices.append(needs_model(work.choice))
    else:
        answered = await answering.answer(prepared, facts)
    room = _PASSAGES_BESIDE_TOKENS if model or reply.pages else _PASSAGES_TOKENS
    update: dict[str, Any] = {
        "passages": _within(searched.found.hits, room),
        "search": _search(searched),
        "in_document": answered.in_document,
        "document": document,
    }
    spoken = answered.spoken.noting(*answered.notices, *notices)
    if answered.shown:
        lines = [line for read in answered.shown for line in read.page.text_content.lines]
        numbers = sorted({read.page.number for read in answered.shown})
        update["evidence"], update["unsupported"] = support(spoken.text or "", lines, numbers)
        update["used"] = Used(pages=tuple(numbers), tiles=spoken.tiles)
    return _of_pages(work, reply, facts, spoken).model_copy(update=update)


def _of_pages(work: _Work, reply: Reply, facts: SourceFacts, spoken: Spoken) -> ReadDocumentResult:
    """The result for the pages in the reply."""
    notices = [*spoken.notices]
    cursor = None
    if reply.next is not None:
        page, at = reply.next
        cursor = work.cursor(facts.sha256, page, at.item, at.row, at.character)
        notices.append(MORE)
    elif reply.pages and reply.empty and reply.begin == At():
        notices.append("No text was found on these pages.")
    if reply.failed:
        numbers = spec([page.number for page in reply.failed])
        notices.append(f"Pages that cannot be read: {numbers} ({reply.failed[0].reason}). The others are not affected.")
    shared = _common(work, facts, spoken, notices, cursor)
    if reply.by_model and work.choice.model is not None:
        shared["engine"] = engine_used(work.choice)
    return ReadDocumentResult(
        **shared,
        used=Used(pages=tuple(page.number for page in reply.pages), tiles=spoken.tiles),
        markdown="\n".join(reply.parts),
        title=reply.title,
        pages=tuple(reply.pages),
    )


def _common(
    work: _Work, facts: SourceFacts, spoken: Spoken, notices: Sequence[str], cursor: str | None
) -> dict[str, Any]:
    return {
        **spoken.shared(),
        "sources": (facts,),
        "page_count": facts.pages or 0,
        "truncated": cursor is not None or spoken.truncated,
        "next_cursor": cursor,
        "notices": tuple(notices),
        "timings_ms": {"total": round(work.call.elapsed_s * 1000)},
    }


def _within(hits: Sequence[Hit], tokens: int) -> tuple[Passage, ...]:
    """The hits as passages, as many as fit, the best in any case."""
    budget = Budget(tokens)
    given: list[Passage] = []
    for hit in hits:
        passage = Passage(page=hit.page, text=hit.text, box=hit.box, score=hit.score)
        if not budget.take_all(passage) and given:
            break
        given.append(passage)
    return tuple(given)


def _search(searched: Searched) -> Search:
    found: Found = searched.found
    left_out = len(searched.unread) + len(searched.failed)
    return Search(
        matches=found.matches,
        matching_pages=clipped(spec(found.matching), _MATCHING_CHARACTERS),
        pages=len(searched.numbers) - left_out,
        not_searched=spec(searched.unread) or None,
    )


def _search_notices(searched: Searched) -> list[str]:
    notices: list[str] = []
    if searched.unread:
        numbers = spec(searched.unread)
        notices.append(f"Pages {numbers} are pictures that were not read yet: call again, or name them in `pages`.")
    if searched.failed:
        numbers, why = spec([number for number, _ in searched.failed]), searched.failed[0][1]
        notices.append(f"Pages that cannot be read: {numbers} ({why}).")
    if not searched.found.hits:
        notices.append("Nothing of it was found in the pages searched.")
    return notices


TOOL = Tool(
    name="read_document",
    title="Read a document",
    description=(
        "Reads a PDF (digital, scanned, rotated, encrypted), DOCX, PPTX, XLSX, XPS, EPUB, multi-page TIFF or a "
        "photographed page as Markdown: headings, lists and tables kept, scanned pages by OCR, each page marked with "
        "how it was read. `search` finds words in all of it, with page and box. An InternVL model answers `question` "
        "from the pages that matter and names them; without one the best passages come. Long documents begin with "
        "their outline: choose `pages`, or follow `next_cursor`."
    ),
    parameters=ReadDocumentParameters,
    result=ReadDocumentResult,
    run=run,
)
