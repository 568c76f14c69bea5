"""Which part of a video is looked at, how, and at which times the evenly spread frames lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

from vision.errors import InvalidArgument
from vision.media import video_container as door
from vision.media.video_types import Method, VideoLimits

SPARSEST_KEY_FRAME_S = 12.0
"""With key frames further apart than this on average, key frames alone would miss too much."""


@dataclass(frozen=True, slots=True)
class Segment:
    start_s: float
    end_s: float | None
    """None: to the end, which is not known beforehand."""
    stop_s: float | None
    """No picture from here on is wanted; None: to the last one, which may be later than the header says."""

    @property
    def length_s(self) -> float:
        return 0.0 if self.end_s is None else max(0.0, self.end_s - self.start_s)


def uniform_times(start_s: float, length_s: float, count: int) -> tuple[float, ...]:
    """The middles of `count` equal parts, as InternVL's get_index, by time instead of frame numbers."""
    return tuple(start_s + length_s * (i + 0.5) / count for i in range(count))


def segment(start_s: float | None, end_s: float | None, duration_s: float | None) -> Segment:
    """The part to look at, within the video. Errors: InvalidArgument for an empty one."""
    start = 0.0 if start_s is None else start_s
    if start < 0 or (end_s is not None and end_s <= start):
        raise InvalidArgument("The end must come after the start, and the start not before 0.", "Swap the two times.")
    if duration_s is not None and start >= duration_s:
        raise InvalidArgument(
            f"The start, {start:g} s, lies behind the end of the video ({duration_s:.2f} s).",
            "Give an earlier start.",
        )
    end = duration_s if end_s is None else end_s if duration_s is None else min(end_s, duration_s)
    stop = None if end_s is None or (duration_s is not None and end_s >= duration_s) else end_s
    return Segment(start, end, stop)


def duration_of(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds from the header: the container's, or the stream's own."""
    if container.duration and container.duration > 0:
        return container.duration / 1_000_000
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def length_of(file: BinaryIO, limits: VideoLimits, late: Callable[[], bool]) -> float | None:
    """Seconds from the header or, where it does not say (recordings of browsers), from the last timestamp."""
    with door.opened(file, limits) as container:
        stream = door.pick_video(container, limits)
        length_s = duration_of(container, stream)
        if length_s is not None:
            return length_s
        door.prepare(stream, [], key_frames=False, limits=limits)
        clock, end_s = door.Clock(stream), 0.0
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    end_s = max(end_s, clock.at(packet.pts + (packet.duration or 0)))
                if late():
                    break
        except door.DECODE_ERRORS:
            # Until the damage, then.
            return end_s or None
        return end_s or None


def choose_method(stream: VideoStream, part: Segment, clock: door.Clock, limits: VideoLimits) -> Method:
    """Every frame where the segment's pixels are within the limit, else key frames, if there are enough of them."""
    context = stream.codec_context
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if part.length_s * rate * context.width * context.height <= limits.full_pass_pixels:
        return "every frame"
    indexed = len(stream.index_entries)
    if indexed:
        begin, end = clock.stamp(part.start_s), clock.stamp(part.end_s or 0.0)
        keys = sum(e.is_keyframe and begin <= e.timestamp <= end for e in stream.index_entries)
        if keys * SPARSEST_KEY_FRAME_S < part.length_s:
            return "every frame"
    return "key frames"
