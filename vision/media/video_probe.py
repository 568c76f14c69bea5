"""The facts of a video from its headers and its first picture."""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, BinaryIO

from av.container import InputContainer
from av.error import EOFError as StreamEnd
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vision.errors import DamagedMedia
from vision.media import video_container as door
from vision.media.video_picture import Orientation, hdr_of, orientation, shown_size
from vision.media.video_segment import duration_of
from vision.media.video_types import Chapter, VideoFacts, VideoLimits

if TYPE_CHECKING:
    from av.container.core import Chapter as AvChapter

FIRST_PICTURE_PACKETS = 300
"""So many packets may go by before the first picture comes."""
INDEX_ENTRIES = 500
UNEVEN = 0.2
"""With more than this share of the typical duration between the shortest and longest frame the rate is variable."""
NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska", "libdav1d": "av1"}


def probe(file: BinaryIO, limits: VideoLimits) -> VideoFacts:
    """See `vision.media.video.probe`."""
    with door.opened(file, limits) as container:
        stream = door.pick_video(container, limits)
        # An index that the demuxer builds while it reads tells only of what was read: look before decoding.
        uneven = _variable_rate(stream)
        first = _first_picture(container, stream, limits)
        if first is None:
            if door.is_encrypted(file):
                raise door.encrypted()
            raise DamagedMedia("The video has no picture that can be decoded.", door.REPAIR_HINT)
        return _facts(container, stream, first, uneven)


def _first_picture(container: InputContainer, stream: VideoStream, limits: VideoLimits) -> VideoFrame | None:
    door.prepare(stream, [], key_frames=False, limits=limits)
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    for _ in range(FIRST_PICTURE_PACKETS):
        try:
            packet = next(packets, None)
        except door.DECODE_ERRORS:
            return None
        if packet is None:
            return None
        if packet.size and packet.has_sidedata("encryption_info"):
            raise door.encrypted()
        try:
            frames = stream.codec_context.decode(packet)
        except StreamEnd:
            return None
        except door.DECODE_ERRORS:
            continue
        if frames:
            return frames[0]
    return None


def _facts(container: InputContainer, stream: VideoStream, first: VideoFrame, uneven: bool | None) -> VideoFacts:
    context = stream.codec_context
    turned: Orientation = orientation(first)
    width, height = shown_size(first.width, first.height, context.sample_aspect_ratio, turned)
    rate = stream.average_rate or stream.guessed_rate
    name = container.format.name
    return VideoFacts(
        container=NAMES.get(name, name),
        codec=NAMES.get(context.name, context.name),
        width=width,
        height=height,
        rotation=turned.rotation,
        duration_s=duration_of(container, stream),
        fps=float(rate) if rate else None,
        variable_frame_rate=uneven,
        frame_count=stream.frames or None,
        pixel_format=first.format.name,
        bit_depth=max((c.bits for c in first.format.components), default=8),
        hdr=hdr_of(first.color_trc),
        video_streams=len(container.streams.video),
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        chosen_stream=stream.index,
        title=container.metadata.get("title") or None,
        chapters=tuple(_chapter(c) for c in container.chapters()),
    )


def _chapter(chapter: AvChapter) -> Chapter:
    base = chapter["time_base"] or 1
    return Chapter(float(chapter["start"] * base), float(chapter["end"] * base), chapter["metadata"].get("title", ""))


def _variable_rate(stream: VideoStream) -> bool | None:
    """From the timestamps in the index, where it lists every frame (MP4, AVI)."""
    entries = stream.index_entries
    count = min(len(entries), INDEX_ENTRIES)
    if count < 3 or (stream.frames and len(entries) < stream.frames):
        return None
    stamps = sorted(entries[i].timestamp for i in range(count))
    gaps = [b - a for a, b in itertools.pairwise(stamps)]
    typical = statistics.median(gaps)
    return bool(typical) and max(gaps[:-1]) - min(gaps[:-1]) > UNEVEN * typical
