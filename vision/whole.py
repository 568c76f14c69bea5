"""A document as a whole: what it says about itself, its pages with those that fail named, a search through all of it.

What was read is kept by content, so that a page asked for again costs nothing. Nothing here opens a document.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Literal

from vision.call import Call
from vision.errors import DamagedMedia, LimitExceeded, VisionError, WorkerFailed
from vision.media.document_facts import DocumentFacts
from vision.media.document_pages import DocumentPage, parse_pages
from vision.reading import ReadPage, read_pages
from vision.search.hits import LONG, SHORT, Found, found
from vision.search.passages import Line, is_sparse, passages
from vision.search.ranking import Ranking
from vision.search.words import query, question
from vision.seen import Media
from vision.service import VisionService
from vision.types import Frozen
from vision.workers import jobs

Output = Literal["markdown", "text"]
# A decoder that dies on so many pages one after the other is given no more of them.
_MOST_DEATHS = 3
_NO_PAGE = "Name other pages, or open the document in a viewer and save it again."


class KeptPage(Frozen):
    """A page as it is kept."""

    page: DocumentPage
    title: str | None
    scale: float


@dataclass(frozen=True)
class Searched:
    """`unread`: pages whose text is not in the file and was not read for want of time; `sparse`: pages with hardly any
    text; `failed`: pages that cannot be read, with the reasons; `numbers`: the pages that were to be searched.
    """

    found: Found
    numbers: tuple[int, ...]
    page_count: int
    unread: tuple[int, ...] = ()
    sparse: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Whole:
    """One document within one call. Pictures are documents too: of one page, or as many as a TIFF has."""

    service: VisionService
    media: Media
    call: Call
    password: str | None = None

    @property
    def _key(self) -> str:
        """Of all that is kept of it. Who does not give the password gets nothing that was read with it."""
        locked = hashlib.sha256((self.password or "").encode()).hexdigest()[:16] if self.password else ""
        return f"{self.media.opened.sha256}:{locked}"

    @property
    def paged(self) -> bool:
        """Whether it is a document, and not a picture."""
        return self.media.kind.kind == "document"

    async def facts(self) -> DocumentFacts:
        """What it says about itself. A decoder that dies on a part leaves what came before it.

        Raises what opening the document raises. Not for pictures.
        """
        kept = self.service.kept.get(f"{self._key}:facts")
        if kept is not None:
            return DocumentFacts.model_validate_json(zlib.decompress(kept))
        params = jobs.FactsParams(
            format=self.media.kind.format, password=self.password, max_pages=self.service.settings.max_pages
        )
        facts: DocumentFacts | None = None
        try:
            async with self.service.decoding(jobs.FACTS, params, self.media, self.call) as results:
                async for found, _ in results:
                    facts = found
        except (WorkerFailed, LimitExceeded) as e:
            if facts is None:
                raise
            return facts.model_copy(update={"incomplete": (f"outline, links, forms and annotations: {e.message}",)})
        assert facts is not None  # the job gives two or raises
        self._keep("facts", facts)
        return facts

    async def pages(self, *, output: Output, pages: str | None = None, after: int = 0) -> AsyncGenerator[ReadPage]:
        """The chosen pages from place `after` on, each read when it is asked for, or as it is kept.

        A page that cannot be read comes empty, its reason told by `unreadable`; an error is raised only where none can
        be read. Raises InvalidArgument (pages) and what opening raises.
        """
        if not self.paged:
            reading = read_pages(self.service, self.media, self.call, output=output, pages=pages, after=after)
            async with aclosing(reading):
                async for read in reading:
                    yield read
            return
        facts = await self.facts()
        numbers = parse_pages(pages or "", facts.page_count)
        place, deaths, any_read = after, 0, False
        failure: VisionError | None = None
        while place < len(numbers):
            try:
                async with aclosing(self._from(numbers, place, output, facts.page_count)) as reading:
                    async for read in reading:
                        place, deaths = read.place + 1, 0
                        why = unreadable(read.page)
                        any_read = any_read or why is None
                        failure = failure or (DamagedMedia(why, _NO_PAGE) if why is not None else None)
                        yield read
            except (WorkerFailed, LimitExceeded, DamagedMedia) as e:
                failure, deaths = failure or e, deaths + 1
                if deaths > _MOST_DEATHS:
                    raise
                page = _failed(numbers[place], e)
                yield ReadPage(place, len(numbers), facts.page_count, facts.metadata.title, page)
                place += 1
        if failure is not None and not any_read:
            raise failure

    async def beside_pictures(self, numbers: Sequence[int]) -> list[ReadPage]:
        """These pages, in the order of their numbers, for a reader who sees their pictures too: what a trusted text
        layer has is enough, and the recogniser reads only pages without one. Those that cannot be read are left out.
        """
        chosen = sorted(numbers)
        found: dict[int, ReadPage] = {}
        if self.paged:
            missing = [number for number in chosen if self._kept(number, "markdown") is None]
            found = {read.page.number: read for read in await self._text_layers(missing)} if missing else {}
        rest = [number for number in chosen if number not in found]
        # A picture that is no TIFF has one page, which is read whichever frame it is.
        named = self.paged or self.media.kind.format == "tiff" or rest != [1]
        # None of the rest can be read where this raises: then the others are all there is.
        with suppress(WorkerFailed, LimitExceeded, DamagedMedia):
            if rest:
                async with aclosing(self.pages(output="markdown", pages=spec(rest) if named else None)) as reading:
                    found |= {read.page.number: read async for read in reading if unreadable(read.page) is None}
        return [found[number] for number in chosen if number in found]

    async def _text_layers(self, numbers: Sequence[int]) -> list[ReadPage]:
        """Those of the pages whose text layer can be trusted, without what their pictures say."""
        params = jobs.DocumentParams(
            format=self.media.kind.format, password=self.password, pages=spec(numbers), output="markdown",
            text_only=True, max_pages=self.service.settings.max_pages, max_pixels=self.service.settings.max_pixels,
        )  # fmt: skip
        reads: list[ReadPage] = []
        try:
            async with self.service.decoding(jobs.DOCUMENT, params, self.media, self.call) as results:
                async for item, _ in results:
                    if item.page.text.strip() and item.page.ocr_reason is None:
                        title = item.title or None
                        reads.append(ReadPage(item.place, item.total, item.page_count, title, item.page))
        except (WorkerFailed, LimitExceeded, DamagedMedia):
            return reads  # the others are tried one by one, each with its own error
        return reads

    async def _from(
        self, numbers: Sequence[int], place: int, output: Output, page_count: int
    ) -> AsyncGenerator[ReadPage]:
        """The pages from `place` on to the end of those that are kept, or of those that are not."""
        total = len(numbers)
        kept = self._kept(numbers[place], output)
        while kept is not None:
            yield ReadPage(place, total, page_count, kept.title, kept.page, kept.scale)
            place += 1
            kept = self._kept(numbers[place], output) if place < total else None
        end = place
        while end < total and self.service.kept.get(f"{self._key}:{output}:{numbers[end]}") is None:
            end += 1
        if end == place:
            return
        reading = read_pages(
            self.service, self.media, self.call, output=output, pages=spec(numbers[place:end]), password=self.password
        )
        try:
            async with aclosing(reading):
                async for read in reading:
                    self._keep_page(read, output)
                    place += 1
                    yield replace(read, place=place - 1, total=total)
        except (DamagedMedia, LimitExceeded):
            if place < end:
                raise
            # All have come, each with the reason why it cannot be read.

    def _kept(self, number: int, output: Output) -> KeptPage | None:
        kept = self.service.kept.get(f"{self._key}:{output}:{number}")
        return None if kept is None else KeptPage.model_validate_json(zlib.decompress(kept))

    def _keep_page(self, read: ReadPage, output: Output) -> None:
        if unreadable(read.page) is not None:
            return
        kept = KeptPage(page=read.page, title=read.title, scale=read.scale)
        # What a recogniser reads is the same for both.
        outputs = ("markdown", "text") if read.page.source == "ocr" else (output,)
        for name in outputs:
            self._keep(f"{name}:{read.page.number}", kept)

    def _keep(self, name: str, value: Frozen) -> None:
        packed = zlib.compress(value.model_dump_json().encode(), 1)
        self.service.kept.put(f"{self._key}:{name}", packed, len(packed))

    async def search(
        self,
        text: str,
        *,
        is_question: bool = False,
        pages: str | None = None,
        first: int = 0,
        most: int,
        read_s: float,
    ) -> Searched:
        """The passages that hold the words of `text`, best first: hits `first` to `first + most`.

        Pages whose text is not in the file are read by the recogniser, for `read_s` seconds at most; those that are
        left are told. Raises InvalidArgument (pages) and what opening raises.
        """
        if not self.paged:
            return await self._search_pictures(text, is_question, pages, first, most, read_s)
        params = jobs.SearchParams(
            format=self.media.kind.format, password=self.password, pages=pages, text=text, question=is_question,
            first=first, most=most, max_pages=self.service.settings.max_pages,
        )  # fmt: skip
        item = await self._run_search(params)
        if item.unread:
            known, failed = await self._recognised(item.unread, read_s)
            if known:
                item = await self._run_search(params.model_copy(update={"known": known}))
            gone = {number for number, _ in failed}
            item = item.model_copy(
                update={
                    "unread": tuple(number for number in item.unread if number not in gone),
                    "failed": (*item.failed, *failed),
                }
            )
        facts = await self.facts()
        numbers = parse_pages(pages or "", facts.page_count)
        return Searched(item.found or Found(), numbers, facts.page_count, item.unread, item.sparse, item.failed)

    async def _run_search(self, params: jobs.SearchParams) -> jobs.SearchItem:
        last: jobs.SearchItem | None = None
        async with self.service.decoding(jobs.SEARCH, params, self.media, self.call) as results:
            async for item, _ in results:
                last = item
                await self.call.progress(item.looked, item.total, f"{item.looked} of {item.total} pages searched")
        assert last is not None  # the job gives one or raises
        return last

    async def _recognised(
        self, unread: Sequence[int], read_s: float
    ) -> tuple[tuple[jobs.KnownPage, ...], tuple[tuple[int, str], ...]]:
        """The lines of pages that the recogniser has read, or reads within the time; and those it cannot read."""
        kept = [number for number in unread if self.service.kept.get(f"{self._key}:text:{number}") is not None]
        others = [number for number in unread if number not in set(kept)]
        until = self.call.elapsed_s + min(read_s, self.call.left_s)
        known: list[jobs.KnownPage] = []
        failed: list[tuple[int, str]] = []
        try:
            async with aclosing(self.pages(output="text", pages=spec([*kept, *others]))) as reading:
                async for read in reading:
                    why = unreadable(read.page)
                    if why is None:
                        known.append(_known(read.page))
                    else:
                        failed.append((read.page.number, why))
                    await self.call.progress(len(known), len(unread), f"page {read.page.number} read")
                    if self.call.elapsed_s >= until and len(known) >= len(kept):
                        break
        except (WorkerFailed, LimitExceeded, DamagedMedia) as e:
            failed = failed or [(number, e.message) for number in unread]
        return tuple(known), tuple(failed)

    async def _search_pictures(
        self, text: str, is_question: bool, pages: str | None, first: int, most: int, read_s: float
    ) -> Searched:
        """A picture's pages have no text: all that can be searched is what the recogniser reads in the time."""
        until = self.call.elapsed_s + min(read_s, self.call.left_s)
        ranking = Ranking(question(text) if is_question else query(text))
        total, page_count = 0, 0
        sparse: dict[int, bool] = {}
        async with aclosing(self.pages(output="text", pages=pages)) as reading:
            async for read in reading:
                total, page_count = read.total, read.page_count
                lines = [Line(line.text, line.box) for line in read.page.text_content.lines]
                ranking.add(passages(read.page.number, lines))
                sparse[read.page.number] = is_sparse(lines)
                if self.call.elapsed_s >= until:
                    break
        chosen = parse_pages(pages or "", page_count) if pages or total > 1 else (1,)
        unread = tuple(number for number in chosen if number not in sparse)
        few = tuple(number for number, is_few in sparse.items() if is_few)
        hits = found(ranking, first, most, LONG if is_question else SHORT)
        return Searched(hits, chosen, page_count, unread, few)


def unreadable(page: DocumentPage) -> str | None:
    """Why nothing of the page can be read; None for a page that was read."""
    reason = page.ocr_reason or ""
    return reason.removeprefix(jobs.UNREADABLE) if reason.startswith(jobs.UNREADABLE) else None


def _failed(number: int, error: VisionError) -> DocumentPage:
    return DocumentPage(number=number, width=0, height=0, ocr_reason=f"{jobs.UNREADABLE}{error.message}")


def _known(page: DocumentPage) -> jobs.KnownPage:
    return jobs.KnownPage(number=page.number, lines=tuple((line.text, line.box) for line in page.text_content.lines))


def spec(numbers: Sequence[int]) -> str:
    """The numbers as a spec of pages, runs together."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
