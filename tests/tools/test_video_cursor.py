"""Following analyze_video's cursor over a scripted video: what one reply cannot hold, read or see comes later."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scripted_model import NO_MODEL, ScriptedModel
from tools.analyze_video import TOOL, AnalyzeVideoParameters
from tools.paging import tokens_of
from vision.call import Call
from vision.config import Settings
from vision.engine.engine import Engine
from vision.media.video_types import Chapter, Shot, Subtitle, VideoFacts, Watched
from vision.seen import FrameText
from vision.types import TextLine

pytestmark = pytest.mark.anyio
LENGTH_S = 100.0


@dataclass
class ScriptedVideo:
    """A video service: shots of 10 s, one text a second, subtitles and chapters as given.

    `seen_s`: how much of the video one look sees before its time is up.
    """

    settings: Settings
    subtitles: tuple[Subtitle, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    seen_s: float = LENGTH_S
    looks: list[tuple[float | None, float | None]] = field(default_factory=list)
    engine: Engine = field(default_factory=ScriptedModel(choice=NO_MODEL).engine)

    async def open(self, source: str, call: Call) -> Any:
        opened = SimpleNamespace(name=source, sha256="ab" * 32)
        return nullcontext(SimpleNamespace(opened=opened, kind=SimpleNamespace(kind="video", format="mp4")))

    async def watch(
        self,
        media: Any,
        call: Call,
        *,
        start_s: float | None,
        end_s: float | None,
        max_frames: int,
        keep_s: float,
        spread: int,
    ) -> AsyncIterator[Any]:
        self.looks.append((start_s, end_s))
        assert len(self.looks) < 300, "it does not end"
        start, end = start_s or 0.0, min(end_s or LENGTH_S, LENGTH_S)
        seen = min(end, start + self.seen_s)
        yield facts(self.chapters)
        for shot in range(10):
            if shot * 10 < seen and shot * 10 + 10 > start:
                yield Shot(max(start, shot * 10.0), min(seen, shot * 10.0 + 10))
        for subtitle in self.subtitles:
            if subtitle.end_s > start and subtitle.start_s < seen:
                yield subtitle
        times = [second + 0.5 for second in range(int(LENGTH_S)) if start <= second + 0.5 < seen]
        for place, time_s in enumerate(times):
            line = TextLine(text=f"{NUMBERS[int(time_s)]} on screen", box=(10, 10, 90, 30), confidence=0.9)
            yield FrameText(time_s, (line,) if place < max_frames else None)
        complete = seen >= end
        yield Watched("every frame", start, seen, complete, "end" if complete else "deadline", 9, 0, 0.1)


# Texts that are not alike: alike ones would be taken for one line.
NUMBERS = [chr(97 + n % 26) * 4 + chr(97 + n // 26) * 4 + chr(122 - n % 26) * 3 for n in range(100)]


def facts(chapters: tuple[Chapter, ...]) -> VideoFacts:
    return VideoFacts(
        container="mp4", codec="h264", width=100, height=100, rotation=0, duration_s=LENGTH_S, fps=25.0,
        variable_frame_rate=False, frame_count=2500, pixel_format="yuv420p", bit_depth=8, hdr=None, video_streams=1,
        audio_streams=0, subtitle_streams=1, chosen_stream=0, chapters=chapters,
    )  # fmt: skip


async def follow(video: ScriptedVideo, **arguments: Any) -> list[Any]:
    replies: list[Any] = []
    while not replies or replies[-1].next_cursor:
        parameters = AnalyzeVideoParameters(source="a.mp4", **arguments)
        replies.append(await TOOL.run(video, parameters, Call(within_s=60)))  # type: ignore[arg-type]
        assert tokens_of(replies[-1]) <= video.settings.max_reply_tokens
        arguments = {"cursor": replies[-1].next_cursor}
    return replies


def entries(replies: list[Any], kind: str) -> list[Any]:
    return [entry for reply in replies for entry in reply.timeline if entry.kind == kind]


def texts(replies: list[Any]) -> list[str]:
    return [entry.text.split()[0] for entry in entries(replies, "text")]


@pytest.mark.parametrize("tokens", [2000, 3000, 8000])
@pytest.mark.parametrize("max_frames", [7, 64])
@pytest.mark.parametrize("seen_s", [LENGTH_S, 33.3])
async def test_following_the_cursor_gives_everything_once(tokens: int, max_frames: int, seen_s: float) -> None:
    many = tuple(Subtitle(20.0, 22.0, f"subtitle {n} {'word ' * 20}") for n in range(150))
    chapters = tuple(Chapter(10.0 * n, 10.0 * n + 10, f"Part {n}") for n in range(10))
    video = ScriptedVideo(Settings(max_reply_tokens=tokens), many, chapters, seen_s)
    replies = await follow(video, max_frames=max_frames)
    assert texts(replies) == NUMBERS
    assert Counter(entry.text for entry in entries(replies, "subtitle")) == Counter(s.text for s in many)
    assert Counter(entry.text for entry in entries(replies, "chapter")) == Counter(c.title for c in chapters)
    shots = sorted((entry.start_s, entry.end_s) for entry in entries(replies, "shot"))
    assert shots[0][0] == 0 and shots[-1][1] == LENGTH_S
    for (_, before_s), (after_s, _) in pairwise(shots):
        assert after_s == pytest.approx(before_s, abs=0.03)
    assert [reply.truncated for reply in replies] == [True] * (len(replies) - 1) + [False]


async def test_a_subtitle_longer_than_a_reply_comes_in_parts() -> None:
    long = Subtitle(1.0, 2.0, "word " * 6000)
    replies = await follow(ScriptedVideo(Settings(max_reply_tokens=2000), (long,)), max_frames=64)
    assert "".join(entry.text for entry in entries(replies, "subtitle")) == long.text


async def test_the_cursor_alone_keeps_the_segment_and_the_number_of_frames() -> None:
    video = ScriptedVideo(Settings())
    replies = await follow(video, start=12, end=30, max_frames=5)
    assert texts(replies) == NUMBERS[12:30]
    assert {end for _, end in video.looks} == {30}
    assert all(len(reply.used.frames_s) <= 5 for reply in replies)


async def test_frames_that_were_not_read_are_not_passed_over_when_the_reply_is_full() -> None:
    many = tuple(Subtitle(n, n + 0.5, f"subtitle {n} {'word ' * 60}") for n in range(100))
    replies = await follow(ScriptedVideo(Settings(max_reply_tokens=2500), many), max_frames=10)
    assert texts(replies) == NUMBERS


async def test_a_look_that_sees_nothing_new_has_no_cursor_but_says_so() -> None:
    (reply,) = await follow(ScriptedVideo(Settings(), seen_s=0.0))
    assert reply.truncated
    assert any("decode_timeout_s" in notice for notice in reply.notices)


async def test_more_frames_than_the_server_allows_are_said_to_be_bounded() -> None:
    (reply, *_) = await follow(ScriptedVideo(Settings(max_frames=16)), max_frames=500)
    assert any("at most 16 frames" in notice for notice in reply.notices)
