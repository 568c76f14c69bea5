"""Answering a question from a document of any length: the pages that matter are found, the model is shown these alone.

Where they are found: by the question's words, in the text of all pages; among pages that are pictures by showing the
model a small picture of each. Where the pages shown do not hold the answer, the next best are shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import anyio

from tools.asking import Spoken
from tools.document_model import Shows, ask_about, most_pages, show
from tools.result import SourceFacts
from vision.call import Call
from vision.engine.choice import Choice
from vision.errors import DamagedMedia, VisionError
from vision.media.sniff import OFFICE_FORMATS
from vision.prompts.documents import ask_pages, is_refusal
from vision.reading import ReadPage
from vision.seen import Shown, changed
from vision.service import VisionService
from vision.whole import Searched, Whole

# Of the time that is left: for reading pages that have no text, and for looking at small pictures of them.
_READ_SHARE, _MOST_READ_S, _SIFT_SHARE = 0.3, 60.0, 0.5
# The words of a page that hold so much of what the question's words tell are taken for what it asks about.
_DECISIVE = 0.6
_MOST_ROUNDS = 3
_MOST_SIFTED, _SIFTED_AT_ONCE = 100, 4
# A small picture: one tile of 448 pixels a side.
_THUMBNAIL_PIXELS = 448 * 448
MOST_PASSAGES = 12


@dataclass(frozen=True)
class Question:
    """`words`: to look for in place of the question's own. `pages`: those that it may be answered from."""

    text: str
    source: str
    words: str | None = None
    pages: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Answered:
    """`shown`: pages that the model was shown with their text, all rounds of them; `in_document`: None where it is not
    known, since not everything could be looked at.
    """

    spoken: Spoken
    shown: tuple[ReadPage, ...]
    in_document: bool | None
    notices: tuple[str, ...]


@asynccontextmanager
async def opened(service: VisionService, call: Call, question: Question, sha256: str) -> AsyncIterator[Whole]:
    """The document once more, after the model was asked: only so many may be open, and a model takes its time."""
    with await service.open(question.source, call) as media:
        if media.opened.sha256 != sha256:
            raise changed(media.opened.name)
        yield Whole(service, media, call, question.password)


async def look_for(whole: Whole, question: Question) -> Searched:
    """Where the question's words are."""
    call = whole.call
    return await whole.search(
        question.words or question.text,
        is_question=question.words is None,
        pages=question.pages,
        most=MOST_PASSAGES,
        read_s=min(_MOST_READ_S, _READ_SHARE * call.left_s),
    )


async def read_shown(whole: Whole, numbers: list[int]) -> Shows:
    """These pages, their text and their pictures; those that cannot be read are left out."""
    reads = await whole.beside_pictures(numbers)
    return await show(whole.service, whole.media, whole.call, reads, whole.password)


@dataclass(frozen=True)
class Prepared:
    """What the model is asked about first: pages, or small pictures of pages to choose from."""

    shows: Shows | None = None
    thumbnails: tuple[tuple[int, Shown], ...] = ()


