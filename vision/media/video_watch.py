"""One forward pass over a segment of a video: frames to look at, shots, black and frozen stretches, subtitles.

Short segments are decoded whole. Long ones, by pixels to decode, are looked at by their key frames, which costs a
fiftieth; the last event says which it was and how far it came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from av.container import InputContainer
from av.error import EOFError as StreamEnd
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vision.errors import DamagedMedia
from vision.media import video_container as door
from vision.media import video_subtitles
from vision.media.video_picture import Pictures, orientation
from vision.media.video_segment import Segment, choose_method, length_of, segment, uniform_times
from vision.media.video_signals import CutDetector, Measure, Meter, StretchDetector, TextFrameChooser
from vision.media.video_types import Method, SeenFrame, Shot, Subtitle, VideoEvent, VideoLimits, Watched, Why

SEEK_BACK_S = (0.0, 10.0)
"""Where the picture after a seek is later than asked for (MPEG-TS), the seek is repeated so much earlier, and at last
the file is read from its start."""
LEAST_KEY_FRAME_STEP_S = 0.5
MOST_KEY_FRAMES = 1_200
"""Of a file with a key frame every moment, or of hours, only so many are decoded: about 15 s of work at full HD."""
MAX_BROKEN_PACKETS = 2_000


@dataclass(slots=True)
class _Tally:
    """What is counted along the way."""

    pictures: int = 0
    corrupt: int = 0
    last_s: float | None = None
    largest_gap_s: float = 0.0
    ended_by: Literal["end", "deadline", "damage"] = "end"
    subtitles: set[tuple[float, str]] = field(default_factory=set)

    def picture(self, time_s: float, start_s: float) -> None:
        self.pictures += 1
        before = start_s if self.last_s is None else self.last_s
        self.largest_gap_s = max(self.largest_gap_s, time_s - before)
        self.last_s = time_s


def watch(
    file: BinaryIO,
    *,
    start_s: float | None,
    end_s: float | None,
    max_frames: int,
    limits: VideoLimits,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[VideoEvent]:
    """The pass; see `vision.media.video.watch`."""
    deadline = clock() + limits.seconds

    def late() -> bool:
        return clock() >= deadline

    length_s = length_of(file, limits, late)
    last: DamagedMedia | None = None
    for back in (*SEEK_BACK_S, None):
        with door.opened(file, limits) as container:
            part = segment(start_s, end_s, length_s)
            run = _Pass(container, file, part, max_frames, limits, late)
            frames = run.frames_from(back)
            try:
                first = next(frames, None)
            except DamagedMedia as e:
                # A seek can land on damage that reading from the start gets past.
                last = e
                continue
            # A pass that began early enough has the picture that stands at the very start.
            if back is not None and part.start_s > 0 and (first is None or first[0] > part.start_s):
                continue
            yield from run.events(first, frames)
            return
    if last is not None:
        raise last


class _Pass:
    """The state of one pass over one opened container."""

    def __init__(
        self,
        container: InputContainer,
        file: BinaryIO,
        part: Segment,
        max_frames: int,
        limits: VideoLimits,
        late: Callable[[], bool],
    ) -> None:
        self.container, self.file, self.limits, self.late = container, file, limits, late
        self.stream = door.pick_video(container, limits)
        self.clock = door.Clock(self.stream)
        self.segment = part
        self.method: Method = choose_method(self.stream, self.segment, self.clock, limits)
        self.max_frames = max_frames
        self.tally = _Tally()
        self.found: list[Subtitle] = []

    # Decoding

    def frames_from(self, back: float | None) -> Iterator[tuple[float, VideoFrame]]:
        """(time, frame) of the segment, the picture that stands at its start included. `back`: how much before the
        start to seek to, None to read from the beginning of the file."""
        subtitles = door.text_subtitles(self.container)
        door.prepare(self.stream, subtitles, key_frames=self.method == "key frames", limits=self.limits)
        if self.segment.start_s > 0 and back is not None:
            try:
                self.container.seek(self.clock.stamp(max(0.0, self.segment.start_s - back)), stream=self.stream)
            except door.DECODE_ERRORS:
                return
        wanted = [self.stream, *subtitles]
        held: tuple[float, VideoFrame] | None = None
        for time_s, frame in self._decoded(wanted):
            if time_s < self.segment.start_s:
                held = (time_s, frame)
                continue
            if held is not None and time_s > self.segment.start_s:
                yield (self.segment.start_s, held[1])
            held = None
            if self.segment.stop_s is not None and time_s >= self.segment.stop_s:
                return
            yield (time_s, frame)
        if held is not None:
            # The last picture of the video stands until its end.
            yield (self.segment.start_s, held[1])

    def _decoded(self, wanted: list[Any]) -> Iterator[tuple[float, VideoFrame]]:
        key_frames = self.method == "key frames"
        step_s = max(LEAST_KEY_FRAME_STEP_S, self.segment.length_s / MOST_KEY_FRAMES)
        next_s = float("-inf")
        for packet in self._packets(wanted):
            # Not `stream_index`: the empty packets at the end, which flush the decoders, all have 0 there.
            if packet.stream.index != self.stream.index:
                self._subtitle(cast("Packet[SubtitleStream]", packet))
                continue
            if key_frames:
                at = self.clock.at(packet.pts) if packet.pts is not None else None
                if packet.size == 0 or not packet.is_keyframe or (at is not None and at < next_s):
                    continue
                if at is not None:
                    next_s = at + step_s
            for frame in self._decode(cast("Packet[VideoStream]", packet), drain=key_frames):
                time_s = self.clock.tick(frame.pts)
                # Edit lists leave pictures before zero that are not to be shown.
                if time_s >= -0.0005:
                    yield (max(0.0, time_s), frame)

    def _packets(self, wanted: list[Any]) -> Iterator[Packet[Stream]]:
        packets = self.container.demux(wanted)
        while True:
            if self.late():
                self.tally.ended_by = "deadline"
                return
            try:
                packet = next(packets, None)
            except StreamEnd:
                return
            except door.DECODE_ERRORS:
                self.tally.ended_by = "damage"
                return
            if packet is None:
                return
            yield packet

    def _decode(self, packet: Packet[VideoStream], *, drain: bool) -> list[VideoFrame]:
        if self.tally.pictures == 0 and packet.size and packet.has_sidedata("encryption_info"):
            raise door.encrypted()
        context = self.stream.codec_context
        try:
            frames = context.decode(packet)
            if drain:
                frames += context.decode(None)
                context.flush_buffers()
        except StreamEnd:
            return []
        except door.DECODE_ERRORS as e:
            self.tally.corrupt += 1
            if self.tally.pictures == 0 and self.tally.corrupt > MAX_BROKEN_PACKETS:
                raise self._damaged() from e
            if drain:
                context.flush_buffers()
            return []
        return frames

    def _subtitle(self, packet: Packet[SubtitleStream]) -> None:
        for entry in video_subtitles.decode(packet, self.clock):
            key = (round(entry.start_s, 2), entry.text)
            inside = entry.end_s > self.segment.start_s and (
                self.segment.end_s is None or entry.start_s < self.segment.end_s
            )
            # Streams for the same language in two qualities say the same twice.
            if inside and key not in self.tally.subtitles and len(self.tally.subtitles) < self.limits.max_subtitles:
                self.tally.subtitles.add(key)
                self.found.append(entry)

    def _damaged(self) -> Exception:
        if door.is_encrypted(self.file):
            return door.encrypted()
        return DamagedMedia("The video has no picture that can be decoded.", door.REPAIR_HINT)

    # Looking

    def events(
        self, first: tuple[float, VideoFrame] | None, rest: Iterator[tuple[float, VideoFrame]]
    ) -> Iterator[VideoEvent]:
        if first is None:
            if self.tally.ended_by != "deadline":
                raise self._damaged()
            yield self._watched()
            return
        look = _Look(self, first[1])
        yield from look.at(*first)
        for time_s, frame in rest:
            yield from look.at(time_s, frame)
            while self.found:
                yield self.found.pop(0)
        yield from look.end(self._end_s())
        yield from self.found
        yield self._watched()

    def _end_s(self) -> float:
        """Until when it was looked. The last picture stands for its own duration."""
        last = self.tally.last_s if self.tally.last_s is not None else self.segment.start_s
        if self.tally.ended_by != "end":
            return last
        after = last + self.clock.step
        if self.segment.end_s is not None and (self.method == "key frames" or after >= self.segment.end_s - 1.0):
            # Sound may go on a little longer than the pictures.
            return max(last, self.segment.end_s)
        return after

    def _watched(self) -> Watched:
        tally, end_s = self.tally, self._end_s()
        wanted = self.segment.end_s
        complete = tally.ended_by == "end" and (wanted is None or end_s >= wanted - 0.5)
        if tally.ended_by == "end" and not complete:
            tally.ended_by = "damage"
        gap = max(tally.largest_gap_s, end_s - (tally.last_s or self.segment.start_s))
        return Watched(
            self.method, self.segment.start_s, end_s, complete, tally.ended_by, tally.pictures, tally.corrupt, gap
        )


class _Look:
    """Turns pictures into events."""

    def __init__(self, run: _Pass, first: VideoFrame) -> None:
        self.run = run
        seg = run.segment
        sparse = run.method == "key frames"
        aspect = run.stream.codec_context.sample_aspect_ratio
        self.pictures = Pictures(orientation(first), aspect, run.limits.max_side)
        self.meter = Meter()
        self.cuts = CutDetector(sparse=sparse)
        self.stretches = StretchDetector()
        self.reader = TextFrameChooser(seg.start_s, seg.length_s, run.limits.max_text_frames, sparse=sparse)
        self.targets = uniform_times(seg.start_s, seg.length_s, run.max_frames)
        self.next_target = 0
        self.shot_from = seg.start_s
        self.before: tuple[float, VideoFrame] | None = None

    def at(self, time_s: float, frame: VideoFrame) -> Iterator[VideoEvent]:
        self.run.tally.picture(time_s, self.run.segment.start_s)
        self.run.tally.corrupt += frame.is_corrupt
        now = self.meter.measure(time_s, self.pictures.small(frame))
        yield from self._uniform_until(time_s)
        cut = self.cuts.feed(now)
        if cut is not None:
            yield self._shot(cut)
        yield from self.stretches.feed(now)
        yield from self._to_read(now, frame)
        self.before = (time_s, frame)

    def end(self, end_s: float) -> Iterator[VideoEvent]:
        yield from self._uniform_until(None if self.run.tally.ended_by == "end" else end_s)
        cut = self.cuts.end()
        if cut is not None:
            yield self._shot(cut)
        yield Shot(self.shot_from, end_s)
        yield from self.stretches.end(end_s)

    def _shot(self, cut: float) -> Shot:
        shot = Shot(self.shot_from, cut)
        self.shot_from = cut
        self.reader.cut(cut)
        return shot

    def _uniform_until(self, time_s: float | None) -> Iterator[SeenFrame]:
        """The picture that stood at each wanted time before `time_s`; once, where it stood at several."""
        due = 0
        while self.next_target < len(self.targets) and (time_s is None or self.targets[self.next_target] < time_s):
            self.next_target += 1
            due += 1
        if due and self.before is not None:
            yield self._seen(*self.before, "uniform")

    def _to_read(self, now: Measure, frame: VideoFrame) -> Iterator[SeenFrame]:
        why = self.reader.feed(now)
        if why is not None:
            yield self._seen(now.time_s, frame, why)

    def _seen(self, time_s: float, frame: VideoFrame, why: Why) -> SeenFrame:
        return SeenFrame(time_s, why, self.pictures.rgb(frame))
