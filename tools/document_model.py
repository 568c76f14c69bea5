"""What a model adds to a document: the text of pages that OCR could not read, and answers from pages it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.asking import Spoken, ask
from tools.common import poorly_read
from tools.paging import estimate_tokens, split_text
from tools.result import SourceFacts
from vision.call import Call
from vision.chat.types import ImagePart
from vision.engine.choice import Choice
from vision.errors import VisionError
from vision.media.sniff import OFFICE_FORMATS
from vision.prompts.documents import TILES, ask_pages, transcribe_page, without_fence
from vision.prompts.prompt import Prompt
from vision.reading import ReadPage
from vision.seen import Media, Shown
from vision.service import VisionService

# Pages shown for one question. Four pages of nine tiles are about 10,000 tokens, and on a CPU one page is all the time.
_MOST_PAGES, _MOST_PAGES_CPU = 4, 1
# Each comes with its text, which takes a fifth of a small context at most.
_WITH_PICTURE = (800, 0.2)
# Without a picture the text is all there is.
_ALONE = (2_000, 0.6)
MOST_TRANSCRIBED = 4
# A page is transcribed only when so much is left for the reply.
_LEAST_S = 5.0


@dataclass(frozen=True)
class Room:
    """What a page's text may take: tokens, and the share of the model's context for all pages together."""

    with_picture: tuple[int, float]
    alone: tuple[int, float]


_ROOM = Room(_WITH_PICTURE, _ALONE)


@dataclass(frozen=True)
class Shows:
    """Pages and their pictures, to be asked about when the source is closed again; no pictures where it has none."""

    reads: tuple[ReadPage, ...]
    pictures: tuple[Shown | None, ...]


async def show(
    service: VisionService, media: Media, call: Call, reads: Sequence[ReadPage], password: str | None
) -> Shows:
    numbers = tuple(read.page.number for read in reads)
    if media.kind.format in OFFICE_FORMATS:
        return Shows(tuple(reads), (None,) * len(numbers))
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
        assert shown is not None  # only pages with pictures are read by OCR
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


def most_pages(choice: Choice) -> int:
    """How many pages the model is shown at once."""
    model = choice.model
    most = _MOST_PAGES_CPU if model is not None and model.device == "cpu" else _MOST_PAGES
    if model is not None and model.max_pictures is not None:
        most = min(most, max(1, model.max_pictures))
    return most


async def ask_about(service: VisionService, call: Call, shows: Shows, question: str, facts: SourceFacts) -> Spoken:
    """The answer from pages that are shown to the model with their text."""
    prompt = _prompt(service, await service.engine.choice(), shows, question)
    return await ask(service, call, prompt, [facts])


def _prompt(service: VisionService, choice: Choice, shows: Shows, question: str) -> Prompt:
    def text(read: ReadPage) -> str:
        return read.page.text or read.page.markdown

    pages, tiles = prompt_pages(service, choice, shows, _ROOM, TILES, question, text)
    return ask_pages(pages, question, tiles)


def prompt_pages(
    service: VisionService,
    choice: Choice,
    shows: Shows,
    room: Room,
    most_tiles: int,
    asked: str,
    text: Callable[[ReadPage], str],
) -> tuple[list[tuple[int, ImagePart | None, str]], int]:
    """The pages of a prompt, each with its number, its picture if there is one, and what of its text has room; and the
    tiles that a picture gets beside them and what is `asked`.
    """
    context = 0 if choice.model is None else choice.model.context - service.settings.max_answer_tokens
    pictures = sum(picture is not None for picture in shows.pictures)
    each, share = room.with_picture if pictures else room.alone
    tokens = min(each, int(share * context / len(shows.reads)))
    pages = [
        (read.page.number, picture and picture.part, split_text(text(read), tokens)[0])
        for read, picture in zip(shows.reads, shows.pictures, strict=True)
    ]
    words = estimate_tokens(asked) + tokens * len(pages)
    return pages, service.engine.tiles(choice, most_tiles, pictures, words) if pictures else 1
