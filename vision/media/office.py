"""Office documents (DOCX, PPTX, XLSX), by the libraries of the extra [office]: opened from bytes, read page by page.

The archive is looked at before a library gets it: how many parts, how large they say they are, and whether they are.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.etree import ElementTree

from vision.errors import (
    DamagedMedia,
    EngineUnavailable,
    InvalidArgument,
    LimitExceeded,
    SourceNotFound,
    VisionError,
)
from vision.media.document_facts import DocumentFacts, Metadata
from vision.media.document_pages import DocumentInfo, DocumentPage, PageFormat
from vision.media.document_whole import Looked
from vision.media.office_parts import OfficeContent, as_document_page, as_lines
from vision.search.passages import Line, passages
from vision.search.ranking import Ranking

if TYPE_CHECKING:
    from vision.media.document_reader import RenderedPage

_NAMES = {"docx": "Word document", "pptx": "presentation", "xlsx": "workbook"}
_SAVE_AGAIN = "Open it in an office program and save it again, or convert it to PDF."
_SMALLER = "Split it, or convert it to PDF."
_MOST_PARTS = 20_000
_MOST_BYTES = 512 << 20
# Text packs to a tenth, at times to a hundredth; what packs better is made to fill memory.
_MOST_RATIO, _RATIO_FROM = 200, 32 << 20
_CHUNK = 1 << 20
_CORE = {
    "{http://purl.org/dc/elements/1.1/}title": "title",
    "{http://purl.org/dc/elements/1.1/}creator": "author",
    "{http://purl.org/dc/elements/1.1/}subject": "subject",
    "{http://schemas.openxmlformats.org/package/2006/metadata/core-properties}keywords": "keywords",
    "{http://purl.org/dc/terms/}created": "created",
    "{http://purl.org/dc/terms/}modified": "modified",
}


class OfficeDocument:
    """See vision.media.document_whole.WholeDocument. Nothing is held open: it works on bytes."""

    def __init__(self, content: OfficeContent, format: str) -> None:
        self._content = content
        self._format = format
        self.page_count = content.page_count

    @property
    def info(self) -> DocumentInfo:
        metadata = self._content.metadata
        return DocumentInfo(format=self._format.upper(), title=metadata.title or "", author=metadata.author or "")

    def read_page(self, number: int, *, format: PageFormat) -> DocumentPage:
        if not 1 <= number <= self.page_count:
            raise SourceNotFound(f"There is no page {number}.", f"The document has pages 1 to {self.page_count}.")
        with office_errors(self._format, f"reading page {number}"):
            return as_document_page(self._content.page(number), number, format)

    def render(self, number: int, *, dpi: float, max_pixels: int) -> RenderedPage:
        raise InvalidArgument(
            "an office document has no picture of its pages", "Convert it to PDF to have its pages looked at."
        )

    def facts(self) -> DocumentFacts:
        content = self._content
        return DocumentFacts(
            page_count=self.page_count,
            metadata=content.metadata,
            outline=content.outline,
            links=content.links,
            annotations=content.annotations,
        )

    def look_through(
        self, numbers: Sequence[int], read: Mapping[int, Sequence[Line]], ranking: Ranking
    ) -> Iterator[Looked]:
        for number in numbers:
            try:
                with office_errors(self._format, f"reading page {number}"):
                    lines = as_lines(self._content.page(number))
            except (DamagedMedia, LimitExceeded) as e:
                yield Looked(number, failed=e.message)
                continue
            ranking.add(passages(number, lines))
            yield Looked(number)

    def __enter__(self) -> OfficeDocument:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """There is nothing to close."""


def open_office(file: BinaryIO, format: str, *, max_pages: int) -> OfficeDocument:
    """Opens a document of OFFICE_FORMATS.

    Raises EngineUnavailable without the extra [office], DamagedMedia, LimitExceeded (an archive made to fill memory,
    or more than max_pages pages).
    """
    data = file.read()
    with office_errors(format, "opening it"):
        check_archive(data)
        document = OfficeDocument(_content(data, format), format)
    if document.page_count > max_pages:
        raise LimitExceeded(
            f"The document has {document.page_count} pages, and the limit is {max_pages}.",
            "Split the document, or raise the limit on pages.",
        )
    return document


def _content(data: bytes, format: str) -> OfficeContent:
    try:
        if format == "docx":
            from vision.media.office_docx import WordContent

            return WordContent(data)
        if format == "pptx":
            from vision.media.office_pptx import SlidesContent

            return SlidesContent(data)
        from vision.media.office_xlsx import SheetsContent

        return SheetsContent(data, _core_properties(data))
    except ImportError as e:
        raise EngineUnavailable(
            f"reading a {_NAMES[format]} needs the extra [office] ({e.name} is not installed)",
            "Install it: pip install 'internvl-mcp[office]', or convert the document to PDF.",
        ) from e


def check_archive(data: bytes) -> None:
    """Raises LimitExceeded for an archive that would fill memory, DamagedMedia for one whose parts are not as it says.

    Every part is unpacked once, a piece at a time: what a part says of its size is what libraries go by.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        whole = sum(part.file_size for part in parts)
        if len(parts) > _MOST_PARTS or whole > _MOST_BYTES:
            raise LimitExceeded(f"it unpacks to {len(parts)} parts of {whole >> 20} MiB", _SMALLER)
        for part in parts:
            if part.file_size > _RATIO_FROM and part.file_size > _MOST_RATIO * max(1, part.compress_size):
                raise LimitExceeded("a part of it unpacks to far more than any text does", _SMALLER)
            with archive.open(part) as unpacked:
                while unpacked.read(_CHUNK):
                    pass


@contextmanager
def office_errors(format: str, doing: str) -> Iterator[None]:
    """Maps what the libraries raise on damaged and hostile files."""
    try:
        yield
    except VisionError:
        raise
    except MemoryError as e:
        raise LimitExceeded(f"{doing} needs more memory than there is", _SMALLER) from e
    except _damage() as e:
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
        raise DamagedMedia(f"the {_NAMES[format]} is damaged: {doing} failed ({reason})", _SAVE_AGAIN) from e


def _damage() -> tuple[type[Exception], ...]:
    """What parsers of three kinds raise where a file is not as it should be; lxml's errors are SyntaxErrors."""
    known: tuple[type[Exception], ...] = (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError, TypeError,
        LookupError, AttributeError, ArithmeticError, AssertionError, SyntaxError, RecursionError,
    )  # fmt: skip
    for name in ("docx.exceptions.PythonDocxError", "pptx.exc.PythonPptxError", "python_calamine.CalamineError"):
        module, _, error = name.rpartition(".")
        loaded: Any = _loaded(module)
        known += (getattr(loaded, error),) if loaded is not None else ()
    return known


def _loaded(module: str) -> Any:
    import sys

    return sys.modules.get(module)


def _core_properties(data: bytes) -> Metadata:
    """docProps/core.xml, which workbooks have like the others."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "docProps/core.xml" not in archive.namelist():
            return Metadata(format="XLSX")
        root = ElementTree.fromstring(archive.read("docProps/core.xml"))  # noqa: S314 - expat bounds what entities make
    found = {_CORE[node.tag]: (node.text or "").strip()[:1000] or None for node in root if node.tag in _CORE}
    return Metadata.model_validate({"format": "XLSX", **found})
