"""Video, looked at in a worker process: what its headers say, and one pass over its pictures.

Importing this module is cheap; PyAV and NumPy are loaded by the first call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from vision.media.video_text import merge_text
from vision.media.video_types import (
    Chapter,
    SeenFrame,
    Shot,
    Stretch,
    Subtitle,
    TimedText,
    VideoEvent,
    VideoFacts,
    VideoLimits,
    Watched,
)

__all__ = [
    "Chapter",
    "SeenFrame",
    "Shot",
    "Stretch",
    "Subtitle",
    "TimedText",
    "VideoEvent",
    "VideoFacts",
    "VideoLimits",
    "Watched",
    "merge_text",
    "probe",
    "watch",
]


def probe(file: BinaryIO, limits: VideoLimits | None = None) -> VideoFacts:
    """What the headers and the first picture tell: milliseconds, whatever the length.

    `file`: open for reading, seekable; it stays open.
    Errors: UnsupportedMedia (no video in it, an unknown codec, encrypted), DamagedMedia, LimitExceeded (pixels).
    """
    from vision.media.video_probe import probe as run

    return run(file, limits or VideoLimits())


def watch(
    file: BinaryIO,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    max_frames: int = 32,
    limits: VideoLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[VideoEvent]:
    """Look at the segment from `start_s` to `end_s` (default: all) once, and tell what is found as it is found.

    Up to `max_frames` frames spread evenly ("uniform") and about `limits.max_text_frames` for on-screen text come as
    SeenFrame; shots, stretches and subtitles each when they end; `Watched` is always the last event. Stop iterating to
    cancel. Events of one kind come in the order of time, apart from subtitles of several streams.

    Errors: as `probe`; InvalidArgument for a segment outside the video. Partly damaged video gives what is readable
    and a count. The pass ends early after `limits.seconds` of `clock`, which may leave out what is not its own time.
    """
    from vision.media.video_watch import watch as run

    return run(file, start_s=start_s, end_s=end_s, max_frames=max_frames, limits=limits or VideoLimits(), clock=clock)
