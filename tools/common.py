"""Parameters and result parts that several tools share."""

from __future__ import annotations

from statistics import fmean
from typing import Annotated

from pydantic import Field

from tools.result import SourceFacts
from vision.engine.choice import Choice
from vision.reading import ReadPage
from vision.seen import Media
from vision.types import Box, PageText, TextLine

Source = Annotated[
    str,
    Field(
        min_length=1,
        description="File path (relative to the working directory, ~ or file:// too), https URL, data: URI, "
        "or the word clipboard.",
    ),
]
Region = Annotated[Box | None, Field(description="[x1, y1, x2, y2] in pixels of the original; read at full resolution")]
Pages = Annotated[str | None, Field(max_length=500, description='Pages such as "1-5,9"; all when left out.')]
Password = Annotated[str | None, Field(description="Password of an encrypted PDF.")]
CursorText = Annotated[
    str | None,
    Field(description="next_cursor of the last result, for the rest: pages and the like need not come again"),
]

NEEDS_MODEL = (
    "The embedded engine reads text and measures pixels; it does not understand pictures, so it gives no answer of "
    "its own. What it read and measured is below, to reason from."
)


def needs_model(choice: Choice) -> str:
    """The notice for a question that no model answers, and what to do about it."""
    return f"{NEEDS_MODEL} Why: {choice.says}"


# Mean confidence of a page's lines below which much of it is wrong; clear print has 0.95 and more.
_LOW_BELIEF = 0.75
MORE = "There is more: pass next_cursor as cursor, or choose pages."


def source_facts(media: Media, **known: float | int | None) -> SourceFacts:
    return SourceFacts.model_validate(
        {
            "name": media.opened.name,
            "sha256": media.opened.sha256,
            "kind": media.kind.kind,
            "format": media.kind.format,
            **known,
        }
    )


def page_facts(media: Media, read: ReadPage) -> SourceFacts:
    """The source as its first page read shows it."""
    return source_facts(media, width=read.page.width, height=read.page.height, pages=read.page_count)


def whole_pixels(line: TextLine) -> TextLine:
    """The line with its box and confidence rounded: shorter to send, and as exact as anyone can use."""
    x1, y1, x2, y2 = (float(round(v)) for v in line.box)
    return line.model_copy(update={"box": (x1, y1, x2, y2), "confidence": round(line.confidence, 2)})


def poorly_read(text: PageText) -> bool:
    """Whether the recogniser read nothing, or mostly what it did not believe itself."""
    return not text.lines or fmean(line.confidence for line in text.lines) < _LOW_BELIEF


def used_scale(scale: float) -> float | None:
    """What `Used.downscaled` says: nothing where the picture was read as it is."""
    return round(scale, 3) if scale < 1 else None


def clipped(text: str, most: int, at: int = 0, length: int = 0) -> str:
    """At most about `most` characters of `text` around its part at `at`, marked where something was left out."""
    if len(text) <= most:
        return text
    first = max(0, min(at - (most - length) // 2, len(text) - most))
    last = first + most
    return ("…" if first else "") + text[first:last] + ("…" if last < len(text) else "")
