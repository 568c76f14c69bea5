"""analyze_video: what happens in a video and when. The embedded engine measures and reads; it does not interpret."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import Field

from tools.common import NEEDS_MODEL, OCR_ENGINE, CursorText, Source, source_facts
from tools.paging import Budget, Cursor, start_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.media.video_text import merge_text
from vision.media.video_types import Shot, Stretch, Subtitle, VideoFacts, Watched
from vision.service import FrameText, VisionService
from vision.types import Box, Frozen, TextLine

_OVERHEAD_TOKENS = 900
# Reading one frame may take this long; none is begun when less is left for the reply.
_FRAME_READ_S = 4.0


class AnalyzeVideoParameters(Parameters):
    source: Source
    question: Annotated[
        str | None, Field(description="What you want to know; the embedded engine returns the timeline to reason from")
    ] = None
    start: Annotated[float | None, Field(ge=0, description="Look from this second on")] = None
    end: Annotated[float | None, Field(gt=0, description="Look up to this second")] = None
    max_frames: Annotated[int, Field(ge=1, le=512, description="Most frames whose text is read")] = 24
    cursor: CursorText = None


class TimelineEntry(Frozen):
    """`text` says what it is; for kind text and subtitle it is what stands there. `box` in pixels as shown."""

    start_s: float
    end_s: float
    kind: Literal["shot", "black", "frozen", "text", "subtitle", "chapter"]
    text: str
    box: Box | None = None
    confidence: float | None = None


class VideoTechnical(Frozen):
    """Size in pixels as shown, rotated upright."""

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    fps: float | None
    variable_frame_rate: bool | None
    hdr: str | None
    has_audio: bool
    video_streams: int
    subtitle_streams: int
    title: str | None = None


class Look(Frozen):
    """What was looked at. What is shorter than `largest_gap_s` may have been missed."""

    method: str
    start_s: float
    end_s: float
    complete: bool
    pictures: int
    corrupt_pictures: int
    largest_gap_s: float


class AnalyzeVideoResult(ToolResult):
    timeline: tuple[TimelineEntry, ...]
    duration_s: float | None
    video: VideoTechnical
    looked_at: Look | None


class _Seen:
    """Collects what comes from the pass."""

    def __init__(self) -> None:
        self.facts: VideoFacts | None = None
        self.watched: Watched | None = None
        self.entries: list[TimelineEntry] = []
        self.cuts: list[float] = []
        self.shots = 0
        self.frames: list[tuple[float, tuple[TextLine, ...]]] = []
        self.unread: list[float] = []

    def add(self, item: VideoFacts | Shot | Stretch | Subtitle | Watched | FrameText) -> None:
        if isinstance(item, VideoFacts):
            self.facts = item
            self.entries += [_entry(c.start_s, c.end_s, "chapter", c.title) for c in item.chapters]
        elif isinstance(item, Shot):
            self.cuts.append(item.start_s)
            self.shots += 1
            self.entries.append(_entry(item.start_s, item.end_s, "shot", f"shot {self.shots}"))
        elif isinstance(item, Stretch):
            says = {"black": "nothing visible", "frozen": "nothing moves"}[item.kind]
            self.entries.append(_entry(item.start_s, item.end_s, item.kind, says))
            if item.kind == "black":  # no text outlasts the moment the picture goes black
                self.cuts.append(item.start_s)
        elif isinstance(item, Subtitle):
            self.entries.append(_entry(item.start_s, item.end_s, "subtitle", item.text))
        elif isinstance(item, Watched):
            self.watched = item
        elif item.lines is None:
            self.unread.append(item.time_s)
        else:
            self.frames.append((item.time_s, item.lines))

    def timeline(self) -> list[TimelineEntry]:
        end = self.watched.end_s if self.watched else None
        texts = [
            _entry(t.start_s, t.end_s, "text", t.text).model_copy(
                update={"box": tuple(float(round(v)) for v in t.box), "confidence": round(t.confidence, 2)}
            )
            for t in merge_text(self.frames, cuts=sorted(self.cuts), end_s=end)
        ]
        return sorted(self.entries + texts, key=lambda e: (e.start_s, e.kind))


def _entry(start_s: float, end_s: float, kind: str, text: str) -> TimelineEntry:
    return TimelineEntry.model_validate(
        {"start_s": round(start_s, 2), "end_s": round(end_s, 2), "kind": kind, "text": text}
    )


async def run(service: VisionService, parameters: AnalyzeVideoParameters, call: Call) -> AnalyzeVideoResult:
    with await service.open(parameters.source, call) as media:
        cursor = start_of(parameters.cursor, media.opened.sha256)
        start_s = cursor.item / 1000 if parameters.cursor else parameters.start
        seen = _Seen()
        events = service.watch(
            media, call, start_s=start_s, end_s=parameters.end, max_frames=parameters.max_frames,
            keep_s=_FRAME_READ_S,
        )  # fmt: skip
        async with aclosing(events):
            async for item in events:
                seen.add(item)
        assert seen.facts is not None  # the pass begins with them or raises
        facts = source_facts(media, width=seen.facts.width, height=seen.facts.height, duration_s=seen.facts.duration_s)
    return _result(seen, seen.facts, facts, parameters, cursor, service.settings.max_reply_tokens, call)


def _result(
    seen: _Seen,
    facts: VideoFacts,
    source: SourceFacts,
    parameters: AnalyzeVideoParameters,
    cursor: Cursor,
    tokens: int,
    call: Call,
) -> AnalyzeVideoResult:
    budget = Budget(tokens - _OVERHEAD_TOKENS)
    timeline: list[TimelineEntry] = []
    next_s: float | None = None
    for entry in seen.timeline():
        if not budget.take_all(entry):
            next_s = entry.start_s
            break
        timeline.append(entry)
    watched = seen.watched
    if next_s is None and seen.unread:
        next_s = seen.unread[0]
    if next_s is None and watched is not None and watched.ended_by == "deadline":
        next_s = watched.end_s
    return AnalyzeVideoResult(
        engine=OCR_ENGINE,
        sources=(source,),
        used=Used(frames_s=tuple(round(t, 2) for t, _ in seen.frames)),
        truncated=next_s is not None,
        next_cursor=Cursor(cursor.sha256, round(next_s * 1000)).encode() if next_s is not None else None,
        notices=_notices(seen, parameters, next_s),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        timeline=tuple(timeline),
        duration_s=facts.duration_s,
        video=_technical(facts),
        looked_at=_look(watched) if watched else None,
    )


def _notices(seen: _Seen, parameters: AnalyzeVideoParameters, next_s: float | None) -> tuple[str, ...]:
    notices = [NEEDS_MODEL] if parameters.question else []
    if seen.unread:
        more = f"Text on {len(seen.unread)} more frames was not read"
        notices.append(f"{more}: max_frames or the time for a reply ended.")
    if next_s is not None:
        notices.append(f"There is more from {next_s:.1f} s on: pass next_cursor as cursor, or start and end.")
    watched = seen.watched
    if watched is not None and watched.corrupt:
        notices.append(f"{watched.corrupt} pictures of the video are damaged.")
    if watched is not None and watched.ended_by == "damage":
        notices.append(f"The video is damaged after {watched.end_s:.1f} s; what comes later could not be seen.")
    if watched is not None and watched.method == "key frames":
        notices.append("A long segment: only key frames were looked at. Give start and end to see every frame.")
    return tuple(notices)


def _technical(facts: VideoFacts) -> VideoTechnical:
    return VideoTechnical(
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        rotation=facts.rotation,
        fps=round(facts.fps, 3) if facts.fps else None,
        variable_frame_rate=facts.variable_frame_rate,
        hdr=facts.hdr,
        has_audio=facts.has_audio,
        video_streams=facts.video_streams,
        subtitle_streams=facts.subtitle_streams,
        title=facts.title,
    )


def _look(watched: Watched) -> Look:
    return Look(
        method=watched.method,
        start_s=round(watched.start_s, 3),
        end_s=round(watched.end_s, 3),
        complete=watched.complete,
        pictures=watched.pictures,
        corrupt_pictures=watched.corrupt,
        largest_gap_s=round(watched.largest_gap_s, 3),
    )


TOOL = Tool(
    name="analyze_video",
    title="Look through a video",
    description=(
        "Gives a timeline of a video or screen recording (MP4, MOV, WebM, MKV, AVI, TS, animated GIF): shots, black "
        "and frozen stretches, embedded subtitles, chapters and the text on screen, each with start and end in "
        "seconds, and the technical facts. Give `start` and `end` to look closer at a part."
    ),
    parameters=AnalyzeVideoParameters,
    result=AnalyzeVideoResult,
    run=run,
)
