"""Pages to read, whatever they come from: documents with a text layer, scans, pictures, multi-page TIFFs."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from vision.call import Call
from vision.errors import InvalidArgument, VisionError
from vision.media.document_composing import composing
from vision.media.document_pages import DocumentPage, page_from_ocr, parse_pages
from vision.seen import Media, Picture
from vision.service import VisionService
from vision.types import Box, PageText
from vision.workers.jobs import DocumentItem


@dataclass(frozen=True)
class ReadPage:
    """A page as read, at `place` of `total` chosen ones. Sizes and boxes are pixels where the source is a picture.

    `scale` is below 1 where a very large picture was made smaller before it was read.
    """

    place: int
    total: int
    page_count: int
    title: str | None
    page: DocumentPage
    scale: float = 1.0


async def read_pages(
    service: VisionService,
    media: Media,
    call: Call,
    *,
    output: Literal["markdown", "text"],
    pages: str | None = None,
    region: Box | None = None,
    after: int = 0,
    password: str | None = None,
) -> AsyncGenerator[ReadPage]:
    """The chosen pages from place `after` on, each read when the consumer asks for it.

    Raises InvalidArgument (pages, region), UnsupportedMedia (video), and what decoding raises.
    """
    if media.kind.kind == "document":
        if region is not None:
            raise InvalidArgument("region works on pictures, not on documents", "Leave region out, or choose pages.")
        document = service.document(media, call, output=output, pages=pages, after=after, password=password)
        async with document as items, aclosing(_side_by_side(service, media, items)) as reading:
            async for read in reading:
                yield read
        return
    # The number of pages comes with the first one decoded: best one that is asked for.
    wanted = re.match(r"\s*(\d{1,6})", pages or "")
    known = max(1, int(wanted[1])) if wanted else 1
    first = await service.picture(media, call, page=known, region=region)
    # All pages of a TIFF are pages; the frames of an animation are read only when asked for.
    numbers = parse_pages(pages or "", first.info.pages) if media.kind.format == "tiff" or pages else (1,)
    for place, number in list(enumerate(numbers))[after:]:
        picture = first if number == known else await service.picture(media, call, page=number, region=region)
        page = await _picture_page(service, picture, number, paper=media.kind.format == "tiff")
        yield ReadPage(place, len(numbers), picture.info.pages, None, page, picture.info.scale)


async def _side_by_side(
    service: VisionService, media: Media, items: AsyncIterator[tuple[DocumentItem, bytearray]]
) -> AsyncGenerator[ReadPage]:
    """The pages in order, as many read at a time as there are recognisers; those not asked for are given up.

    Plain asyncio tasks, not a task group: a generator may not hold one across a yield.
    """
    reading: deque[asyncio.Task[ReadPage]] = deque()
    try:
        async for item, pixels in items:
            reading.append(asyncio.create_task(_read_if_needed(service, media, item, pixels)))
            if len(reading) >= service.settings.readers:
                yield await reading.popleft()
        while reading:
            yield await reading.popleft()
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _read_if_needed(service: VisionService, media: Media, item: DocumentItem, pixels: bytearray) -> ReadPage:
    page = item.page
    if item.raster is not None:
        steps = composing(page, item.scale, (item.raster.width, item.raster.height))
        part = next(steps)
        failed: list[str] = []
        while True:
            try:
                read = await service.read_page_raster(media, item, pixels, part)
            except VisionError as error:
                if page.checked is not None or not page.pictures:
                    raise
                # The text layer stands, whatever becomes of the pictures on the page.
                failed.append(error.message)
                read = PageText()
            try:
                part = steps.send(read)
            except StopIteration as done:
                page = done.value
                break
        if failed:
            said = f"{len(failed)} picture{'' if len(failed) == 1 else 's'} on it could not be read: {failed[0]}"
            page = page.model_copy(update={"ocr_reason": f"{page.ocr_reason}; {said}" if page.ocr_reason else said})
    return ReadPage(item.place, item.total, item.page_count, item.title or None, page)


async def _picture_page(service: VisionService, picture: Picture, number: int, *, paper: bool) -> DocumentPage:
    page = DocumentPage(
        number=number,
        width=picture.info.width,
        height=picture.info.height,
        needs_ocr=True,
        ocr_reason="a picture has no text layer",
    )
    return page_from_ocr(page, await service.read_text(picture, page=number), 1.0, paper=paper)
