"""An open document: its pages read by text layer and rendered, by MuPDF, from bytes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np

from vision.errors import (
    DamagedMedia,
    InvalidArgument,
    LimitExceeded,
    PasswordRequired,
    SourceNotFound,
    UnsupportedMedia,
    WrongPassword,
)
from vision.media.document_formulas import has_formulas
from vision.media.document_furniture import Edges, edges, furniture
from vision.media.document_mupdf import mupdf_errors, pymupdf
from vision.media.document_pages import DocumentInfo, DocumentPage, PageFormat
from vision.media.document_pictures import doubt, text_pictures
from vision.media.document_tables import continuation
from vision.media.document_text import (
    PageLines,
    distrust,
    formula_lines,
    page_content,
    page_lines,
    reading_flow,
    ruled_tables,
    text_turn,
)
from vision.media.markdown import Flow, StyledLine, centre_inside, join_rows, plain_text, to_markdown
from vision.types import Box, PageText, TextLine, TextTable

_LOCKED_HINT = "Pass the document's password in the password parameter."
_NOT_A_DOCUMENT_HINT = "Give a PDF, XPS, EPUB, MOBI or FB2 document."
_FORMATS = {"pdf": "PDF", "epub": "EPUB", "xps": "XPS", "mobi": "MOBI", "fb2": "FictionBook2"}
_MAX_SIDE_PT = 1e6
_BESIDE = (-1, 1, -2, 2)  # pages compared with for running heads: left and right pages often have their own
_SEEN = 8  # pages whose lines are kept, so that reading on looks at each page once
# /Rotate turns the page's own frame, in which the lines run upright, clockwise for a viewer: so far to turn it back.
_TURN_BACK: dict[int, Literal[0, 90, 180, 270]] = {90: 270, 180: 180, 270: 90}


@dataclass(frozen=True)
class RenderedPage:
    """A page's picture: `pixels` (H, W, 3) uint8 RGB; `scale` is pixels per point, `dpi` the same in dots per inch.

    `dpi` is lower than asked where the page would have held more than max_pixels. `region` is what was rendered, in
    points of the page as shown.
    """

    pixels: np.ndarray
    scale: float
    dpi: float
    region: Box


@dataclass(frozen=True)
class _Seen:
    """A page's lines in the page's own frame, where they run upright; `frame` is the page in it. `formulas`: some of
    its text is set in mathematical fonts.
    """

    lines: PageLines
    frame: Box
    formulas: bool


class Document:
    """Holds the file's bytes and MuPDF's state; close it, or use it as a context manager. One thread at a time."""

    def __init__(self, handle: pymupdf.Document, *, max_pages: int) -> None:
        self.handle = handle
        self._seen: dict[int, _Seen] = {}
        self._ends: dict[int, TextTable | None] = {}
        with mupdf_errors("Opening the document"):
            self.page_count = int(handle.page_count)
        if self.page_count < 1:
            raise DamagedMedia(
                "The document has no pages that can be read.",
                "Open it in a viewer and save or print it to a new PDF; the file may be cut off.",
            )
        if self.page_count > max_pages:
            raise LimitExceeded(
                f"The document has {self.page_count} pages, and the limit is {max_pages}.",
                "Split the document, or raise the limit on pages.",
            )

    @property
    def info(self) -> DocumentInfo:
        """Title, author and the like."""
        with mupdf_errors("Reading the document's metadata"):
            data: dict[str, Any] = self.handle.metadata or {}
        return DocumentInfo(
            format=_printable(data.get("format")),
            title=_printable(data.get("title")),
            author=_printable(data.get("author")),
            subject=_printable(data.get("subject")),
            created=_printable(data.get("creationDate")),
            encrypted=bool(data.get("encryption")),
        )

    def close(self) -> None:
        """Give the memory back; calling it twice is harmless."""
        if not self.handle.is_closed:
            self.handle.close()
            # MuPDF keeps decoded pictures and fonts of closed documents in a store that only grows.
            pymupdf.TOOLS.store_shrink(100)

    def __enter__(self) -> Document:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read_page(self, number: int, *, format: PageFormat) -> DocumentPage:
        """One page by its text layer; other pages are not touched.

        With "text" no tables are looked for and `markdown` stays empty. Where `needs_ocr` is set, what the text layer
        gave (if anything) is not all, or not to be relied on: render the page, and compose what is read with composing.

        Raises SourceNotFound for a page the document does not have, DamagedMedia, LimitExceeded.
        """
        with mupdf_errors(f"Reading page {number}"):
            page = self.load(number)
            seen = self._look(number, page)
            lines = seen.lines
            reason = distrust(page, lines.text)
            if reason is not None:
                return _page(page, number, needs_ocr=True, ocr_reason=reason)
            with _upright(page):
                why = doubt(page, lines.text)
                pictures = text_pictures(page, lines.upright)
            lines, aside, body = self._body(number, page, seen, pictures, format)
            middle = (seen.frame[1] + seen.frame[3]) / 2
            feet = [line for line in aside if line.box[1] > middle]
            flow = [*(line for line in aside if line not in feet), *body, *feet]
            content = _content(flow, lines, page, number)
            return _page(
                page,
                number,
                needs_ocr=why is not None or bool(pictures),
                ocr_reason=why,
                checked=_checked(page, content) if why else None,
                pictures=tuple(_shown(box, _matrix(page)) for box in pictures),
                markdown=to_markdown(self._continued(number, body, seen.frame)) if format == "markdown" else "",
                text=plain_text(flow),
                furniture=tuple(line.text for line in aside),
                text_content=content,
            )

    def render(
        self, number: int, *, dpi: float, region: Box | None = None, max_pixels: int = 40_000_000
    ) -> RenderedPage:
        """The page as a viewer shows it, with annotations, on white; or one region of it (points, cut to the page).

        Raises SourceNotFound, InvalidArgument for a region beside the page, DamagedMedia, LimitExceeded.
        """
        with mupdf_errors(f"Rendering page {number}"):
            page = self.load(number)
            shown = page.rect
            clip = pymupdf.Rect(region) & shown if region is not None else shown
            if region is not None and (clip.is_empty or not all(map(math.isfinite, region))):
                raise InvalidArgument(
                    f"The region lies beside page {number}.",
                    f"The page measures {shown.width:.0f} by {shown.height:.0f} points; give x1, y1, x2, y2 inside it.",
                )
            scale = _scale(clip, dpi, max_pixels)
            picture = page.get_pixmap(
                matrix=pymupdf.Matrix(scale, scale), clip=clip, colorspace=pymupdf.csRGB, alpha=False, annots=True
            )
            rows = np.frombuffer(picture.samples_mv, dtype=np.uint8).reshape(picture.height, picture.stride)
            pixels = rows[:, : picture.width * 3].reshape(picture.height, picture.width, 3).copy()
        return RenderedPage(pixels, scale, scale * 72, (clip.x0, clip.y0, clip.x1, clip.y1))

    def _body(
        self, number: int, page: pymupdf.Page, seen: _Seen, pictures: list[Box], format: PageFormat
    ) -> tuple[PageLines, list[StyledLine], Flow]:
        """The page's lines, those of them that are furniture, and all else in reading order."""
        if format == "text":
            return seen.lines, [], reading_flow(seen.lines, (), pictures=pictures, find_tables=False)
        with _upright(page):
            tables = ruled_tables(page)
            lines = formula_lines(page, seen.lines) if seen.formulas else seen.lines
        aside = self._furniture(number, lines.without_tables(tables), seen.frame)
        body = reading_flow(lines.without(aside), tables, pictures=pictures, find_tables=True)
        self._ends[number] = body[-1] if body and isinstance(body[-1], TextTable) else None
        if len(self._ends) > _SEEN:
            del self._ends[next(iter(self._ends))]
        return lines, aside, body

    def _continued(self, number: int, body: Flow, frame: Box) -> Flow:
        """The flow, its first table under the headings of the page before where it goes on with that page's last."""
        first = body[0] if body else None
        if not isinstance(first, TextTable) or number == 1:
            return body
        if number - 1 not in self._ends:
            try:
                with mupdf_errors(f"Reading page {number - 1}"):
                    page = self.load(number - 1)
                    self._body(number - 1, page, self._look(number - 1, page), [], "markdown")
            except (DamagedMedia, LimitExceeded):
                return body  # that page's own reading tells it
        before = self._ends.get(number - 1)
        whole = continuation(before, first, frame) if before is not None else None
        if whole is None:
            return body
        said = StyledLine(f"<!-- table continued from page {number - 1} -->", first.box, 1.0)
        return [said, whole, *body[1:]]

    def _look(self, number: int, page: pymupdf.Page) -> _Seen:
        """The page's lines; those of the last few pages are known."""
        seen = self._seen.get(number)
        if seen is None:
            seen = _seen(page)
            self._seen[number] = seen
            if len(self._seen) > _SEEN:
                del self._seen[next(iter(self._seen))]
        return seen

    def _furniture(self, number: int, free: PageLines, frame: Box) -> list[StyledLine]:
        """Running heads and feet, told by the pages beside; a book that flows to any size of page has none."""
        if self.handle.is_reflowable:
            return []
        return furniture(free.upright, free.turned, frame, [*self._beside(number)])

    def _beside(self, number: int) -> Iterator[Edges]:
        for step in _BESIDE:
            if 1 <= number + step <= self.page_count:
                try:
                    with mupdf_errors(f"Reading page {number + step}"):
                        seen = self._look(number + step, self.load(number + step))
                except (DamagedMedia, LimitExceeded):
                    continue  # that page's own reading tells it
                yield edges(seen.lines.upright, seen.frame)

    def load(self, number: int) -> pymupdf.Page:
        if not 1 <= number <= self.page_count:
            raise SourceNotFound(f"There is no page {number}.", f"The document has pages 1 to {self.page_count}.")
        return self.handle.load_page(number - 1)


