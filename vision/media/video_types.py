"""What is known and seen of a video. Light: imports neither PyAV nor NumPy, so any layer may use these values.

Times are seconds from the first picture of the video (timestamps, never frame numbers ÷ rate). Sizes are pixels as a
player shows them: rotated upright, anamorphic pixels made square.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vision.types import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["every frame", "key frames"]
Why = Literal["uniform", "shot", "change"]


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """What one video may cost."""

    max_pixels: int = 36_000_000
    """Largest picture that is decoded, in pixels (8K is 33.2 million)."""
    full_pass_pixels: int = 6_000_000_000
    """Up to so many pixels in the segment every frame is decoded (about 3.5 minutes of 720p at 30/s), beyond it key
    frames only."""
    seconds: float = 120.0
    """The pass ends after so many seconds with what was seen until then."""
    max_side: int = 1280
    """Longer side of the frames that are handed out, in pixels."""
    max_text_frames: int = 24
    """About how many frames are handed out for their on-screen text."""
    max_subtitles: int = 5_000
    """So many subtitle entries are kept."""


@dataclass(frozen=True, slots=True)
class Chapter:
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the headers and the first picture tell."""

    container: str
    codec: str
    width: int
    height: int
    rotation: Literal[0, 90, 180, 270]
    """Degrees clockwise by which the stored picture is turned to be shown."""
    duration_s: float | None
    fps: float | None
    """Average frames a second."""
    variable_frame_rate: bool | None
    """None where the container has no index that tells."""
    frame_count: int | None
    pixel_format: str
    bit_depth: int
    hdr: Literal["PQ", "HLG"] | None
    video_streams: int
    audio_streams: int
    subtitle_streams: int
    chosen_stream: int
    """Index of the video stream that is watched, among all streams."""
    title: str | None = None
    chapters: tuple[Chapter, ...] = ()

    @property
    def has_audio(self) -> bool:
        return self.audio_streams > 0


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A picture worth looking at. `image`: uint8 RGB (height, width, 3), upright, longer side at most `max_side`.

    "uniform": one of the `max_frames` spread evenly over the segment. "shot": the first settled picture of a shot, and
    "change": the picture has become another one since; these two are for reading on-screen text, near-duplicates are
    left out.
    """

    time_s: float
    why: Why
    image: NDArray[np.uint8] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch between two scene changes."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which nothing is visible ("black") or nothing moves ("frozen")."""

    kind: Literal["black", "frozen"]
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Subtitle:
    start_s: float
    end_s: float
    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """The last event of a pass: what was done, and how far it came."""

    method: Method
    start_s: float
    end_s: float
    """Until here it was looked; less than asked for when `complete` is false."""
    complete: bool
    ended_by: Literal["end", "deadline", "damage"]
    pictures: int
    """Pictures decoded within the segment."""
    corrupt: int
    """Pictures that came out damaged or not at all."""
    largest_gap_s: float
    """Longest time between two pictures that were looked at: what is shorter may have been missed."""


VideoEvent = SeenFrame | Shot | Stretch | Subtitle | Watched


@dataclass(frozen=True, slots=True)
class TimedText:
    """A line of on-screen text and the time it stood there; `box` in pixels of the frames it was read on."""

    start_s: float
    end_s: float
    text: str
    box: Box
    confidence: float = 1.0
