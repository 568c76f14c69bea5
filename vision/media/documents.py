"""Documents (PDF, XPS, EPUB, MOBI, FB2): open from bytes, read page by page, render, compose OCR into pages.

    with open_document(data) as document:
        for number in parse_pages("1-5,9", document.page_count):
            page = document.read_page(number, format="markdown")
            if page.needs_ocr:
                picture = document.render(number, dpi=OCR_DPI, max_pixels=...)
                page = read_picture(page, picture, reader.read)

A page is read by its text layer, by OCR where that holds nothing of use, or by both where its pictures hold text.
Importing this module loads no PDF library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vision.media.document_composing import composing
from vision.media.document_pages import DocumentInfo, DocumentPage, PageFormat, page_from_ocr, parse_pages
from vision.types import PageText

if TYPE_CHECKING:
    import numpy as np

    from vision.media.document_reader import Document, RenderedPage

OCR_DPI = 150.0
MAX_PAGES = 10_000

__all__ = [
    "MAX_PAGES",
    "OCR_DPI",
    "DocumentInfo",
    "DocumentPage",
    "PageFormat",
    "open_document",
    "page_from_ocr",
    "parse_pages",
    "read_picture",
]


def open_document(data: bytes, *, password: str | None = None, max_pages: int = MAX_PAGES) -> Document:
    """Open a document by its content. No other file is ever opened for it.

    Raises DamagedMedia, UnsupportedMedia (an archive of another kind), PasswordRequired, WrongPassword, LimitExceeded
    (more than max_pages pages).
    """
    from vision.media.document_reader import open_bytes

    return open_bytes(data, password=password, max_pages=max_pages)


def read_picture(page: DocumentPage, picture: RenderedPage, read: Callable[[np.ndarray], PageText]) -> DocumentPage:
    """A page that needs OCR, with what `read` makes of its picture or of parts of it, (H, W, 3) uint8 RGB."""
    height, width, _ = picture.pixels.shape
    steps = composing(page, picture.scale, (width, height))
    part = next(steps)
    while True:
        left, top, right, bottom = part or (0, 0, width, height)
        try:
            part = steps.send(read(picture.pixels[top:bottom, left:right]))
        except StopIteration as done:
            return done.value