def open_bytes(data: bytes, *, password: str | None, max_pages: int) -> Document:
    """See vision.media.documents.open_document."""
    kind = _kind(data)
    with mupdf_errors("Opening the document"):
        handle = pymupdf.open(stream=data, filetype=kind)
        found = str((handle.metadata or {}).get("format") or "")
        locked = bool(handle.needs_pass)
        opened = bool(handle.authenticate(password)) if locked and password is not None else not locked
    # MuPDF goes by the content rather than by the type named, and takes HTML, SVG and pictures for documents too.
    if not (handle.is_pdf or found.startswith(_FORMATS[kind])):
        handle.close()
        raise DamagedMedia(f"The content is no document that can be read ({found or kind}).", _NOT_A_DOCUMENT_HINT)
    if not opened:
        handle.close()
        if password is None:
            raise PasswordRequired("The document is protected by a password.", _LOCKED_HINT)
        raise WrongPassword("The password does not open the document.", "Ask for the right password; case matters.")
    return Document(handle, max_pages=max_pages)


def _kind(data: bytes) -> str:
    """MuPDF's name of the type, by content; what is not known is tried as PDF, which MuPDF repairs best."""
    if not data:
        raise DamagedMedia("The document is empty (0 bytes).", "Fetch or save the file again.")
    head = data[:4096]
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        if b"application/epub+zip" in head[:200]:
            return "epub"
        if b"FixedDocSeq" in data or b"FixedDocumentSequence" in data or b".fdseq" in data:
            return "xps"
        raise UnsupportedMedia(
            "The file is a zip archive that is neither EPUB nor XPS.", "Save the document as PDF and give that."
        )
    if head[60:68] == b"BOOKMOBI":
        return "mobi"
    return "fb2" if b"<FictionBook" in head else "pdf"


