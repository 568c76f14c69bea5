"""What the service gives out: a source that is open, a picture that is decoded, what of it a model is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from vision.access.opened import OpenedSource
from vision.chat.types import ImagePart, Origin
from vision.errors import SourceUnreadable
from vision.media.sniff import MediaKind
from vision.types import Box, TextLine
from vision.workers import jobs


def changed(name: str) -> SourceUnreadable:
    """For a source that no longer holds what was seen."""
    return SourceUnreadable(
        f"{name} has changed since it was seen",
        "Ask about it again with the tool that saw it: its result has a new conversation_id.",
    )


@dataclass(frozen=True)
class Media:
    """An opened source and what it is. Close it with `with`: only so many may be open at once. `source`: as named."""

    opened: OpenedSource
    kind: MediaKind
    release: Callable[[], None]
    source: str

    def origin(self, page: int = 1, region: Box | None = None, time_s: float | None = None) -> Origin | None:
        """Of a picture of it; None for what cannot be found again."""
        if self.opened.name in ("data:", "clipboard"):
            return None
        return Origin(source=self.source, sha256=self.opened.sha256, page=page, region=region, time_s=time_s)

    def __enter__(self) -> Media:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.file.close()
        self.release()


@dataclass(frozen=True)
class FrameText:
    """The text on one frame of a video, boxes in pixels as shown; None where there was no time left to read it."""

    time_s: float
    lines: tuple[TextLine, ...] | None


@dataclass(frozen=True)
class Picture:
    """A decoded picture or region: facts, and its RGB pixels."""

    info: jobs.PictureItem
    pixels: bytearray
    key: str
    origin: Origin | None


@dataclass(frozen=True)
class Shown:
    """A picture as a model gets it. `region`: the part of the original that it shows: pixels, for a page points."""

    part: ImagePart
    region: Box
