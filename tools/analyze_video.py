"""analyze_video: what happens in a video and when. What is measured and read makes the timeline; a model that is shown
frames says what happens.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import astuple, dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from tools.asking import Spoken, ask, silent
from tools.common import CursorText, Source, needs_model, source_facts
from tools.cursor import Cursors
from tools.paging import At, Budget, fill, tokens_of
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.config import Settings
from vision.engine.choice import Choice
from vision.media.video_text import merge_text
from vision.media.video_types import Shot, Stretch, Subtitle, VideoFacts, Watched
from vision.prompts.video import Frame, VideoPrompt, ask_video
from vision.seen import FrameText
from vision.service import VisionService
from vision.types import Box, Frozen, TextLine

_OVERHEAD_TOKENS = 900
# Reading one frame may take this long; none is begun when less is left.
_FRAME_READ_S = 4.0
# With a model, no frame's text is read any more when less than this share of the work's time is left for it.
_MODEL_SHARE = 0.6
# Frames for a question unless max_frames says so: the reference's evaluations take 16 (MVBench) and up.
_FRAMES = 16
# Two looks at the same video may differ so much about when a stretch ends.
_SAME_TIME_S = 0.02
_CURSORS = Cursors("analyze_video", 5, ("start", "end", "max_frames"))


class AnalyzeVideoParameters(Parameters):
    source: Source
    question: Annotated[
        str | None, Field(description="What you want to know, in your language; without it the video is described")
    ] = None
    start: Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="Look from this second on")] = None
    end: Annotated[float | None, Field(gt=0, allow_inf_nan=False, description="Look up to this second")] = None
    max_frames: Annotated[
        int,
        Field(
            ge=1,
            le=512,
            description="Most frames whose text is read in one reply, and that a model is shown; the server has bounds",
        ),
    ] = 24
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


@dataclass(frozen=True)
class _Place:
    """Where a reply begins, in milliseconds and counts, as its cursor says.

    The segment from `start` on is looked at as for the reply before, and `given` entries (and `characters` of the next)
    are left out. `known`: up to here another reply gave what was measured (only texts are new before it); 0: none did.
    `horizon`: texts from here on belong to a later reply; 0: as far as frames can be read.
    """

    start: int
    given: int
    characters: int
    known: int
    horizon: int


class _Seen:
    """Collects what comes from the pass."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.facts: VideoFacts | None = None
        self.watched: Watched | None = None
        self.entries: list[TimelineEntry] = []
        self.cuts: list[float] = []
        self.shots = 0
        self.frames: list[tuple[float, tuple[TextLine, ...]]] = []
        self.unread: list[float] = []
        self.shown: list[Frame] = []

    def add(self, item: VideoFacts | Shot | Stretch | Subtitle | Watched | FrameText | Frame) -> None:
        if isinstance(item, Frame):
            self.shown.append(item)
        elif isinstance(item, VideoFacts):
            self.facts = item
            if not self.place.known:  # they come from the header, all at once
                self.entries += [_entry(c.start_s, c.end_s, "chapter", c.title) for c in item.chapters]
        elif isinstance(item, Shot):
            self.cuts.append(item.start_s)
            self.shots += 1
            # A look that goes on cannot count on from the shots of the one before.
            self._measured(item.start_s, item.end_s, "shot", "shot" if self.place.known else f"shot {self.shots}")
        elif isinstance(item, Stretch):
            says = {"black": "nothing visible", "frozen": "nothing moves"}[item.kind]
            self._measured(item.start_s, item.end_s, item.kind, says)
            if item.kind == "black":  # no text outlasts the moment the picture goes black
                self.cuts.append(item.start_s)
        elif isinstance(item, Subtitle):
            if item.start_s * 1000 >= self.place.known:
                self.entries.append(_entry(item.start_s, item.end_s, "subtitle", item.text))
        elif isinstance(item, Watched):
            self.watched = item
        elif item.lines is None or 0 < self.place.horizon <= item.time_s * 1000:
            self.unread.append(item.time_s)
        else:
            self.frames.append((item.time_s, item.lines))

    def _measured(self, start_s: float, end_s: float, kind: str, says: str) -> None:
        """Adds what of a stretch the replies before have not given."""
        known_s = self.place.known / 1000
        if end_s > known_s + _SAME_TIME_S:
            self.entries.append(_entry(max(start_s, known_s), end_s, kind, says))

    def timeline(self) -> list[TimelineEntry]:
        ends = [self.watched.end_s] if self.watched else []
        # From the first frame that was not read on, nothing is known of the texts.
        end = min(ends + self.unread, default=None)
        frames = [frame for frame in self.frames if not self.unread or frame[0] < min(self.unread)]
        texts = [
            _entry(t.start_s, t.end_s, "text", t.text).model_copy(
                update={"box": tuple(float(round(v)) for v in t.box), "confidence": round(t.confidence, 2)}
            )
            for t in merge_text(frames, cuts=sorted(self.cuts), end_s=end)
        ]
        return sorted(self.entries + texts, key=lambda e: (e.start_s, e.kind))

    def stopped(self) -> bool:
        """Whether the look ended before the segment did, for want of time."""
        return self.watched is not None and self.watched.ended_by == "deadline"

    def next_place(self, rest: At | None) -> _Place | None:
        """Where the next reply begins, or None when all was given (or no later reply could see more).

        `rest`: the place in the timeline from which on it did not fit into this reply.
        """
        if rest is not None:
            # The same look again: texts must end where they ended now, for entries to keep their places.
            horizon = _milliseconds(min(self.unread)) if self.unread else 0
            return replace(self.place, given=rest.item, characters=rest.character, horizon=horizon)
        assert self.watched is not None  # the last event of every look
        goes_on = [*self.unread, *([self.watched.end_s] if self.stopped() else [])]
        if not goes_on or _milliseconds(min(goes_on)) <= _milliseconds(self.watched.start_s):
            return None
        known = math.ceil(self.watched.end_s * 1000)
        return _Place(_milliseconds(min(goes_on)), 0, 0, max(self.place.known, known), 0)