def _seen(page: pymupdf.Page) -> _Seen:
    """The page's lines. Where the content itself is sideways, the turn is written into the page in memory."""
    with _upright(page):
        content = page_content(page)
        turn = text_turn(content)
        if not turn or page.parent is None or not page.parent.is_pdf:
            return _Seen(page_lines(content), _frame(page), has_formulas(content))
    shown = page.rotation
    page.set_rotation(turn)
    page.remove_rotation()
    page.set_rotation((shown - turn) % 360)
    with _upright(page):
        content = page_content(page)
        return _Seen(page_lines(content), _frame(page), has_formulas(content))


def _frame(page: pymupdf.Page) -> Box:
    return (page.rect.x0, page.rect.y0, page.rect.x1, page.rect.y1)


@contextmanager
def _upright(page: pymupdf.Page) -> Iterator[None]:
    """The page in its own frame, without /Rotate; afterwards it shows as before.

    With /Rotate MuPDF reads a table that is shown sideways as it was laid out (turned, rows and columns change places
    and are lost).
    """
    if page.parent is None or not page.parent.is_pdf:
        yield
        return
    shown = page.rotation
    page.set_rotation(0)
    try:
        yield
    finally:
        page.set_rotation(shown)


def _scale(clip: pymupdf.Rect, dpi: float, max_pixels: int) -> float:
    if not (0 < clip.width < _MAX_SIDE_PT and 0 < clip.height < _MAX_SIDE_PT):
        raise DamagedMedia("The page has no usable size.", "Name other pages.")
    if not 1 <= dpi <= 2400:
        raise InvalidArgument(f"A resolution of {dpi:g} dpi is out of range.", "Give 1 to 2400.")
    wanted = dpi / 72
    # One pixel a side for MuPDF's rounding outwards.
    width, height = clip.width * wanted + 1, clip.height * wanted + 1
    return wanted if width * height <= max_pixels else wanted * math.sqrt(max_pixels / (width * height)) * 0.999


