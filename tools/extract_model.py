"""What a model adds to an extraction: values from the pages it is shown, as JSON under the caller's schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyio import to_thread

from tools.asking import Spoken, try_to_ask
from tools.document_model import Room, Shows, most_pages, prompt_pages, show
from tools.result import SourceFacts
from vision.call import Call
from vision.engine.choice import Choice
from vision.extraction.answers import join
from vision.extraction.found import Filling
from vision.prompts.extract import TILES, extract
from vision.prompts.prompt import Prompt
from vision.reading import ReadPage
from vision.schema.holding import held_schema, said_values
from vision.schema.shape import Node, phrases
from vision.seen import Media
from vision.service import VisionService
from vision.types import Box

_ROOM = Room(with_picture=(1_200, 0.25), alone=(3_000, 0.6))


@dataclass(frozen=True)
class Extracted:
    """`filling`: None where the model gave nothing."""

    spoken: Spoken
    filling: Filling | None = None


async def show_best(
    service: VisionService,
    media: Media,
    call: Call,
    reads: Sequence[ReadPage],
    node: Node,
    *,
    password: str | None,
    region: Box | None,
) -> Shows:
    """The pages that speak most of what is wanted, as pictures, as many as the model takes."""
    best = _best(reads, node, most_pages(await service.engine.choice()))
    if media.kind.kind != "image":
        return await show(service, media, call, best, password)
    pictures = [
        await service.shown(await service.picture(media, call, page=read.page.number, region=region), call)
        for read in best
    ]
    return Shows(tuple(best), tuple(pictures))


def _best(reads: Sequence[ReadPage], node: Node, most: int) -> list[ReadPage]:
    words = {word for phrase in phrases(node) for word in phrase.casefold().replace("_", " ").split() if len(word) > 1}

    def score(read: ReadPage) -> int:
        text = read.page.markdown.casefold()
        return sum(word in text for word in words)

    best = sorted(reads, key=lambda read: (-score(read), read.place))[:most]
    return sorted(best, key=lambda read: read.place)


async def extracted(
    service: VisionService,
    call: Call,
    shows: Shows,
    node: Node,
    read: Filling,
    reads: Sequence[ReadPage],
    facts: SourceFacts,
) -> Extracted:
    """Asks for the values under the schema. Where the model fails, what was found without it stands, with a notice."""
    choice = await service.engine.choice()
    spoken = await try_to_ask(service, call, _prompt(service, choice, shows, node), [facts])
    if spoken.said is None or spoken.said.text is None:
        return Extracted(spoken)
    try:
        said = said_values(spoken.said.text)
    except ValueError:
        return Extracted(spoken.without_text().noting("The model's answer was no JSON: it is left out."))
    lines = [line for one in (*shows.reads, *reads) for line in one.page.text_content.lines]
    page = shows.reads[0].page.number if len(shows.reads) == 1 else None
    whole = spoken.said.finish == "stop"

    def joined() -> Filling:
        return join(node, read, said, lines, page, whole=whole)

    return Extracted(spoken.without_text(), await to_thread.run_sync(joined))


def _prompt(service: VisionService, choice: Choice, shows: Shows, node: Node) -> Prompt:
    def text(read: ReadPage) -> str:
        return read.page.markdown or read.page.text

    pages, tiles = prompt_pages(service, choice, shows, _ROOM, TILES, str(held_schema(node)), text)
    return extract(pages, node, tiles)
