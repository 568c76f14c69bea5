"""The jobs that worker processes do: their names, parameters and results, as both sides see them.

Light on purpose (pydantic only): the server imports this, the decoders behind it load in the child alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from vision.errors import LimitExceeded
from vision.media.document_facts import DocumentFacts
from vision.media.document_pages import DocumentPage
from vision.media.picture_facts import PictureFacts
from vision.media.video_types import Shot, Stretch, Subtitle, VideoFacts, Watched
from vision.search.hits import Found
from vision.types import Box, Frozen, PageText

# What `ocr_reason` of a page begins with that cannot be read at all: the page is then empty.
UNREADABLE = "this page cannot be read: "
Role = Literal["media", "ocr"]
P = TypeVar("P", bound=Frozen)
R = TypeVar("R", bound=Frozen)


@dataclass(frozen=True)
class Job(Generic[P, R]):
    name: str
    role: Role
    params: type[P]
    item: type[R]


class Raster(Frozen):
    """The size of the picture in the blob: rows of `width` RGB pixels, 3 bytes each."""

    width: int
    height: int


class PictureParams(Frozen):
    """`page`: of a TIFF or frame of an animation. `region`: pixels of the upright original. `measure`: facts too."""

    format: str
    page: int = 1
    region: Box | None = None
    max_pixels: int
    max_side: int | None = None
    measure: bool = False


class PictureItem(Frozen):
    """Size of the original, and the raster: pixel (x, y) of it stands at origin + (x, y) / scale of the original."""

    width: int
    height: int
    pages: int
    raster: Raster
    scale: float
    origin: tuple[float, float]
    facts: PictureFacts | None


class DocumentParams(Frozen):
    """`pages` as in "1-5,9", None for all; `after`: how many of the chosen pages to skip. `text_only`: no rasters come,
    and `needs_ocr` says which pages should have had one.
    """

    format: str
    password: str | None = None
    pages: str | None = None
    after: int = 0
    output: Literal["markdown", "text"]
    text_only: bool = False
    max_pages: int
    max_pixels: int


class DocumentItem(Frozen):
    """One page, at `place` of `total` chosen ones. A page for OCR brings its raster, at `scale` pixels a point."""

    place: int
    total: int
    page_count: int
    title: str
    page: DocumentPage
    raster: Raster | None = None
    scale: float = 1.0


class FactsParams(Frozen):
    """All that a document says about itself but its text."""

    format: str
    password: str | None = None
    max_pages: int


class KnownPage(Frozen):
    """The lines of a page that was read before, each with its box in points."""

    number: int
    lines: tuple[tuple[str, Box], ...]


class SearchParams(Frozen):
    """`question`: the text is a question, of which only the telling words count. `known`: pages whose text is not in
    the file. `first`, `most`: which of the hits are wanted.
    """

    format: str
    password: str | None = None
    pages: str | None = None
    text: str
    question: bool = False
    known: tuple[KnownPage, ...] = ()
    first: int = 0
    most: int
    max_pages: int


class SearchItem(Frozen):
    """How many pages were looked at, of how many; at the end `found`. `unread`: pages whose text is not in the file and
    was not known; `sparse`: those with hardly any, which show pictures; `failed`: pages that cannot be read, with the
    reasons.
    """

    looked: int
    total: int
    found: Found | None = None
    unread: tuple[int, ...] = ()
    sparse: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


class PngParams(Frozen):
    """Encode the picture in the blob."""

    raster: Raster


class PngItem(Frozen):
    """The PNG is in the blob: without loss, and compressed lightly, as it travels no further than to the model."""


class ResizeParams(Frozen):
    """Stretch the PNG in the blob to this size in pixels."""

    width: int
    height: int


class PagePicturesParams(Frozen):
    """Pages to show to a model, by number; `dpi`: pixels an inch, fewer where `max_pixels` says so."""

    format: str
    pages: tuple[int, ...]
    password: str | None = None
    dpi: float
    max_pages: int
    max_pixels: int


class PagePictureItem(Frozen):
    """One page, its PNG in the blob. `box`: what it shows, in points."""

    number: int
    box: Box


class VideoParams(Frozen):
    """Times in seconds; `max_frames`: to read text on; `spread`: for a model, evenly over the segment; `budget_s`: how
    long the look may take before it ends with what it has.
    """

    start_s: float | None = None
    end_s: float | None = None
    max_frames: int
    spread: int = 0
    max_pixels: int
    budget_s: float


class VideoItem(Frozen):
    """One of: the facts (first), a shot, a stretch, a subtitle, a frame, what was looked at (last).

    A frame to read that has no raster is one more than was asked for. A frame for the model (`spread_s`) comes as PNG.
    """

    facts: VideoFacts | None = None
    shot: Shot | None = None
    stretch: Stretch | None = None
    subtitle: Subtitle | None = None
    watched: Watched | None = None
    frame_s: float | None = None
    raster: Raster | None = None
    spread_s: float | None = None


class TextParams(Frozen):
    """Read the picture in the blob."""

    raster: Raster
    tables: bool = True


PICTURE = Job("picture", "media", PictureParams, PictureItem)
DOCUMENT = Job("document", "media", DocumentParams, DocumentItem)
FACTS = Job("facts", "media", FactsParams, DocumentFacts)
SEARCH = Job("search", "media", SearchParams, SearchItem)
PAGE_PICTURES = Job("page pictures", "media", PagePicturesParams, PagePictureItem)
PNG = Job("png", "media", PngParams, PngItem)
RESIZE = Job("resize", "media", ResizeParams, PngItem)
VIDEO = Job("video", "media", VideoParams, VideoItem)
TEXT = Job("text", "ocr", TextParams, PageText)
_ALL = (PICTURE, DOCUMENT, FACTS, SEARCH, PAGE_PICTURES, PNG, RESIZE, VIDEO, TEXT)
JOBS: dict[str, Job[Any, Any]] = {job.name: job for job in _ALL}


def memory_exceeded() -> LimitExceeded:
    return LimitExceeded(
        "the file needs more memory to decode than a decoder may have",
        "Use a smaller version or a region of it; for decoding, decoder_memory_mb may be raised.",
    )
