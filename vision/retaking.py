"""What a conversation is about, opened again: in another process perhaps, under the access policy of today."""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncGenerator, Container, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from vision.access.opened import this_host
from vision.access.source import ClipboardSource, DataSource, FileSource, Source, parse_source
from vision.call import Call, Digest
from vision.chat.types import ImagePart, Message, Origin
from vision.conversations import Conversation
from vision.errors import SourceUnreadable, VisionError
from vision.prompts.video import Frame
from vision.seen import Media, changed
from vision.service import VisionService

# A frame is looked for in so much of the video: less than the time to the next one at 400 frames a second.
_MOMENT_S = 0.002


def for_later(
    service: VisionService, call: Call, arguments: Mapping[str, Any], seen: Container[str]
) -> tuple[dict[str, Any], dict[str, Digest]]:
    """A call's arguments for later, what was on the clipboard in the place of the word for it; and what each source
    held that was `seen`, by its sha256, and is not in them itself. Some of several may have failed.
    """
    sources = [_lasting(service, call, source) for source in sources_of(arguments)]
    held = {source: call.opened[source] for source in sources if source in call.opened}
    return _with_sources(arguments, sources), {
        source: digest
        for source, digest in held.items()
        if digest.sha256 in seen and not isinstance(_parsed(source), DataSource)
    }


def _lasting(service: VisionService, call: Call, source: str) -> str:
    seen = call.opened.get(source)
    data = service.from_clipboard(seen.sha256) if seen and isinstance(_parsed(source), ClipboardSource) else None
    return source if data is None else f"data:;base64,{base64.b64encode(data).decode()}"


def sources_of(arguments: Mapping[str, Any]) -> list[str]:
    """The sources that a tool's arguments name."""
    return [arguments["source"]] if "source" in arguments else list(arguments.get("sources", ()))


def arguments_here(service: VisionService, call: Call, conversation: Conversation) -> dict[str, Any]:
    """The arguments that it began with, as this call would write them: relative names start at its own folder."""
    here = _Here(service, call, conversation)
    return _with_sources(conversation.arguments, [here.place(source) for source in sources_of(conversation.arguments)])


def expecting(service: VisionService, call: Call, conversation: Conversation) -> Call:
    """The call, for which a source of the conversation that has changed is an error."""
    here = _Here(service, call, conversation)
    return replace(call, expects={here.place(source): digest for source, digest in conversation.digests.items()})


async def unchanged(service: VisionService, call: Call, arguments: Mapping[str, Any]) -> None:
    """Raises where one of several sources has changed from what the call expects, or is gone: a tool that is given
    several would do without it.
    """
    for place in call.expects if len(sources_of(arguments)) > 1 else ():
        with await service.open(place, call):
            await call.progress(0, None, "looking whether what was seen is still there")


async def messages_again(service: VisionService, call: Call, conversation: Conversation) -> tuple[Message, ...]:
    """The conversation's messages, with the pictures that it holds by reference taken again.

    Files that another process saw must be there and the same, and may be read now, also where what was seen of them
    was kept; addresses are fetched only where it was not. Raises what opening and decoding raise, SourceUnreadable for
    what has changed.
    """
    if not conversation.from_disk:
        return conversation.messages
    here = _Here(service, call, conversation)
    call = expecting(service, call, conversation)
    wanted: dict[str, list[Origin]] = {
        here.place(source): [] for source in conversation.digests if isinstance(_parsed(source), FileSource)
    }
    for part in _references(conversation):
        wanted.setdefault(here.place(part.source), []).append(part)
    taken: dict[Origin, ImagePart] = {}
    for place, origins in wanted.items():
        with await service.open(place, call) as media:
            async with aclosing(_take(service, media, call, origins)) as pictures:
                async for origin, picture in pictures:
                    taken[origin] = picture.model_copy(update={"origin": origin})
                    await call.progress(len(taken), None, "looking at what was seen before")
    return tuple(_filled(message, taken) for message in conversation.messages)


class _Here:
    """Where a conversation's sources are for this call."""

    def __init__(self, service: VisionService, call: Call, conversation: Conversation) -> None:
        self._folder = conversation.folder
        self._same = self._folder == (call.working_directory or service.working_directory)

    def place(self, source: str) -> str:
        parsed = _parsed(source)
        if self._same or not isinstance(parsed, FileSource):
            return source
        path = parsed.candidates[-1]
        return source if Path(path).is_absolute() else str(self._folder / path)


def _parsed(source: str) -> Source | None:
    """None for what cannot be meant, or is never opened: one of several sources may be so."""
    try:
        return parse_source(source, this_host())
    except VisionError:
        return None


def _with_sources(arguments: Mapping[str, Any], sources: list[str]) -> dict[str, Any]:
    if not sources:
        return dict(arguments)
    return {**arguments, "source": sources[0]} if "source" in arguments else {**arguments, "sources": sources}


def _references(conversation: Conversation) -> Iterator[Origin]:
    for message in conversation.messages:
        for part in message.parts:
            if isinstance(part, ImagePart) and part.origin is not None and not part.data:
                yield part.origin


async def _take(
    service: VisionService, media: Media, call: Call, origins: Sequence[Origin]
) -> AsyncGenerator[tuple[Origin, ImagePart]]:
    for origin in origins:
        if origin.sha256 != media.opened.sha256:
            raise changed(media.opened.name)
        if origin.time_s is not None:
            yield origin, await _frame(service, media, call, origin.time_s)
        elif media.kind.kind == "document":
            pages = service.page_pictures(media, call, (origin.page,), password=None)
            async with aclosing(pages):
                async for _, shown in pages:
                    yield origin, shown.part
        else:
            picture = await service.picture(media, call, page=origin.page, region=origin.region)
            yield origin, (await service.shown(picture, call)).part


async def _frame(service: VisionService, media: Media, call: Call, time_s: float) -> ImagePart:
    events = service.watch(
        media, call, start_s=time_s, end_s=time_s + _MOMENT_S, max_frames=1, keep_s=math.inf, spread=1
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Frame):
                return event.picture
    raise SourceUnreadable(
        f"the frame at {time_s:.2f} s of {media.opened.name} could not be decoded again",
        "Ask about the video again with analyze_video.",
    )


def _filled(message: Message, taken: Mapping[Origin, ImagePart]) -> Message:
    parts = [
        taken[part.origin] if isinstance(part, ImagePart) and part.origin is not None and not part.data else part
        for part in message.parts
    ]
    return message.model_copy(update={"parts": tuple(parts)})