def _milliseconds(time_s: float) -> int:
    """Rounded down, so that what begins at `time_s` is not missed."""
    return math.floor(time_s * 1000)


def _entry(start_s: float, end_s: float, kind: str, text: str) -> TimelineEntry:
    return TimelineEntry.model_validate(
        {"start_s": round(start_s, 2), "end_s": round(end_s, 2), "kind": kind, "text": text}
    )


async def run(service: VisionService, parameters: AnalyzeVideoParameters, call: Call) -> AnalyzeVideoResult:
    given_frames = "max_frames" in parameters.model_fields_set
    parameters, start = _CURSORS.resume(parameters, parameters.cursor)
    call = call.made_with(parameters.model_dump(mode="json", exclude_unset=True))
    choice = await service.engine.choice()
    # A cursor goes on with the timeline; only a question asks the model again.
    asking = choice.model is not None and (parameters.cursor is None or parameters.question is not None)
    keep_s = min(_FRAME_READ_S, call.within_s / 4)
    with await service.open(parameters.source, call) as media:
        start.check(media.opened.sha256)
        seen = _Seen(_Place(*start.place))
        events = service.watch(
            media, call, start_s=seen.place.start / 1000 if seen.place.start else parameters.start,
            end_s=parameters.end, max_frames=parameters.max_frames,
            keep_s=_MODEL_SHARE * call.within_s if asking else keep_s,
            spread=_frames(parameters, service.settings, choice, given_frames) if asking else 0,
        )  # fmt: skip
        async with aclosing(events):
            async for item in events:
                seen.add(item)
        assert seen.facts is not None  # the pass begins with them or raises
        facts = source_facts(media, width=seen.facts.width, height=seen.facts.height, duration_s=seen.facts.duration_s)
    if asking and seen.shown:
        spoken = await ask(service, call, ask_video(seen.shown, parameters.question), [facts])
    else:
        spoken = await silent(service, call, choice, [facts])
    return _result(seen, facts, parameters, service.settings, choice, spoken, call)


