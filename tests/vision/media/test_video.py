"""Videos made here, with known cuts, stretches and times, through every container."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.subtitles.subtitle import SubtitleSet

from vision.errors import DamagedMedia, InvalidArgument, LimitExceeded, UnsupportedMedia, VisionError
from vision.media.video import SeenFrame, Shot, Stretch, Subtitle, VideoLimits, Watched, probe, watch

WIDTH, HEIGHT = 320, 180
Picture = np.ndarray[Any, np.dtype[np.uint8]]
CONTAINERS = [
    ("mp4", "libx264"),
    ("mov", "mpeg4"),
    ("webm", "libvpx-vp9"),
    ("matroska", "libx264"),
    ("avi", "mpeg4"),
    ("mpegts", "mpeg2video"),
    ("mpeg", "mpeg2video"),
    ("flv", "flv"),
    ("gif", "gif"),
]


def scene(seed: int) -> Picture:
    """A picture of large coloured squares, another one for each seed."""
    squares = np.random.default_rng(seed).integers(40, 216, (6, 8, 3), dtype=np.uint8)
    return np.kron(squares, np.ones((30, 40, 1), dtype=np.uint8))


def plain(level: int) -> Picture:
    return np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)


def steady(parts: Iterable[tuple[float, Picture]], fps: int = 25) -> Iterator[tuple[float, Picture]]:
    """(time, picture) at a constant rate: each picture stands for its seconds, and slides a little while it does."""
    count = 0
    for seconds, picture in parts:
        for _ in range(round(seconds * fps)):
            yield count / fps, np.roll(picture, count % 50, axis=1)
            count += 1


def encode(
    pictures: Iterable[tuple[float, Picture]],
    form: str = "mp4",
    codec: str = "libx264",
    *,
    fps: int = 25,
    options: dict[str, str] | None = None,
    subtitles: Iterable[tuple[float, float, str]] = (),
    container_options: dict[str, str] | None = None,
) -> io.BytesIO:
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000 if codec == "libx264" else fps)
        fast = {"libx264": {"preset": "veryfast"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
        stream.options = {**fast.get(codec, {}), **(options or {})}
        text: Any = container.add_stream("mov_text" if form == "mp4" else "ass") if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
            text.codec_context.time_base = Fraction(1, 1000)
        base = stream.codec_context.time_base
        for time_s, picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = round(time_s / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for start, end, words in subtitles:
            event = f"0,0,Default,,0,0,0,,{words}".encode()
            entry = SubtitleSet.create(text=event, start=0, end=round((end - start) * 1000), pts=round(start * 1000))
            packet = text.codec_context.encode_subtitle(entry)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            container.mux(packet)
    out.seek(0)
    return out


def seen(events: list[Any], kind: type) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


def cuts(events: list[Any]) -> list[float]:
    return [s.start_s for s in seen(events, Shot)][1:]


def look(file: io.BytesIO, **kwargs: Any) -> list[Any]:
    return list(watch(file, **kwargs))


THREE = [(1.2, scene(1)), (0.8, scene(2)), (1.0, scene(3))]


@pytest.mark.parametrize(("form", "codec"), CONTAINERS)
def test_cuts_and_facts_are_right_in_every_container(form: str, codec: str) -> None:
    file = encode(steady(THREE), form, codec)
    facts = probe(file)
    events = look(file, max_frames=6)
    assert (facts.width, facts.height, facts.rotation) == (WIDTH, HEIGHT, 0)
    assert facts.fps == pytest.approx(25, abs=0.1)
    assert facts.duration_s == pytest.approx(3.0, abs=0.12)
    assert cuts(events) == pytest.approx([1.2, 2.0], abs=0.041)
    assert seen(events, Watched)[0].pictures >= 74
    assert events[-1].complete
    uniform = [f.time_s for f in seen(events, SeenFrame) if f.why == "uniform"]
    assert uniform == pytest.approx([0.25, 0.75, 1.25, 1.75, 2.25, 2.75], abs=0.07)


def test_b_frames_come_in_the_order_of_time_with_their_own_pictures() -> None:
    levels = [(i / 25, plain(40 + 4 * i)) for i in range(40)]
    file = encode(levels, options={"bf": "3", "b_strategy": "0", "g": "40"})
    frames = [f for f in seen(look(file, max_frames=40), SeenFrame) if f.why == "uniform"]
    assert [f.time_s for f in frames] == pytest.approx([i / 25 for i in range(40)], abs=0.001)
    assert [int(f.image.mean()) for f in frames] == pytest.approx([40 + 4 * i for i in range(40)], abs=3)


def test_variable_frame_rate_is_told_by_timestamps() -> None:
    times = [0.0, 0.04, 0.08, 0.12, 2.0, 2.04, 2.08, 5.0, 5.04, 5.08]
    pictures = [(t, scene(1 + (t >= 2) + (t >= 5))) for t in times]
    file = encode(pictures)
    events = look(file, max_frames=4)
    assert probe(file).variable_frame_rate is True
    assert cuts(events) == pytest.approx([2.0, 5.0], abs=0.001)
    stretches = [(s.kind, round(s.start_s, 1), round(s.end_s, 1)) for s in seen(events, Stretch)]
    assert stretches == [("frozen", 0.0, 2.0), ("frozen", 2.0, 5.0)]


def test_constant_frame_rate_is_not_called_variable() -> None:
    assert probe(encode(steady(THREE))).variable_frame_rate is False


def test_black_and_frozen_stretches_have_their_times() -> None:
    still = [(2.0 + i / 25, scene(7)) for i in range(75)]
    parts = [*steady([(1.0, scene(5)), (1.0, plain(0))]), *still]
    parts += [(t + 5.0, p) for t, p in steady([(1.0, scene(6))])]
    events = look(encode(parts))
    stretches = [(s.kind, s.start_s, s.end_s) for s in seen(events, Stretch)]
    assert [s[0] for s in stretches] == ["black", "frozen"]
    assert [t for s in stretches for t in s[1:]] == pytest.approx([1.0, 2.0, 2.0, 5.0], abs=0.05)


def test_fade_from_black_between_pictures_starts_a_shot() -> None:
    first, second = scene(1), scene(2)
    fade = [(1 - i / 15, first) for i in range(16)] + [(0.0, first)] * 10 + [(i / 15, second) for i in range(16)]
    levels = [(1.0, first)] * 25 + fade + [(1.0, second)] * 25
    pictures = [(i / 25, (p * share).astype(np.uint8)) for i, (share, p) in enumerate(levels)]
    assert cuts(look(encode(pictures))) == pytest.approx([(25 + 26) / 25], abs=0.3)


def test_flash_and_fast_pan_are_no_cuts() -> None:
    moving = [np.roll(scene(1), 9 * i, axis=1) for i in range(50)]
    moving[20] = plain(250)
    assert cuts(look(encode((i / 25, p) for i, p in enumerate(moving)))) == []


def test_short_title_card_is_chosen_for_reading_once_settled() -> None:
    card = plain(20)
    card[80:100, 60:260:4] = 235
    levels = [(1.5, scene(1)), (1.5, card), (1.5, scene(2))]
    pictures = [(i / 25, p) for i, p in enumerate(p for s, p in levels for _ in range(round(s * 25)))]
    chosen = [f for f in seen(look(encode(pictures)), SeenFrame) if f.why != "uniform"]
    on_card = [f for f in chosen if 1.5 <= f.time_s < 3.0]
    assert [f.why for f in on_card] == ["shot"]
    assert len(chosen) == 3, "a picture that stands still is read once"


def test_segment_is_kept_and_starts_with_the_picture_that_stands_there() -> None:
    file = encode(steady([(2.0, scene(1)), (2.0, scene(2)), (2.0, scene(3))]), options={"g": "50"})
    events = look(file, start_s=2.5, end_s=4.5, max_frames=4)
    frames = seen(events, SeenFrame)
    assert cuts(events) == pytest.approx([4.0], abs=0.041)
    assert [f.time_s for f in frames if f.why == "uniform"] == pytest.approx([2.75, 3.25, 3.75, 4.25], abs=0.05)
    assert all(2.5 <= f.time_s < 4.5 for f in frames)
    assert (events[-1].start_s, events[-1].end_s) == pytest.approx((2.5, 4.5))
    assert events[-1].pictures == pytest.approx(50, abs=1)


@pytest.mark.parametrize("form", ["mpegts", "avi", "gif"])
def test_segment_times_are_right_where_seeking_is_imprecise(form: str) -> None:
    codec = {"mpegts": "mpeg2video", "avi": "mpeg4", "gif": "gif"}[form]
    file = encode(steady([(2.0, scene(1)), (2.0, scene(2)), (2.0, scene(3))]), form, codec)
    events = look(file, start_s=3.5, end_s=5.0)
    assert cuts(events) == pytest.approx([4.0], abs=0.041)
    assert min(f.time_s for f in seen(events, SeenFrame)) >= 3.5


@pytest.mark.parametrize(("start", "end"), [(2.0, 1.0), (-1.0, None), (99.0, None)])
def test_segment_outside_the_video_is_an_invalid_argument(start: float, end: float | None) -> None:
    with pytest.raises(InvalidArgument):
        look(encode(steady([(1.0, scene(1))])), start_s=start, end_s=end)


@pytest.mark.parametrize("form", ["mp4", "matroska"])
def test_subtitles_come_as_plain_text_with_times(form: str) -> None:
    lines = [(0.5, 1.5, r"{\i1}Hello{\i0} there\Nsecond line"), (1.8, 2.6, "<b>你好</b> &amp; bye")]
    file = encode(steady(THREE), form, subtitles=lines)
    found = seen(look(file), Subtitle)
    assert probe(file).subtitle_streams == 1
    assert [s.text for s in found] == ["Hello there\nsecond line", "你好 & bye"]
    assert [t for s in found for t in (s.start_s, s.end_s)] == pytest.approx([0.5, 1.5, 1.8, 2.6], abs=0.02)
    assert [s.text for s in seen(look(file, start_s=1.6), Subtitle)] == ["你好 & bye"]


ROTATIONS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_rotation_is_applied(rotation: int) -> None:
    picture = plain(30)
    picture[:40, :40] = 220
    data = bytearray(encode((i / 25, picture) for i in range(10)).getvalue())
    a, b, c, d = (v << 16 for v in ROTATIONS[rotation])
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    facts = probe(io.BytesIO(data))
    image = seen(look(io.BytesIO(data)), SeenFrame)[0].image
    expected = np.rot90(picture, -rotation // 90)
    assert facts.rotation == rotation
    assert (facts.height, facts.width) == image.shape[:2] == expected.shape[:2]
    assert np.abs(image.astype(int) - expected).mean() < 6


def test_edit_list_hides_what_comes_before_the_start() -> None:
    data = bytearray(encode(steady(THREE), options={"bf": "0"}).getvalue())
    at = data.index(b"elst") + 4
    version, _, count, length, start = struct.unpack(">B3sIIi", data[at : at + 16])
    assert (version, count) == (0, 1)
    scale = struct.unpack(">I", data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20])[0]
    data[at + 8 : at + 16] = struct.pack(">Ii", length, start + round(0.4 * scale))
    events = look(io.BytesIO(data))
    assert cuts(events) == pytest.approx([0.8, 1.6], abs=0.041)
    assert min(f.time_s for f in seen(events, SeenFrame)) >= 0


def test_long_video_is_looked_at_by_key_frames() -> None:
    file = encode(steady([(6.0, scene(1)), (6.0, plain(0)), (6.0, scene(3))]), options={"g": "25"})
    events = look(file, limits=VideoLimits(full_pass_pixels=1), max_frames=6)
    done = events[-1]
    assert (done.method, done.complete) == ("key frames", True)
    assert done.pictures <= 22
    assert 0.9 < done.largest_gap_s < 1.3
    assert cuts(events) == pytest.approx([12.0], abs=0.05)
    assert [(s.kind, s.start_s, s.end_s) for s in seen(events, Stretch)] == [
        ("black", pytest.approx(6.0, abs=0.05), pytest.approx(12.0, abs=0.05))
    ]
    uniform = [f.time_s for f in seen(events, SeenFrame) if f.why == "uniform"]
    assert uniform == pytest.approx([1.0, 4.0, 7.0, 10.0, 13.0, 16.0], abs=0.6)


def test_too_few_key_frames_mean_that_every_frame_is_decoded() -> None:
    pictures = [(float(i), scene(i % 3)) for i in range(40)]
    file = encode(pictures, fps=1, options={"g": "1000", "sc_threshold": "0", "bf": "0"})
    assert look(file, limits=VideoLimits(full_pass_pixels=1))[-1].method == "every frame"


def test_length_that_no_header_tells_is_found_by_the_timestamps() -> None:
    file = encode(steady(THREE), "webm", "libvpx-vp9", container_options={"live": "1"})
    assert probe(file).duration_s is None
    events = look(file, max_frames=3)
    assert events[-1].end_s == pytest.approx(3.0, abs=0.05)
    uniform = [f.time_s for f in seen(events, SeenFrame) if f.why == "uniform"]
    assert uniform == pytest.approx([0.5, 1.5, 2.5], abs=0.05)


def test_deadline_gives_what_is_there_and_says_so() -> None:
    done = look(encode(steady(THREE)), limits=VideoLimits(seconds=0))[-1]
    assert (done.complete, done.ended_by, done.end_s) == (False, "deadline", 0.0)


@pytest.mark.parametrize(("form", "codec"), [("matroska", "libx264"), ("mpegts", "mpeg2video"), ("avi", "mpeg4")])
def test_truncated_file_gives_what_is_readable(form: str, codec: str) -> None:
    whole = encode(steady([(2.0, scene(1)), (2.0, scene(2))]), form, codec).getvalue()
    events = look(io.BytesIO(whole[: len(whole) * 7 // 10]))
    assert 1.5 < events[-1].end_s < 3.9
    assert seen(events, SeenFrame)


def test_corrupt_data_is_counted_and_the_rest_is_seen() -> None:
    data = bytearray(encode(steady([(4.0, scene(1))]), options={"g": "10"}).getvalue())
    start = data.index(b"mdat")
    rng = np.random.default_rng(1)
    for at in rng.integers(start + 3000, start + 3000 + (len(data) - start) // 2, 60):
        data[at] ^= 0xFF
    done = look(io.BytesIO(data))[-1]
    assert done.corrupt > 0
    assert done.pictures > 20


ATTACKS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "dash": b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>file:///etc/</BaseURL></MPD>",
    "text": b"nothing of the kind" * 100,
    "empty": b"",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_playlists_and_other_files_are_refused(attack: str) -> None:
    for run in (probe, look):
        with pytest.raises((UnsupportedMedia, DamagedMedia)):
            run(io.BytesIO(ATTACKS[attack]))


def test_sound_without_pictures_is_unsupported() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44_100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UnsupportedMedia, match="sound only"):
        probe(out)


def test_too_large_a_picture_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(LimitExceeded, match="320x180"):
        probe(encode(steady([(0.5, scene(1))])), VideoLimits(max_pixels=10_000))


def test_frames_are_scaled_down_to_the_side_asked_for() -> None:
    frames = seen(look(encode(steady([(0.5, scene(1))])), limits=VideoLimits(max_side=160)), SeenFrame)
    assert {f.image.shape for f in frames} == {(90, 160, 3)}


def test_file_stays_open_and_import_is_light() -> None:
    file = encode(steady([(0.5, scene(1))]))
    probe(file)
    look(file)
    assert not file.closed
    code = "import sys, vision.media.video; sys.exit(bool({'av', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def media() -> Path:
    where = os.environ.get("INTERNVL_MCP_MEDIA")
    if not where:
        pytest.skip("INTERNVL_MCP_MEDIA is not set: the third-party media were NOT checked")
    return Path(where)


def test_third_party_videos_have_the_known_facts() -> None:
    folder = media() / "videos"
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        with (folder / entry["file"]).open("rb") as file:
            facts = probe(file)
        duration = float(entry["verified"].split("s rotation")[0].split()[-1])
        assert facts.duration_s == pytest.approx(duration, abs=0.02), entry["file"]
        assert facts.has_audio == ("audio 0" not in entry["verified"]), entry["file"]
        stored = entry["truth"]["tech"]
        assert any(f"{w}x{h}" in stored for w, h in ((facts.width, facts.height), (facts.height, facts.width)))
        assert (facts.rotation != 0) == ("rotat" in stored or "display matrix" in stored), entry["file"]


def test_third_party_videos_show_the_known_events() -> None:
    folder = media() / "videos"

    def watched(name: str) -> list[Any]:
        with (folder / name).open("rb") as file:
            return list(watch(file, max_frames=4))

    bunny, mirror, night = (watched(n) for n in ("bbb_30s.mp4", "nasa_mirror_multistream.mp4", "black_6min_h264.mp4"))
    assert cuts(bunny) == pytest.approx([11.5, 15.5, 23.25], abs=1.0)
    assert [s.kind for s in seen(bunny, Stretch)] == ["black"]
    assert [f for f in seen(bunny, SeenFrame) if f.why != "uniform" and 21 <= f.time_s < 23]
    assert cuts(mirror) == pytest.approx([5.3, 8.0], abs=0.5)
    assert seen(mirror, Subtitle)[0].text == "NAR: This is the optical and science segment of the Webb"
    assert len(seen(mirror, Subtitle)) == 4
    assert [(s.kind, s.start_s, round(s.end_s)) for s in seen(night, Stretch)] == [("black", 0.0, 363)]
    assert not [f for f in seen(night, SeenFrame) if f.why != "uniform"]


def test_hostile_videos_give_a_result_or_a_clear_error() -> None:
    limits = dataclasses.replace(VideoLimits(), seconds=20)
    for path in sorted([*(media() / "hostile").glob("*.mp4"), *(media() / "hostile").glob("*.avi")]):
        with path.open("rb") as file:
            try:
                assert isinstance(list(watch(file, max_frames=2, limits=limits))[-1], Watched)
            except VisionError as e:
                assert "passwd" not in e.message
                assert e.hint
