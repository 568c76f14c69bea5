"""The decoders' side of the jobs: pictures, documents and video become values and RGB rasters."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from vision.errors import DamagedMedia, LimitExceeded, SourceNotFound
from vision.media.document_facts import DocumentFacts, Metadata
from vision.media.document_pages import DocumentPage, parse_pages
from vision.media.sniff import OFFICE_FORMATS, MediaKind
from vision.workers import jobs
from vision.workers.child import Handler, Input, Output

if TYPE_CHECKING:
    from vision.media.document_whole import WholeDocument
    from vision.media.images import LoadedImage
    from vision.media.picture_facts import PictureFacts
    from vision.media.video import SeenFrame, VideoEvent

_DocumentJob = jobs.DocumentParams | jobs.FactsParams | jobs.SearchParams | jobs.PagePicturesParams
# A search tells how far it is after so many pages: that also shows that it is not stuck.
_TOLD_EVERY = 50
_PNG_LEVEL = 1  # the pictures go to a process beside this one: time counts more than size


def handlers(threads: int) -> dict[str, Handler]:
    return {
        jobs.PICTURE.name: picture,
        jobs.DOCUMENT.name: document,
        jobs.FACTS.name: facts,
        jobs.SEARCH.name: search,
        jobs.PAGE_PICTURES.name: page_pictures,
        jobs.PNG.name: png,
        jobs.RESIZE.name: resize,
        jobs.VIDEO.name: video,
    }


def picture(work: Input) -> Iterator[Output]:
    from vision.media.images import load_image

    params: jobs.PictureParams = work.params
    loaded = load_image(
        _file(work),
        MediaKind("image", params.format),
        page=params.page,
        region=params.region,
        max_pixels=params.max_pixels,
        max_side=params.max_side,
    )
    item = jobs.PictureItem(
        width=loaded.width,
        height=loaded.height,
        pages=loaded.pages,
        raster=_raster(loaded.rgb),
        scale=loaded.scale,
        origin=(loaded.region[0], loaded.region[1]),
        facts=_measured(loaded) if params.measure else None,
    )
    yield Output(item, _bytes(loaded.rgb))


def _measured(loaded: LoadedImage) -> PictureFacts:
    from vision.media.measure import measure

    origin = (float(loaded.region[0]), float(loaded.region[1]))
    return measure(loaded.rgb, scale=loaded.scale, origin=origin, transparent_share=loaded.transparent_share)


def document(work: Input) -> Iterator[Output]:
    from vision.media.documents import OCR_DPI

    params: jobs.DocumentParams = work.params
    with _opened(work, params) as opened:
        numbers = parse_pages(params.pages or "", opened.page_count)
        read, failed = 0, None
        for place, number in list(enumerate(numbers))[params.after :]:
            try:
                page = opened.read_page(number, format=params.output)
                drawn = page.needs_ocr and not params.text_only
                rendered = opened.render(number, dpi=OCR_DPI, max_pixels=params.max_pixels) if drawn else None
            except (DamagedMedia, LimitExceeded, SourceNotFound) as e:
                failed, rendered = failed or e, None
                page = DocumentPage(number=number, width=0, height=0, ocr_reason=f"{jobs.UNREADABLE}{e.message}")
            else:
                read += 1
            item = jobs.DocumentItem(
                place=place, total=len(numbers), page_count=opened.page_count, title=opened.info.title, page=page
            )
            if rendered is None:
                yield Output(item)
                continue
            raster = {"raster": _raster(rendered.pixels), "scale": rendered.scale}
            yield Output(item.model_copy(update=raster), _bytes(rendered.pixels))
        if failed is not None and not read:
            raise failed  # with nothing to show for it, one damaged page is the answer


def facts(work: Input) -> Iterator[Output]:
    params: jobs.FactsParams = work.params
    with _opened(work, params) as opened:
        # First what costs nothing, in case the rest costs the process.
        metadata = opened.info
        yield Output(DocumentFacts(page_count=opened.page_count, metadata=Metadata(title=metadata.title or None)))
        yield Output(opened.facts())


def search(work: Input) -> Iterator[Output]:
    from vision.search.hits import LONG, SHORT, found
    from vision.search.passages import Line
    from vision.search.ranking import Ranking
    from vision.search.words import query, question

    params: jobs.SearchParams = work.params
    ranking = Ranking(question(params.text) if params.question else query(params.text))
    known = {page.number: [Line(text, box) for text, box in page.lines] for page in params.known}
    unread: list[int] = []
    sparse: list[int] = []
    failed: list[tuple[int, str]] = []
    with _opened(work, params) as opened:
        numbers = parse_pages(params.pages or "", opened.page_count)
        for at, one in enumerate(opened.look_through(numbers, known, ranking), 1):
            unread += [one.number] if one.unread else []
            sparse += [one.number] if one.sparse else []
            failed += [(one.number, one.failed)] if one.failed is not None else []
            if at % _TOLD_EVERY == 0 and at < len(numbers):
                yield Output(jobs.SearchItem(looked=at, total=len(numbers)))
    result = found(ranking, params.first, params.most, LONG if params.question else SHORT)
    done = jobs.SearchItem(
        looked=len(numbers),
        total=len(numbers),
        found=result,
        unread=tuple(unread),
        sparse=tuple(sparse),
        failed=tuple(failed),
    )
    yield Output(done)


def page_pictures(work: Input) -> Iterator[Output]:
    params: jobs.PagePicturesParams = work.params
    with _opened(work, params) as opened:
        for number in params.pages:
            rendered = opened.render(number, dpi=params.dpi, max_pixels=params.max_pixels)
            yield Output(jobs.PagePictureItem(number=number, box=rendered.region), _png(rendered.pixels))


def _opened(work: Input, params: _DocumentJob) -> AbstractContextManager[WholeDocument]:
    """The document, by whatever reads its kind."""
    if params.format in OFFICE_FORMATS:
        from vision.media.office import open_office

        return open_office(_file(work), params.format, max_pages=params.max_pages)
    from vision.media.document_whole import open_paged

    return open_paged(_file(work).read(), password=params.password, max_pages=params.max_pages)


def png(work: Input) -> Iterator[Output]:
    params: jobs.PngParams = work.params
    rgb = np.frombuffer(work.blob, np.uint8).reshape(params.raster.height, params.raster.width, 3)
    yield Output(jobs.PngItem(), _png(rgb))


def resize(work: Input) -> Iterator[Output]:
    from PIL import Image
    from PIL.PngImagePlugin import PngImageFile

    params: jobs.ResizeParams = work.params
    with PngImageFile(io.BytesIO(work.blob)) as whole:
        resized = whole.convert("RGB").resize((params.width, params.height), Image.Resampling.BICUBIC)
    yield Output(jobs.PngItem(), _png(np.asarray(resized)))


def _png(rgb: np.ndarray) -> bytes:
    from PIL import Image
    from PIL.PngImagePlugin import PngImageFile  # registers the format without Pillow's other plugins

    packed = io.BytesIO()
    Image.fromarray(rgb).save(packed, PngImageFile.format, compress_level=_PNG_LEVEL)
    return packed.getvalue()


def video(work: Input) -> Iterator[Output]:
    from vision.media.video import SeenFrame, VideoLimits, probe, watch

    params: jobs.VideoParams = work.params
    limits = VideoLimits(max_pixels=params.max_pixels, seconds=params.budget_s, max_text_frames=params.max_frames)
    yield Output(jobs.VideoItem(facts=probe(_file(work), limits)))
    own_time = _OwnTime()
    frames = 0
    # Evenly spread frames are for a model; text is read on the frames where the picture changes.
    events = watch(
        _file(work), start_s=params.start_s, end_s=params.end_s, max_frames=max(1, params.spread), limits=limits,
        clock=own_time.clock,
    )  # fmt: skip
    for event in events:
        if isinstance(event, SeenFrame):
            if event.why == "uniform" and not params.spread:
                continue
            if event.why == "uniform":
                output = Output(jobs.VideoItem(spread_s=event.time_s), _png(event.image))
            else:
                frames += 1
                output = _frame(event, within=frames <= params.max_frames)
        else:
            output = Output(_video_item(event))
        with own_time.stopped():
            yield output


def _frame(event: SeenFrame, within: bool) -> Output:
    """A frame to read; beyond the number asked for only its time, so that the reply can say where to go on."""
    item = jobs.VideoItem(frame_s=event.time_s)
    if not within:
        return Output(item)
    return Output(item.model_copy(update={"raster": _raster(event.image)}), _bytes(event.image))


def _video_item(event: VideoEvent) -> jobs.VideoItem:
    from vision.media.video import SeenFrame, Shot, Stretch, Subtitle

    if isinstance(event, Shot):
        return jobs.VideoItem(shot=event)
    if isinstance(event, Stretch):
        return jobs.VideoItem(stretch=event)
    if isinstance(event, Subtitle):
        return jobs.VideoItem(subtitle=event)
    assert not isinstance(event, SeenFrame)
    return jobs.VideoItem(watched=event)


class _OwnTime:
    """A clock that stands while a result waits to be taken: the reader of its text may take seconds."""

    def __init__(self) -> None:
        self._waited = 0.0

    def clock(self) -> float:
        return time.monotonic() - self._waited

    @contextmanager
    def stopped(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began


def _file(work: Input) -> BinaryIO:
    assert work.file is not None  # the server sends one with every job of this role
    return work.file


def _raster(rgb: np.ndarray) -> jobs.Raster:
    height, width, _ = rgb.shape
    return jobs.Raster(width=width, height=height)


def _bytes(rgb: np.ndarray) -> memoryview:
    return np.ascontiguousarray(rgb).data.cast("B")