class Answering:
    """One question, from the pages found to the answer. `prepare` while the document is open, `answer` after that."""

    def __init__(
        self, service: VisionService, call: Call, choice: Choice, question: Question, searched: Searched
    ) -> None:
        self._service, self._call, self._question, self._searched = service, call, question, searched
        self._most = most_pages(choice)
        self._order = self._ranked()
        self._seen: set[int] = set()
        self._notices: list[str] = []

    async def prepare(self, whole: Whole) -> Prepared:
        """Pages that hold the question's words come first; where none does, those that are pictures are sifted."""
        decided = any(hit.covered >= _DECISIVE for hit in self._searched.found.hits)
        pictures = [] if decided else self._pictures(whole)
        if pictures:
            return Prepared(thumbnails=await self._thumbnails(whole, pictures))
        return Prepared(shows=await self._show(whole))

    async def answer(self, prepared: Prepared, facts: SourceFacts) -> Answered:
        """Asks until the pages shown hold the answer: a few rounds, and the pictures where it was not in the text."""
        shown: list[ReadPage] = []
        spoken: Spoken | None = None
        shows, thumbnails = prepared.shows, prepared.thumbnails
        for _ in range(_MOST_ROUNDS):
            if thumbnails:
                picked = await self._sift(thumbnails)
                self._order = [*picked, *(number for number in self._order if number not in picked)]
            if shows is None:
                async with self._opened(facts.sha256) as whole:
                    shows = await self._show(whole)
            if shows.reads:
                shown += shows.reads
                spoken = await ask_about(self._service, self._call, shows, self._question.text, facts)
                if spoken.text is None or not is_refusal(spoken.text):
                    break
            shows, thumbnails = None, ()
            if not self._order:
                async with self._opened(facts.sha256) as whole:
                    thumbnails = await self._thumbnails(whole, self._pictures(whole))
                if not thumbnails:
                    break
        return self._answered(spoken, shown)

    def _opened(self, sha256: str) -> AbstractAsyncContextManager[Whole]:
        return opened(self._service, self._call, self._question, sha256)

    def _ranked(self) -> list[int]:
        """The pages to show, best first: all of a short document in their order, else those that hold the words, else
        its beginning.
        """
        numbers = self._searched.numbers
        if len(numbers) <= self._most:
            return list(numbers)
        ranked = list(dict.fromkeys(hit.page for hit in self._searched.found.hits))
        return ranked or [number for number in numbers if number not in dict(self._searched.failed)][: self._most]

    async def _show(self, whole: Whole) -> Shows:
        """The next pages, read and as pictures."""
        numbers, self._order = self._order[: self._most], self._order[self._most :]
        self._seen.update(numbers)
        return await read_shown(whole, numbers) if numbers else Shows((), ())

    def _pictures(self, whole: Whole) -> list[int]:
        """Pages not seen yet that are pictures, and may be what the question is about."""
        if whole.media.kind.format in OFFICE_FORMATS:
            return []
        wanted = {*self._searched.unread, *self._searched.sparse} - self._seen
        return [number for number in self._searched.numbers if number in wanted][:_MOST_SIFTED]

    async def _thumbnails(self, whole: Whole, numbers: Sequence[int]) -> tuple[tuple[int, Shown], ...]:
        if not numbers:
            return ()
        pictures = self._service.page_pictures(
            whole.media, self._call, tuple(numbers), password=whole.password, max_pixels=_THUMBNAIL_PIXELS
        )
        return tuple([(number, shown) async for number, shown in pictures])

    async def _sift(self, thumbnails: Sequence[tuple[int, Shown]]) -> list[int]:
        """The pages from whose small pictures the model can answer, in their order."""
        silent = replace(self._call, progress=_silent)
        until_s = self._call.elapsed_s + _SIFT_SHARE * self._call.left_s
        left = list(reversed(thumbnails))
        holding: set[int] = set()

        async def look() -> None:
            while left and self._call.elapsed_s < until_s:
                number, shown = left.pop()
                prompt = ask_pages([(number, shown.part, "")], self._question.text, 1)
                try:
                    said = await self._service.engine.ask(silent, prompt, share=_SIFT_SHARE)
                except VisionError as error:
                    self._notices.append(f"The model failed on the small picture of page {number}: {error.message}.")
                    return
                self._seen.add(number)
                if said.text and not is_refusal(said.text):
                    holding.add(number)
                done = len(thumbnails) - len(left)
                await self._call.progress(done, len(thumbnails), f"{done} of {len(thumbnails)} pages looked at")

        async with anyio.create_task_group() as group:
            for _ in range(_SIFTED_AT_ONCE):
                group.start_soon(look)
        return [number for number, _ in thumbnails if number in holding]

    def _answered(self, spoken: Spoken | None, shown: Sequence[ReadPage]) -> Answered:
        if spoken is None:
            raise DamagedMedia("none of the pages that fit the question can be read", "Name other pages in `pages`.")
        numbers = [read.page.number for read in shown]
        total = len(self._searched.numbers)
        if spoken.seen and len(numbers) < total:
            names = ", ".join(map(str, numbers))
            where = f"The model was shown page{'s' if len(numbers) > 1 else ''} {names}, which fit the question best."
            self._notices.append(f"{where} Name others with `pages`.")
        in_document: bool | None = not is_refusal(spoken.text) if spoken.text else None
        unseen = [number for number in self._searched.unread if number not in self._seen]
        if in_document is False and unseen:
            in_document = None
            self._notices.append(
                f"{len(unseen)} pages were not looked at, from page {unseen[0]} on: name them in `pages`."
            )
        elif in_document is False:
            self._notices.append(f"Not in this document, as far as a search of its {total} pages tells.")
        return Answered(spoken, tuple(shown), in_document, tuple(self._notices))


async def _silent(done: float, total: float | None, message: str) -> None:
    """The pages looked at are counted instead."""
