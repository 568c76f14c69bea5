"""What the service promises beyond its settings: order, bounds, and errors that name the cause."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from vision.call import Call
from vision.chat.types import ImagePart
from vision.config import Settings
from vision.errors import Busy, DamagedMedia, LimitExceeded, UnsupportedMedia
from vision.reading import read_pages
from vision.service import VisionService

pytestmark = pytest.mark.anyio


def call(within_s: float = 60.0) -> Call:
    return Call(within_s=within_s)


async def test_a_file_too_large_for_its_kind_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(1 << 40)  # sparse: hashing it would take half an hour
    with VisionService(Settings(), tmp_path) as service, anyio.fail_after(5):
        with pytest.raises(LimitExceeded, match="bytes"):
            await service.open("huge.png", call())


async def test_only_so_many_sources_are_open_at_once(service: VisionService) -> None:
    media = [await service.open("report.pdf", call()) for _ in range(service.settings.decoders + 1)]
    with pytest.raises(Busy) as caught:
        await service.open("report.pdf", call(within_s=0.05))
    assert caught.value.hint
    with media.pop():
        pass
    with await service.open("report.pdf", call()):
        for opened in media:
            with opened:
                pass


async def test_a_refused_source_gives_its_place_back(service: VisionService) -> None:
    for _ in range(5):
        with pytest.raises(UnsupportedMedia):
            (service._cwd / "notes.txt").write_text("only text")
            await service.open("notes.txt", call())
    with await service.open("report.pdf", call(0.05)):
        pass


async def test_what_was_read_is_not_read_again(service: VisionService) -> None:
    with await service.open("chart.png", call()) as media:
        picture = await service.picture(media, call())
        first = await service.read_text(picture)
        service._readers.close()
        assert await service.read_text(picture) == first
    assert service.workers()["ocr"] == 0


async def test_one_damaged_page_does_not_cost_the_others(media: Path) -> None:
    with VisionService(Settings(), media / "hostile") as service:
        with await service.open("pdf.js__Pages-tree-refs.pdf", call()) as document:
            pages = [read.page async for read in read_pages(service, document, call(), output="text")]
    assert [page.number for page in pages] == [1, 2]
    assert pages[0].text
    assert "cannot be read" in str(pages[1].ocr_reason)


async def test_a_document_of_which_nothing_can_be_read_is_an_error(media: Path) -> None:
    with VisionService(Settings(), media / "hostile") as service, pytest.raises(DamagedMedia):
        with await service.open("pdf.js__Pages-tree-refs.pdf", call()) as document:
            async for _ in read_pages(service, document, call(), output="text", pages="2"):
                pass


async def test_pages_of_a_tiff_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    from PIL import Image, ImageDraw

    frames = []
    for word in ("FIRST", "SECOND", "THIRD"):
        frame = Image.new("RGB", (500, 140), "white")
        ImageDraw.Draw(frame).text((40, 40), word, fill="black", font_size=48)
        frames.append(frame)
    frames[0].save(tmp_path / "pages.tiff", save_all=True, append_images=frames[1:])

    async def texts(**chosen: Any) -> list[str]:
        with await service.open("pages.tiff", call()) as media:
            return [read.page.text async for read in read_pages(service, media, call(), output="text", **chosen)]

    with VisionService(Settings(), tmp_path) as service:
        assert await texts() == ["FIRST", "SECOND", "THIRD"]
        assert await texts(pages="3,1") == ["THIRD", "FIRST"]
        assert await texts(after=2) == ["THIRD"]


async def test_a_still_picture_is_no_video(service: VisionService) -> None:
    with await service.open("chart.png", call()) as media, pytest.raises(UnsupportedMedia, match="still"):
        async for _ in service.watch(media, call(), start_s=None, end_s=None, max_frames=4, keep_s=1.0):
            pass


async def test_a_picture_for_a_server_is_brought_to_its_size_in_a_worker(service: VisionService) -> None:
    packed = io.BytesIO()
    Image.linear_gradient("L").resize((1280, 720)).convert("RGB").save(packed, "PNG")
    picture = ImagePart(data=packed.getvalue())
    assert await service.fitted(picture, "cover", 12) is picture
    frame = await service.fitted(picture, "grid", 1)
    with Image.open(io.BytesIO(frame.data)) as seen, Image.open(io.BytesIO(picture.data)) as original:
        assert seen.size == (448, 448)
        assert seen.tobytes() == original.resize((448, 448), Image.Resampling.BICUBIC).tobytes()
    assert await service.fitted(picture, "grid", 1) is frame
    assert service.workers()["media"] == 1