def _content(flow: Flow, lines: PageLines, page: pymupdf.Page, number: int) -> PageText:
    """Lines in reading order, those inside tables where their table stands."""
    free = {id(item) for item in flow}
    inside = [line for line in (*lines.upright, *lines.turned) if id(line) not in free]
    matrix = _matrix(page)
    placed: list[TextLine] = []
    tables: list[TextTable] = []
    for item in join_rows(flow):
        if isinstance(item, TextTable):
            tables.append(TextTable(box=_shown(item.box, matrix), rows=item.rows, page=number))
            members = [line for line in inside if _within(line.box, item.box)]
        else:
            members = [item]
        for line in members:
            placed.append(TextLine(text=line.text, box=_shown(line.box, matrix), confidence=1.0, page=number))
    return PageText(lines=tuple(placed), tables=tuple(tables), rotation=_TURN_BACK.get(page.rotation, 0))


def _matrix(page: pymupdf.Page) -> tuple[float, ...]:
    """From the page's own frame to the page as shown."""
    turn = page.rotation_matrix
    return (turn.a, turn.b, turn.c, turn.d, turn.e, turn.f)


def _checked(page: pymupdf.Page, content: PageText) -> Box:
    """The band of the page with the most text, a sixth of it; all of it where the text runs up or down the page."""
    height = page.rect.height
    if content.rotation in (90, 270) or not content.lines:
        return _frame(page)
    band = height / 6

    def held(top: float) -> int:
        return sum(len(line.text) for line in content.lines if top <= line.box[1] and line.box[3] <= top + band)

    top = max((line.box[1] for line in content.lines), key=held)
    return (0.0, top, page.rect.width, min(height, top + band))


def _within(box: Box, outer: Box) -> bool:
    return centre_inside(box, (outer[0] - 1, outer[1] - 1, outer[2] + 1, outer[3] + 1))


def _shown(box: Box, matrix: tuple[float, ...]) -> Box:
    """A box of the page's own frame as it lies on the page that a viewer shows."""
    a, b, c, d, e, f = matrix
    xs = sorted((a * box[0] + c * box[1] + e, a * box[2] + c * box[3] + e))
    ys = sorted((b * box[0] + d * box[1] + f, b * box[2] + d * box[3] + f))
    return (xs[0], ys[0], xs[1], ys[1])


def _page(page: pymupdf.Page, number: int, **fields: Any) -> DocumentPage:
    return DocumentPage(number=number, width=page.rect.width, height=page.rect.height, **fields)


def _printable(value: object) -> str:
    return "".join(char for char in str(value or "") if char.isprintable()).strip()[:500]
