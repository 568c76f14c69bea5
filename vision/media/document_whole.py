"""A document as a whole: what the jobs of the media worker need of one, whatever it is read by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from vision.media.document_facts import DocumentFacts
from vision.media.document_pages import DocumentInfo, DocumentPage, PageFormat
from vision.media.document_reader import Document, RenderedPage, open_bytes
from vision.search.passages import Line
from vision.search.ranking import Ranking


@dataclass(frozen=True)
class Looked:
    """A page that was looked at. `unread`: it shows something, but its text is not in the file; `sparse`: it has hardly
    any text, so that what it shows is a picture; `failed`: why nothing of it can be read.
    """

    number: int
    unread: bool = False
    sparse: bool = False
    failed: str | None = None


class WholeDocument(Protocol):
    """Pages, slides, sheets or sections, counted from 1. Raises DamagedMedia, LimitExceeded, SourceNotFound."""

    @property
    def page_count(self) -> int: ...

    @property
    def info(self) -> DocumentInfo: ...

    def read_page(self, number: int, *, format: PageFormat) -> DocumentPage: ...

    def render(self, number: int, *, dpi: float, max_pixels: int) -> RenderedPage: ...

    def facts(self) -> DocumentFacts: ...

    def look_through(
        self, numbers: Sequence[int], read: Mapping[int, Sequence[Line]], ranking: Ranking
    ) -> Iterator[Looked]:
        """Adds the pages to the ranking one by one. `read`: lines of pages without a text layer that are known."""
        ...


class PagedDocument:
    """What MuPDF reads: PDF, XPS, EPUB and the like. Close it, or use it as a context manager."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.page_count = document.page_count
        self.read_page = document.read_page
        self.render = document.render

    @property
    def info(self) -> DocumentInfo:
        return self._document.info

    def facts(self) -> DocumentFacts:
        from vision.media.document_facts_mupdf import read_facts

        return read_facts(self._document)

    def look_through(
        self, numbers: Sequence[int], read: Mapping[int, Sequence[Line]], ranking: Ranking
    ) -> Iterator[Looked]:
        from vision.media.document_search import look_through

        return look_through(self._document, numbers, read, ranking)

    def __enter__(self) -> PagedDocument:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._document.close()


def open_paged(data: bytes, *, password: str | None, max_pages: int) -> PagedDocument:
    """See vision.media.documents.open_document."""
    return PagedDocument(open_bytes(data, password=password, max_pages=max_pages))
