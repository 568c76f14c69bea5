"""Joins access policy, decoders and engines: opens a source, has it decoded in a child process, has it read.

Pixels stay in worker processes except on their way from a decoder to the recogniser; nothing here imports a decoder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import anyio

from vision.access.opened import OpenedSource, open_source
from vision.access.policy import AccessPolicy
from vision.cache import ByteBoundedCache
from vision.call import Call, Digest
from vision.chat.types import ImagePart
from vision.config import MIB, Settings
from vision.engine.engine import Engine
from vision.errors import AccessDenied, LimitExceeded, UnsupportedMedia
from vision.media.document_composing import Part
from vision.media.sniff import sniff_file
from vision.media.tile_grid import TILE_SIDE, Fit, fitted_size
from vision.media.video_types import Shot, Stretch, Subtitle, VideoFacts, Watched
from vision.prompts.video import Frame
from vision.seen import FrameText, Media, Picture, Shown, changed
from vision.types import Box, Frozen, PageText
from vision.workers import jobs
from vision.workers.pool import Results, WorkerPool, acquire
from vision.workers.process import WorkerSpec

if TYPE_CHECKING:
    from vision.conversations import Conversations
    from vision.store import Store

_OCR_MEMORY_MB = 1100
_CACHED_TEXT_BYTES = 32 * MIB
_CACHED_PICTURE_BYTES = 32 * MIB
_CACHED_PAGES_BYTES = 16 * MIB
_REAP_EVERY_S = 5.0
# Longer sides are scaled down before reading: the recogniser gains nothing from more, and pixels cross processes.
# A region is cropped first, so small print on a large scan can still be read at full resolution.
_MAX_SIDE = 6000
_LOOK_SHARE, _LOOK_TIMEOUT_SHARE = 0.5, 0.85
# A model sees an A4 page in about 1,344 by 1,792 pixels (12 tiles), 160 an inch, or half as many again with more tiles.
_PAGE_DPI = 200.0
# Pictures that may move: analyze_video takes them, whatever sniffing calls them.
ANIMATED = ("gif", "webp", "png")
R = TypeVar("R", bound=Frozen)


class VisionService:
    """Use as a context manager: leaving it ends every worker process. The model's process may serve others, and ends by
    itself when idle.
    """

    def __init__(self, settings: Settings, working_directory: Path, engine: Engine | None = None) -> None:
        self.settings = settings
        self._engine = engine
        self._store: Store | None = None
        self._conversations: Conversations | None = None
        self._cwd = working_directory
        decoder = WorkerSpec("media", settings.decoder_memory_mb, settings.decode_timeout_s)
        reader = WorkerSpec("ocr", _OCR_MEMORY_MB, settings.decode_timeout_s, settings.ocr_threads)
        self._decoders = WorkerPool(decoder, settings.decoders)
        self._readers = WorkerPool(reader, settings.readers)
        # Decoded pixels wait in this process for the recogniser: bounding the sources in work bounds them.
        self._open_sources = anyio.Semaphore(settings.decoders + 1)
        self._texts: ByteBoundedCache[PageText] = ByteBoundedCache(_CACHED_TEXT_BYTES)
        self._fitted: ByteBoundedCache[ImagePart] = ByteBoundedCache(_CACHED_PICTURE_BYTES)
        self._clipboard: ByteBoundedCache[bytes] = ByteBoundedCache(_CACHED_PICTURE_BYTES)
        # What vision.whole has read of documents, packed.
        self.kept: ByteBoundedCache[bytes] = ByteBoundedCache(_CACHED_PAGES_BYTES)

    def __enter__(self) -> VisionService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every worker process at once; safe to call from a signal handler of the event loop."""
        self._decoders.close()
        self._readers.close()
        if self._store is not None:
            self._store.close()
        if self._engine is not None:
            self._engine.downloads.close()

    async def end_idle_workers(self) -> None:
        """Runs until cancelled beside a long-lived service, and gives idle workers' memory back."""
        while True:
            await anyio.sleep(min(_REAP_EVERY_S, self.settings.idle_unload_s))
            self._decoders.end_idle(self.settings.idle_unload_s)
            self._readers.end_idle(self.settings.idle_unload_s)

    @property
    def store(self) -> Store:
        """What outlives this process: jobs and conversations."""
        if self._store is None:
            from vision.chat.record import state_folder
            from vision.store import Store

            folder = self.settings.state_folder or state_folder(os.environ).logs
            self._store = Store(folder.expanduser(), self.settings.keep_results_h * 3600)
        return self._store

    @property
    def working_directory(self) -> Path:
        """Where relative paths start."""
        return self._cwd

    @property
    def conversations(self) -> Conversations:
        """What was asked about pictures, and answered."""
        if self._conversations is None:
            from vision.conversations import Conversations

            self._conversations = Conversations(self.store)
        return self._conversations

    @property
    def engine(self) -> Engine:
        """What answers questions: the embedded engine, InternVL on this machine, or a model on somebody else's."""
        if self._engine is None:
            from vision.engine.local import local_engine

            self._engine = local_engine(self.settings, fit=self.fitted)
        return self._engine

    def workers(self) -> dict[str, int]:
        """How many worker processes are up, by role."""
        return {"media": len(self._decoders), "ocr": len(self._readers)}

    async def open(self, source: str, call: Call) -> Media:
        """Opens what the client named, under the access policy, and tells its kind from its content.

        Raises every error of `vision.access`, UnsupportedMedia, LimitExceeded, Busy when too many are open, and
        SourceUnreadable for one that no longer holds what the call expects.
        """
        await acquire(self._open_sources, call.left_s)
        try:
            opened = await self._open(source, call)
            try:
                return self._media(opened, source, call)
            except BaseException:
                opened.file.close()
                raise
        except BaseException:
            self._open_sources.release()
            raise

    def _media(self, opened: OpenedSource, source: str, call: Call) -> Media:
        if source in call.expects:
            if call.expects[source].sha256 != opened.sha256:
                raise changed(opened.name)
            self._acceptable(opened.file, opened.name)
            opened.file.seek(0)
        if opened.name == "clipboard":
            self._clipboard.put(opened.sha256, opened.file.read(), opened.size)
            opened.file.seek(0)
        call.opened[source] = Digest(opened.size, opened.sha256)
        return Media(opened, sniff_file(opened.file), self._open_sources.release, source)

    def from_clipboard(self, sha256: str) -> bytes | None:
        """What was on the clipboard when it was opened, by its content; None where that is not kept any more."""
        return self._clipboard.get(sha256)

    def _acceptable(self, file: BinaryIO, name: str) -> None:
        """Refuses what cannot be read, or is too large for its kind, before all of it is read for its sha256."""
        kind = sniff_file(file)
        size = file.seek(0, os.SEEK_END)
        if kind.kind != "video" and size > self.settings.max_bytes:
            raise LimitExceeded(
                f"{name} has {size} bytes; pictures and documents may have {self.settings.max_bytes}",
                "Use a smaller version, or raise max_bytes.",
            )

    async def _open(self, source: str, call: Call) -> OpenedSource:
        cwd = call.working_directory or self._cwd
        # Where certain contents are expected, that others cannot be read is not what is wrong with them.
        accept = partial(_as_large, call.expects[source]) if source in call.expects else self._acceptable
        try:
            return await open_source(source, self._policy(cwd), cwd, accept=accept)
        except AccessDenied:
            # Only now is the client asked: it may be a round trip, and most files lie under the known roots.
            roots = await call.client_roots() if self.settings.use_client_roots else ()
            if not roots:
                raise
            return await open_source(source, self._policy(cwd, *roots), cwd, accept=accept)

    def _policy(self, cwd: Path, *client_roots: Path) -> AccessPolicy:
        settings = self.settings
        roots = [*settings.roots, *client_roots]
        # A server started in / was started by a desktop program, not in a project: / is then no permission.
        if settings.use_working_directory and cwd != Path(cwd.anchor):
            roots.append(cwd)
        return AccessPolicy(
            roots=tuple(roots),
            clipboard=settings.use_clipboard,
            allow_http=settings.allow_http,
            allowed_hosts=settings.allowed_hosts,
            max_bytes=settings.max_bytes,
            fetch_timeout_s=settings.fetch_timeout_s,
        )

    async def picture(
        self, media: Media, call: Call, *, page: int = 1, region: Box | None = None, measure: bool = False
    ) -> Picture:
        """Decodes a still picture (or one page of it, or a region). Raises UnsupportedMedia for other kinds."""
        if media.kind.kind != "image":
            raise UnsupportedMedia(
                f"{media.opened.name} is a {media.kind.kind} ({media.kind.format}), not a picture",
                "Use read_document for documents and analyze_video for video.",
            )
        params = jobs.PictureParams(
            format=media.kind.format,
            page=page,
            region=region,
            max_pixels=self.settings.max_pixels,
            max_side=_MAX_SIDE,
            measure=measure,
        )
        info, pixels = await self._decoders.first(jobs.PICTURE, params, file=media.opened.file, wait_s=call.left_s)
        return Picture(info, pixels, f"{media.opened.sha256}:{page}:{region}", media.origin(page, region))

    async def shown(self, picture: Picture, call: Call) -> Shown:
        """The decoded picture without loss, for a model."""
        info = picture.info
        params = jobs.PngParams(raster=info.raster)
        _, png = await self._decoders.first(jobs.PNG, params, blob=picture.pixels, wait_s=call.left_s)
        (x, y), scale = info.origin, info.scale
        region = (x, y, x + info.raster.width / scale, y + info.raster.height / scale)
        return Shown(ImagePart(data=bytes(png), origin=picture.origin), region)

    async def fitted(self, picture: ImagePart, fit: Fit, max_tiles: int, tile_side: int = TILE_SIDE) -> ImagePart:
        """A picture for a model (PNG) at the size that its server makes use of."""
        size = _png_size(picture.data)
        width, height = fitted_size(*size, fit, max_tiles, tile_side)
        if (width, height) == size:
            return picture
        key = f"{hashlib.sha256(picture.data).hexdigest()}:{width}x{height}"
        known = self._fitted.get(key)
        if known is None:
            params = jobs.ResizeParams(width=width, height=height)
            _, png = await self._decoders.first(jobs.RESIZE, params, blob=picture.data)
            known = ImagePart(data=bytes(png))
            self._fitted.put(key, known, len(png))
        return known

    async def page_pictures(
        self, media: Media, call: Call, numbers: tuple[int, ...], *, password: str | None, max_pixels: int | None = None
    ) -> AsyncGenerator[tuple[int, Shown]]:
        """Pages, of a document or of a picture that has some, by number, for a model. `max_pixels`: of each page of a
        document, for small pictures.
        """
        if media.kind.kind != "document":
            for number in numbers:
                yield number, await self.shown(await self.picture(media, call, page=number), call)
            return
        params = jobs.PagePicturesParams(
            format=media.kind.format,
            pages=numbers,
            password=password,
            dpi=_PAGE_DPI,
            max_pages=self.settings.max_pages,
            max_pixels=min(self.settings.max_pixels, max_pixels or self.settings.max_pixels),
        )
        file = media.opened.file
        async with self._decoders.run(jobs.PAGE_PICTURES, params, file=file, wait_s=call.left_s) as results:
            async for item, png in results:
                # Passwords are not kept, so that such a page could not be taken again.
                origin = media.origin(item.number) if password is None else None
                yield item.number, Shown(ImagePart(data=bytes(png), origin=origin), item.box)

    @asynccontextmanager
    async def decoding(
        self, job: jobs.Job[Any, R], params: Frozen, media: Media, call: Call
    ) -> AsyncIterator[Results[R]]:
        """The results of any job of the decoders' on a source."""
        async with self._decoders.run(job, params, file=media.opened.file, wait_s=call.left_s) as results:
            yield results

    async def read_text(self, picture: Picture, *, page: int = 1, tables: bool = True) -> PageText:
        """The text in a picture, boxes in pixels of the original."""
        info = picture.info
        found = await self._recognise(picture.pixels, info.raster, f"{picture.key}:{info.scale}:{tables}", tables)
        return found.moved(1 / info.scale, info.origin, page)

    async def _recognise(self, pixels: bytearray, raster: jobs.Raster, key: str, tables: bool) -> PageText:
        known = self._texts.get(key)
        if known is None:
            params = jobs.TextParams(raster=raster, tables=tables)
            known, _ = await self._readers.first(jobs.TEXT, params, blob=pixels)
            cells = sum(len(cell) + 60 for table in known.tables for row in table.rows for cell in row)
            self._texts.put(key, known, 1000 + cells + sum(len(line.text) * 2 + 600 for line in known.lines))
        return known

    @asynccontextmanager
    async def document(
        self, media: Media, call: Call, *, output: str, pages: str | None, after: int, password: str | None
    ) -> AsyncIterator[Results[jobs.DocumentItem]]:
        """A document's pages, decoded as they are asked for."""
        params = jobs.DocumentParams.model_validate(
            {
                "format": media.kind.format,
                "password": password,
                "pages": pages,
                "after": after,
                "output": output,
                "max_pages": self.settings.max_pages,
                "max_pixels": self.settings.max_pixels,
            }
        )
        async with self._decoders.run(jobs.DOCUMENT, params, file=media.opened.file, wait_s=call.left_s) as results:
            yield results

    async def read_page_raster(
        self, media: Media, item: jobs.DocumentItem, pixels: bytearray, part: Part | None = None
    ) -> PageText:
        """The text of a page that came as a picture, or of a part of it; boxes in pixels of what was read."""
        raster = item.raster
        assert raster is not None
        key = f"{media.opened.sha256}:page {item.page.number}"
        if part is not None:
            left, top, right, bottom = part
            starts = range((top * raster.width + left) * 3, (bottom * raster.width + left) * 3, raster.width * 3)
            pixels = bytearray().join(pixels[start : start + (right - left) * 3] for start in starts)
            raster = jobs.Raster(width=right - left, height=bottom - top)
            key = f"{key}:{part}"
        return await self._recognise(pixels, raster, key, tables=True)

    async def watch(
        self,
        media: Media,
        call: Call,
        *,
        start_s: float | None,
        end_s: float | None,
        max_frames: int,
        keep_s: float,
        spread: int = 0,
    ) -> AsyncGenerator[VideoFacts | Shot | Stretch | Subtitle | Watched | FrameText | Frame]:
        """A video's facts, then what is measured and read in the segment, in order of time.

        `spread`: so many frames for a model come too, fewer where one stands for several of the times. When less than
        `keep_s` is left of the time, frames come unread. Raises UnsupportedMedia for other kinds.
        """
        moves = media.kind.kind == "video" or (
            media.kind.format in ANIMATED and (await self.picture(media, call)).info.pages > 1
        )
        if not moves:
            raise UnsupportedMedia(
                f"{media.opened.name} is a still {media.kind.kind} ({media.kind.format}), not a video",
                "Use describe_image for pictures and read_document for documents.",
            )
        params = jobs.VideoParams(
            start_s=start_s,
            end_s=end_s,
            max_frames=min(max_frames, self.settings.max_frames),
            spread=spread,
            max_pixels=self.settings.max_pixels,
            # The look gets its share of the time, reading its frames the rest; and it must end by itself before the
            # watch on decoders takes it for stuck.
            budget_s=max(1.0, min(_LOOK_SHARE * call.left_s, _LOOK_TIMEOUT_SHARE * self.settings.decode_timeout_s)),
        )
        shown_width = 0
        async with self._decoders.run(jobs.VIDEO, params, file=media.opened.file, wait_s=call.left_s) as got:
            async for item, pixels in got:
                if item.facts is not None:
                    shown_width = item.facts.width
                if item.spread_s is not None:
                    origin = media.origin(time_s=item.spread_s)
                    yield Frame(item.spread_s, ImagePart(data=bytes(pixels), origin=origin))
                elif item.frame_s is None:
                    event = item.facts or item.shot or item.stretch or item.subtitle or item.watched
                    assert event is not None
                    yield event
                elif item.raster is None or call.left_s < keep_s:
                    yield FrameText(item.frame_s, None)
                else:
                    yield await self._frame_text(media, item, pixels, shown_width)

    async def _frame_text(self, media: Media, item: jobs.VideoItem, pixels: bytearray, width: int) -> FrameText:
        assert item.frame_s is not None and item.raster is not None
        key = f"{media.opened.sha256}:at {item.frame_s}"
        text = await self._recognise(pixels, item.raster, key, tables=False)
        return FrameText(item.frame_s, text.moved(width / item.raster.width, (0, 0), page=1).lines)


def _as_large(expected: Digest, file: BinaryIO, name: str) -> None:
    """Refuses what cannot be the same, before all of it is read for its sha256."""
    if file.seek(0, os.SEEK_END) != expected.size:
        raise changed(name)


def _png_size(png: bytes) -> tuple[int, int]:
    """(width, height) from the header, which is the first thing in a PNG."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
