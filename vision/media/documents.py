"""Documents (PDF, XPS, EPUB, MOBI, FB2): open from bytes, read page by page, render, compose OCR into pages.

    with open_document(data) as document:
        for number in parse_pages("1-5,9", document.page_count):
            page = document.read_page(number, format="markdown")
            if page.needs_ocr:
                picture = document.render(number, dpi=OCR_DPI, max_pixels=...)
                page = page_from_ocr(page, reader.read(picture.pixels), picture.scale)

A page is read either by its text layer or by OCR, as a whole: a page of text with a screenshot in it gives its text and
leaves the screenshot's words out. Importing this module loads no PDF library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vision.media.document_pages import DocumentInfo, DocumentPage, PageFormat, page_from_ocr, parse_pages

if TYPE_CHECKING:
    from vision.media.document_reader import Document

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
]


def open_document(data: bytes, *, password: str | None = None, max_pages: int = MAX_PAGES) -> Document:
    """Open a document by its content. No other file is ever opened for it.

    Raises DamagedMedia, UnsupportedMedia (an archive of another kind), PasswordRequired, WrongPassword, LimitExceeded
    (more than max_pages pages).
    """
    from vision.media.document_reader import open_bytes

    return open_bytes(data, password=password, max_pages=max_pages)
