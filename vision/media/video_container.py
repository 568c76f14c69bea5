"""The one door to PyAV: opens a container from a file object, picks the stream, tells the time, maps the errors.

FFmpeg's demuxers for playlists (HLS, DASH, concat) and many others open further files or addresses that the content
names. Here only self-contained formats are known, no protocol is allowed, and opening anything is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO, NoReturn, cast

import av
import av.container
import av.error
import av.logging
from av.codec.context import ThreadType
from av.stream import Discard, Disposition
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from vision.errors import DamagedMedia, LimitExceeded, UnsupportedMedia, VisionError
from vision.media.video_types import VideoLimits

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,apng,webp,webp_anim,flv,ogg,asf"
DECODER_THREADS = 2
HUGE_PIXELS = 16_000_000
"""Each frame thread holds pictures of its own, 60 MB more for each at 8K: beyond this size there is only one."""
ENCRYPTION_MARKS = (b"encv", b"enca", b"pssh", b"sinf")
SCAN_BYTES = 1 << 20
JUMP_S = 1.0
"""A step back in time by more than this is a new start of the clock, by less a repeated timestamp."""
DECODE_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError)
"""What PyAV raises on content; ValueError and RuntimeError where it finds a codec it does not know."""

REPAIR_HINT = "Check that the file plays elsewhere; remuxing it (ffmpeg -i IN -c copy OUT.mp4) often repairs it."
KINDS_HINT = "Give a video file: MP4, MOV, WebM, MKV, AVI, MPEG-TS, MPEG, FLV, Ogg or GIF."


class Source:
    """Read, seek and tell of a file, and nothing more: PyAV would tell FFmpeg the file's name and close the file."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


def refuse_to_open(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise UnsupportedMedia("The video refers to other files or addresses, which are never opened.", KINDS_HINT)


@contextmanager
def opened(file: BinaryIO, limits: VideoLimits) -> Iterator[av.container.InputContainer]:
    """The container, or DamagedMedia / UnsupportedMedia that says why it cannot be opened. `file` stays open."""
    # Without this, damaged content makes FFmpeg write to stderr by the thousand lines.
    av.logging.set_level(None)
    file.seek(0)
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", "max_pixels": str(limits.max_pixels)}
    try:
        container = av.open(
            Source(file), "r", options=options, metadata_errors="ignore", buffer_size=1 << 18, io_open=refuse_to_open
        )
    except DECODE_ERRORS as e:
        raise _cannot_open(file) from e
    with container:
        yield container


def _cannot_open(file: BinaryIO) -> VisionError:
    if is_encrypted(file):
        return encrypted()
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"#EXTM3U") or not head:
        return UnsupportedMedia("This is a playlist or empty, not a video.", KINDS_HINT)
    return DamagedMedia("The video cannot be opened: its header is damaged or of no known container.", REPAIR_HINT)


def is_encrypted(file: BinaryIO) -> bool:
    """Whether an MP4 names a protection scheme (Common Encryption boxes) in its first or last mebibyte."""
    file.seek(0)
    head = file.read(SCAN_BYTES)
    if head[4:8] not in (b"ftyp", b"styp", b"moof", b"moov", b"sidx"):
        return False
    end = file.seek(0, 2)
    file.seek(max(0, end - SCAN_BYTES))
    both = head + file.read(SCAN_BYTES)
    return sum(mark in both for mark in ENCRYPTION_MARKS) >= 2


def encrypted() -> UnsupportedMedia:
    return UnsupportedMedia(
        "The video is encrypted (DRM), and its key is not in the file.", "Give a copy without copy protection."
    )


def pick_video(container: av.container.InputContainer, limits: VideoLimits) -> VideoStream:
    """The stream a player would show: no cover art, the default one, moving rather than a still, then the largest.

    Errors: UnsupportedMedia (none, or its codec is unknown), LimitExceeded (the picture is too large to decode).
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [s for s in container.streams.video if not (s.disposition & still)]
    if not streams:
        what = "It holds sound only" if container.streams.audio else "It holds no pictures"
        raise UnsupportedMedia(f"This file is not a video. {what}: it has no video stream.", KINDS_HINT)
    most = max(s.frames for s in streams)

    def rank(s: VideoStream) -> tuple[bool, bool, bool, int, int]:
        moving = s.frames >= most / 4 if most else True
        size = s.codec_context.width * s.codec_context.height if s.codec_context else 0
        return (size > 0, bool(s.disposition & Disposition.default), moving, size, -s.index)

    stream = max(streams, key=rank)
    # PyAV leaves the context out where this build of FFmpeg has no decoder.
    context = cast(Any, stream.codec_context)
    if context is None:
        raise UnsupportedMedia("The video's codec is not one that can be decoded here.", "Convert it to H.264 in MP4.")
    if context.width * context.height > limits.max_pixels:
        raise LimitExceeded(
            f"The picture is {context.width}x{context.height} pixels, over the limit of {limits.max_pixels} pixels.",
            "Scale the video down first.",
        )
    return stream


def text_subtitles(container: av.container.InputContainer) -> list[SubtitleStream]:
    """The subtitle streams that have a decoder."""
    return [s for s in container.streams.subtitles if cast(Any, s.codec_context) is not None]


def prepare(stream: VideoStream, subtitles: list[SubtitleStream], *, key_frames: bool, limits: VideoLimits) -> None:
    """Set the decoder up, and let the demuxer pass over everything that is not wanted."""
    context = stream.codec_context
    huge = context.width * context.height > HUGE_PIXELS
    context.thread_count = 1 if huge else DECODER_THREADS
    # A key frame is wanted at once, without the delay of frame threads.
    context.thread_type = ThreadType.SLICE if key_frames else ThreadType.FRAME
    context.options = {"max_pixels": str(limits.max_pixels)}
    wanted = {stream.index, *(s.index for s in subtitles)}
    for other in stream.container.streams:
        other.discard = Discard.default if other.index in wanted else Discard.all
    if key_frames:
        stream.discard = Discard.nonkey


class Clock:
    """Turns timestamps into seconds from the first picture; keeps time running forward where timestamps do not."""

    def __init__(self, stream: VideoStream, first_pts: int | None = None) -> None:
        self.base = stream.time_base or Fraction(1, 90_000)
        self.zero = stream.start_time if stream.start_time is not None else (first_pts or 0)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self.step = float(1 / rate) if rate > 0 else 0.04
        self.last: float | None = None
        self.shift = 0.0

    def stamp(self, seconds: float) -> int:
        """The stream's timestamp for a time."""
        return self.zero + round(seconds / self.base)

    def at(self, pts: int | None, base: Fraction | None = None) -> float:
        """Seconds for a timestamp, without any memory."""
        return float(((pts or 0) * (base or self.base)) - self.zero * self.base)

    def tick(self, pts: int | None) -> float:
        """Seconds for the next picture. One without timestamp follows the last one; where the timestamps jump back
        (joined recordings) the time goes on from the last picture."""
        if pts is None:
            now = 0.0 if self.last is None else self.last + self.step
        else:
            now = self.at(pts) + self.shift
            if self.last is not None and now <= self.last:
                if self.last - now > JUMP_S:
                    self.shift += self.last + self.step - now
                    now = self.last + self.step
                else:
                    now = self.last + 0.001
        self.last = now
        return now
