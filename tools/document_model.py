"""What a model adds to a document: an answer from the pages that fit the question, and the text of pages that OCR could
not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.asking import Spoken, ask
from tools.common import poorly_read
from tools.paging import estimate_tokens, split_text
from tools.result import SourceFacts
from vision.call import Call
from vision.engine.choice import Choice
from vision.errors import VisionError
from vision.prompts.documents import TILES, ask_pages, transcribe_page, without_fence
from vision.reading import ReadPage
from vision.seen import Media, Shown
from vision.service import VisionService

# Pages shown for one question. Four pages of nine tiles are about 10,000 tokens, and on a CPU one page is all the time.
_MOST_PAGES, _MOST_PAGES_CPU = 4, 1
# Each comes with its text, which takes a fifth of a small context at most.
_PAGE_TEXT_TOKENS, _TEXT_SHARE = 800, 0.2
MOST_TRANSCRIBED = 4
# A page is transcribed only when so much is left for the reply.
_LEAST_S = 5.0
_WORD = re.compile(r"[^\W_]{3,}|[\u3400-\u9fff]")


@dataclass(frozen=True)
class Shows:
    """Pages and their pictures, to be asked about when the source is closed again."""

    reads: tuple[ReadPage, ...]
    pictures: tuple[Shown, ...]


async def show(
    service: VisionService, media: Media, call: Call, reads: Sequence[ReadPage], password: str | None
) -> Shows:
    numbers = tuple(read.page.number for read in reads)
    pictures = [shown async for _, shown in service.page_pictures(media, call, numbers, password=password)]
    return Shows(tuple(reads), tuple(pictures))


def poor_pages(reads: Sequence[ReadPage]) -> list[ReadPage]:
    """Pages that the recogniser was at a loss with."""
    return [read for read in reads if read.page.source == "ocr" and poorly_read(read.page.text_content)]


async def transcribed(service: VisionService, call: Call, poor: Shows) -> tuple[dict[int, ReadPage], list[str]]:
    """The poor pages as the model reads them, by number, as far as the time goes; and notices."""
    tiles = service.engine.tiles(await service.engine.choice(), TILES)
    done: dict[int, ReadPage] = {}
    for read, shown in zip(poor.reads, poor.pictures, strict=True):
        if done and call.left_s < _LEAST_S:
            return done, [f"{len(poor.reads) - len(done)} pages of poor OCR were not transcribed, for want of time."]
        number = read.page.number
        try:
            said = await service.engine.ask(call, transcribe_page(shown.part, tiles))
        except VisionError as error:
            return done, [f"The model failed on page {number}: {error.message}. {error.hint}"]
        if said.text is None or said.finish != "stop":
            return done, [f"The model did not come to the end of page {number}: {' '.join(said.notices)}"]
        text = without_fence(said.text)
        reason = f"{read.page.ocr_reason}; the recogniser read little of it, so the model transcribed it"
        page = read.page.model_copy(update={"markdown": text, "text": text, "ocr_reason": reason})
        done[number] = ReadPage(read.place, read.total, read.page_count, read.title, page, read.scale)
    return done, []


def pages_for(choice: Choice, reads: Sequence[ReadPage], question: str) -> list[ReadPage]:
    """The pages that are shown to the model for a question."""
    model = choice.model
    most = _MOST_PAGES_CPU if model is not None and model.device == "cpu" else _MOST_PAGES
    if model is not None and model.max_pictures is not None:
        most = min(most, max(1, model.max_pictures))
    return fitting_pages(reads, question, most)


async def ask_about(service: VisionService, call: Call, shows: Shows, question: str, facts: SourceFacts) -> Spoken:
    """The answer from pages that are shown to the model with their text."""
    choice = await service.engine.choice()
    context = 0 if choice.model is None else choice.model.context - service.settings.max_answer_tokens
    tokens = min(_PAGE_TEXT_TOKENS, int(_TEXT_SHARE * context / len(shows.reads)))
    pages = [
        (read.page.number, picture.part, split_text(read.page.text or read.page.markdown, tokens)[0])
        for read, picture in zip(shows.reads, shows.pictures, strict=True)
    ]
    words = estimate_tokens(question) + tokens * len(pages)
    tiles = service.engine.tiles(choice, TILES, len(pages), words)
    spoken = await ask(service, call, ask_pages(pages, question, tiles), [facts])
    if not spoken.seen or len(pages) == shows.reads[0].page_count:
        return spoken
    numbers = ", ".join(str(number) for number, _, _ in pages)
    where = f"The model was shown page{'s' if len(pages) > 1 else ''} {numbers}, which fit the question best."
    return spoken.noting(f"{where} Name others with `pages`.")


def fitting_pages(reads: Sequence[ReadPage], question: str, most: int) -> list[ReadPage]:
    """The pages that hold most of the question's words, in their order; the first ones where none holds any."""
    words = {word.casefold() for word in _WORD.findall(question)}

    def score(read: ReadPage) -> int:
        text = f"{read.page.text} {read.page.markdown}".casefold()
        return sum(word in text for word in words)

    best = sorted(reads, key=lambda read: (-score(read), read.place))[:most]
    return sorted(best, key=lambda read: read.place)