def _frames(parameters: AnalyzeVideoParameters, settings: Settings, choice: Choice, given: bool) -> int:
    """How many frames the model is shown; `given`: whether the call names a number."""
    assert choice.model is not None
    wanted = parameters.max_frames if given else min(_FRAMES, parameters.max_frames)
    return min(wanted, settings.max_frames, choice.model.max_frames)


def _result(
    seen: _Seen,
    source: SourceFacts,
    parameters: AnalyzeVideoParameters,
    settings: Settings,
    choice: Choice,
    spoken: Spoken,
    call: Call,
) -> AnalyzeVideoResult:
    facts = seen.facts
    assert facts is not None
    looked_at = {t for t, _ in seen.frames} | _shown_times(spoken)
    used = Used(frames_s=tuple(sorted(round(t, 2) for t in looked_at)), tiles=spoken.tiles)
    video = _technical(facts)
    room = settings.max_reply_tokens - spoken.tokens
    budget = Budget(room - _OVERHEAD_TOKENS - tokens_of(used) - tokens_of(video))
    timeline, rest = _part(seen, budget)
    place = seen.next_place(rest)
    cursor = None
    if place is not None:
        cursor = _CURSORS.make(source.sha256, parameters, *astuple(place))
    unanswered = [needs_model(choice)] if parameters.question and choice.model is None else []
    return AnalyzeVideoResult(
        **spoken.shared(),
        sources=(source,),
        used=used,
        truncated=cursor is not None or bool(seen.unread) or seen.stopped() or spoken.truncated,
        next_cursor=cursor,
        notices=(*spoken.notices, *unanswered, *_notices(seen, parameters, settings, timeline, place)),
        timings_ms={"total": round(call.elapsed_s * 1000)},
        timeline=tuple(timeline),
        duration_s=facts.duration_s,
        video=video,
        looked_at=_look(seen.watched) if seen.watched else None,
    )


def _shown_times(spoken: Spoken) -> set[float]:
    """Of the frames that the model was shown in the end: fewer than were taken, where the memory did not suffice."""
    prompt = spoken.said.prompt if spoken.said is not None else None
    return {frame.time_s for frame in prompt.frames} if isinstance(prompt, VideoPrompt) else set()


def _part(seen: _Seen, budget: Budget) -> tuple[list[TimelineEntry], At | None]:
    """The entries of this reply, and the place of the next one that does not fit."""
    timeline = seen.timeline()
    if seen.place.given >= len(timeline) and (seen.unread or seen.stopped()):
        return [], None  # the same look had less time than for the reply before, and came less far
    return fill(timeline, At(seen.place.given, 0, seen.place.characters), budget)


def _notices(
    seen: _Seen,
    parameters: AnalyzeVideoParameters,
    settings: Settings,
    timeline: list[TimelineEntry],
    place: _Place | None,
) -> tuple[str, ...]:
    notices: list[str] = []
    if parameters.max_frames > settings.max_frames:
        bound = f"This server reads at most {settings.max_frames} frames in a reply (its setting max_frames)"
        notices.append(f"{bound}, not {parameters.max_frames}.")
    if seen.unread:
        more = f"Text on {len(seen.unread)} more frames, from {min(seen.unread):.1f} s on, was not read"
        notices.append(f"{more}: max_frames or the time ended.")
    watched = seen.watched
    if place is not None:
        from_s = timeline[-1].start_s if place.given and timeline else place.start / 1000
        notices.append(f"There is more from {from_s:.1f} s on: pass next_cursor as cursor, or start and end.")
    elif seen.unread or seen.stopped():
        notices.append("The time for a look does not suffice to see more: raise decode_timeout_s on the server.")
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
        "seconds, and the technical facts. An InternVL model describes it or answers `question` from frames spread "
        "over it. Give `start` and `end` to look closer at a part."
    ),
    parameters=AnalyzeVideoParameters,
    result=AnalyzeVideoResult,
    run=run,
)
