"""extract_text: every line of text that stands in a picture or document, with its place. Where the recogniser is at a
loss, a model transcribes.
"""

from __future__ import annotations

from contextlib import aclosing

from pydantic import Field

from tools.asking import Spoken, silent, try_to_ask
from tools.common import (
    MORE,
    CursorText,
    Pages,
    Password,
    Region,
    Source,
    page_facts,
    poorly_read,
    used_scale,
    whole_pixels,
)
from tools.cursor import Cursors, Start, past_the_end
from tools.paging import At, Budget, fill
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.chat.types import ImagePart
from vision.prompts.documents import TILES, transcribe
from vision.reading import ReadPage, read_pages
from vision.seen import Media
from vision.service import VisionService
from vision.types import TextLine, TextTable

# What a reply spends on its other parts: engine, source, notices.
_OVERHEAD_TOKENS = 700
# What a page costs without its text: its number, and how far it was turned.
_PAGE_COST = "12345,'12345':270,"
# Pages done of those chosen, then the place in the next: lines and tables done, rows, characters.
_CURSORS = Cursors("extract_text", 4, ("region", "pages"))


class ExtractTextParameters(Parameters):
    source: Source
    region: Region = None
    pages: Pages = None
    password: Password = None
    cursor: CursorText = None


class ExtractTextResult(ToolResult):
    """`text` holds the lines in reading order; boxes are in the source as it is, turned or not.

    Where a reply ends within a page, what is left comes with `next_cursor`: lines first, then the page's tables, a long
    table in parts of whole rows.
    """

    text: str
    lines: tuple[TextLine, ...]
    tables: tuple[TextTable, ...] = ()
    page_rotations: dict[int, int] = Field(default={}, description="page: degrees clockwise it was turned to be read")


class _Reply:
    """Collects lines, and after them tables, of page after page until the reply is full."""

    def __init__(self, start: Start, tokens: int, modelled: bool) -> None:
        self.modelled = modelled
        self.page, *begin = start.place
        self.begin = At(*begin)
        self.budget = Budget(tokens - _OVERHEAD_TOKENS)
        self.poor: list[int] = []
        self.lines: list[TextLine] = []
        self.tables: list[TextTable] = []
        self.rotations: dict[int, int] = {}
        self.pages: list[int] = []
        self.next: tuple[int, At] | None = None
        self.scale = 1.0
        self.facts: SourceFacts | None = None

    def add(self, read: ReadPage) -> None:
        """Adds one page; sets `next` when the reply is full."""
        begin = self.begin if read.place == self.page else At()
        if not self.budget.take_all(_PAGE_COST) and self.pages:
            self.next = (read.place, begin)
            return
        content = read.page.text_content
        if self.modelled and read.page.source == "ocr" and poorly_read(content) and begin == At():
            self.poor.append(read.page.number)
            # What the model makes of it takes the room of what is not to be believed.
            self.budget.spend(self.budget.left // 2 if len(self.poor) == 1 else 0)
        items = [*map(whole_pixels, content.lines), *content.tables]
        # A line's text comes twice, in `text` and in `lines`.
        parts, rest = fill(items, begin, self.budget, copies=2, empty=not (self.lines or self.tables))
        self.lines += [part for part in parts if isinstance(part, TextLine)]
        self.tables += [part for part in parts if isinstance(part, TextTable)]
        self.next = None if rest is None else (read.place, rest)
        if rest is not None and not parts and self.pages:
            return  # nothing of this page is in the reply
        self.pages.append(read.page.number)
        self.scale = min(self.scale, read.scale)
        if content.rotation:
            self.rotations[read.page.number] = content.rotation


async def run(service: VisionService, parameters: ExtractTextParameters, call: Call) -> ExtractTextResult:
    parameters, start = _CURSORS.resume(parameters, parameters.cursor)
    call = call.made_with(parameters.model_dump(mode="json", exclude_unset=True))
    choice = await service.engine.choice()
    with await service.open(parameters.source, call) as media:
        start.check(media.opened.sha256)
        reply = _Reply(start, service.settings.max_reply_tokens, choice.model is not None)
        pages = read_pages(
            service, media, call, output="markdown", pages=parameters.pages, region=parameters.region,
            after=reply.page, password=parameters.password,
        )  # fmt: skip
        async with aclosing(pages):
            async for read in pages:
                reply.facts = reply.facts or page_facts(media, read)
                reply.add(read)
                await call.progress(read.place + 1, read.total, f"page {read.page.number} read")
                if reply.next is None and read.place + 1 < read.total and call.left_s <= 0:
                    reply.next = (read.place + 1, At())
                if reply.next is not None:
                    break
        if reply.facts is None:
            raise past_the_end()
        facts, picture = reply.facts, None
        if reply.poor:
            picture = await _picture(service, media, reply.poor[0], parameters, call)
    if picture is None:
        return _result(reply, facts, parameters, await silent(service, call, choice, [facts]), call)
    prompt = transcribe(picture, service.engine.tiles(choice, TILES))
    return _result(reply, facts, parameters, await try_to_ask(service, call, prompt, [facts]), call)


async def _picture(
    service: VisionService, media: Media, page: int, parameters: ExtractTextParameters, call: Call
) -> ImagePart:
    """What the recogniser was at a loss with, for the model."""
    if media.kind.kind == "image":
        picture = await service.picture(media, call, page=page, region=parameters.region)
        return (await service.shown(picture, call)).part
    ((_, shown),) = [p async for p in service.page_pictures(media, call, (page,), password=parameters.password)]
    return shown.part


def _result(
    reply: _Reply, facts: SourceFacts, parameters: ExtractTextParameters, spoken: Spoken, call: Call
) -> ExtractTextResult:
    cursor = None
    notices = [*spoken.notices]
    if spoken.text is not None:
        notices.append(
            f"The recogniser read little on page {reply.poor[0]} or did not believe it: `answer` is what the model "
            "makes of it; `text` and `lines` are the recogniser's."
        )
    if reply.next is not None:
        page, at = reply.next
        cursor = _CURSORS.make(facts.sha256, parameters, page, at.item, at.row, at.character)
        notices.append(MORE)
        if at.character:
            notices.append("The last line or row is longer than a reply: the next part goes on inside it.")
    elif not reply.lines:
        notices.append("No text was found.")
    return ExtractTextResult(
        **spoken.shared(),
        sources=(facts,),
        used=Used(
            pages=tuple(reply.pages),
            region=parameters.region,
            downscaled=used_scale(reply.scale),
            tiles=spoken.tiles,
        ),
        truncated=cursor is not None or spoken.truncated,
        next_cursor=cursor,
        notices=tuple(notices),
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
