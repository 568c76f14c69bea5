"""The pages of a document in a reply, until it is full."""

from __future__ import annotations

from typing import Literal

from tools.cursor import Start, past_the_end
from tools.paging import LEAST_TOKENS, At, Budget, fill, split_text, tokens_of
from tools.result import SourceFacts
from vision.reading import ReadPage
from vision.types import Frozen, TextTable
from vision.whole import unreadable

_OVERHEAD_TOKENS = 800
Format = Literal["markdown", "text", "json", "outline"]


class PageRead(Frozen):
    """One page, and why it was read that way; failed: nothing of it can be read, and why. `furniture`: running heads
    and feet, page numbers and margin notes, which Markdown leaves out. `markdown` and `tables` are filled in for
    format json.

    What of it does not fit in a reply comes with `next_cursor`, under the same number.
    """

    number: int
    source: Literal["text-layer", "ocr", "model", "failed"]
    reason: str | None = None
    furniture: tuple[str, ...] = ()
    markdown: str | None = None
    tables: tuple[TextTable, ...] = ()


class Reply:
    """Collects pages until the reply is full. A page is its text, then (for format json) its tables."""

    def __init__(self, format: Format, start: Start, tokens: int) -> None:
        self.format: Format = format
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
        shown = self._shown(read)
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
        if self.format == "json":
            shown = shown.model_copy(update={"markdown": part, "tables": tuple(given)})
        else:
            self.parts.append(f"<!-- page {read.page.number} -->\n\n{part.strip()}\n")
        self.pages.append(shown)

    def again(self, replaced: dict[int, ReadPage]) -> Reply:
        """The same pages in a new reply, those whose number is in `replaced` as the model read them."""
        reply = Reply(self.format, self.start, self.tokens)
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

    @property
    def failed(self) -> list[PageRead]:
        return [page for page in self.pages if page.source == "failed"]

    def _shown(self, read: ReadPage) -> PageRead:
        page = read.page
        why = unreadable(page)
        if why is not None:
            return PageRead(number=page.number, source="failed", reason=why)
        source = "model" if page.number in self.by_model else page.source
        aside = () if self.format == "text" or source == "model" else page.furniture
        return PageRead(number=page.number, source=source, reason=page.ocr_reason, furniture=aside)

    def _contents(self, read: ReadPage) -> tuple[str, tuple[TextTable, ...]]:
        text = read.page.text if self.format == "text" else read.page.markdown
        return text, read.page.text_content.tables if self.format == "json" else ()

    def _room(self) -> int:
        """Tokens for a page's text: the first page of a reply gets some in any case, so that every reply gets on."""
        return self.budget.left if self.pages else max(self.budget.left, LEAST_TOKENS)
