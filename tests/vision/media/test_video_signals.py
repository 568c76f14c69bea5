"""The detectors on made pictures, without any video."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vision.media.video_picture import Orientation, to_sdr
from vision.media.video_signals import CutDetector, Meter, StretchDetector, TextFrameChooser
from vision.media.video_subtitles import plain
from vision.media.video_types import Stretch

Small = np.ndarray[Any, np.dtype[np.uint8]]
FPS = 25


def picture(luma: int | Small, u: int = 128, v: int = 128) -> Small:
    out = np.empty((3, 90, 160), dtype=np.uint8)
    out[0], out[1], out[2] = luma, u, v
    return out


def texture(seed: int) -> Small:
    return np.kron(np.random.default_rng(seed).integers(30, 220, (9, 16), dtype=np.uint8), np.ones((10, 10), np.uint8))


def cuts(pictures: list[Small]) -> list[float]:
    meter, detector = Meter(), CutDetector()
    found = [detector.feed(meter.measure(i / FPS, p)) for i, p in enumerate(pictures)]
    return [c for c in [*found, detector.end()] if c is not None]


def stretches(pictures: list[Small]) -> list[Stretch]:
    meter, detector = Meter(), StretchDetector()
    out = [s for i, p in enumerate(pictures) for s in detector.feed(meter.measure(i / FPS, p))]
    return out + detector.end(len(pictures) / FPS)


def test_cut_between_dark_scenes_is_found() -> None:
    dark, other = texture(1) // 5 + 16, texture(2) // 4 + 30
    assert cuts([picture(dark)] * 20 + [picture(other)] * 20) == [20 / FPS]


def test_cut_between_scenes_of_equal_brightness_is_found_by_colour() -> None:
    assert cuts([picture(100, 90, 160)] * 20 + [picture(100, 160, 90)] * 20) == [20 / FPS]


def test_cut_inside_motion_is_found() -> None:
    moving = [picture(np.roll(texture(1 + (i >= 25)), i, axis=1)) for i in range(50)]
    assert cuts(moving) == [1.0]


def test_change_of_brightness_over_a_second_is_no_cut() -> None:
    assert cuts([picture(np.clip(texture(1) * (0.4 + i / 40), 0, 235).astype(np.uint8)) for i in range(25)]) == []


@pytest.mark.parametrize("length", [12, 25, 40])
def test_dissolve_is_one_scene_change_in_its_middle(length: int) -> None:
    mix = np.clip((np.arange(125) - 62) / length + 0.5, 0, 1)
    one, two = ([np.roll(texture(seed), i // 8, axis=1) for i in range(125)] for seed in (1, 2))
    pictures = [picture(((1 - m) * a + m * b).astype(np.uint8)) for m, a, b in zip(mix, one, two, strict=True)]
    assert cuts(pictures) == pytest.approx([62 / FPS], abs=0.45)


def test_something_bright_that_leaves_while_the_camera_adapts_is_no_dissolve() -> None:
    base = np.clip(texture(1) // 8 + 60, 0, 255)
    pictures = []
    for i in range(75):
        shown = base + min(i, 50)
        shown[: max(0, 40 - i), 60:85] = 230
        pictures.append(picture(shown.astype(np.uint8)))
    assert cuts(pictures) == []


@pytest.mark.parametrize("speed", [1, 2, 4, 9])
def test_pan_at_any_speed_is_no_dissolve(speed: int) -> None:
    assert cuts([picture(np.roll(texture(1), speed * i, axis=1)) for i in range(100)]) == []


def test_cut_at_the_last_picture_is_found() -> None:
    assert cuts([picture(texture(1))] * 20 + [picture(texture(2))]) == [20 / FPS]


def test_grey_noise_below_the_level_is_still_black() -> None:
    noise = np.random.default_rng(1).integers(16, 36, (90, 160), dtype=np.uint8)
    assert stretches([picture(noise)] * 25) == [Stretch("black", 0.0, 1.0)]


def test_small_white_text_on_black_is_not_black() -> None:
    text = np.full((90, 160), 16, dtype=np.uint8)
    text[40:44, 60:100:3] = 200
    assert [s.kind for s in stretches([picture(text)] * 75)] == ["frozen"]


def test_slow_drift_and_a_moving_pointer_are_not_frozen() -> None:
    drift = [picture(np.uint8(60 + i // 10)) for i in range(100)]
    pointer = [picture(texture(1)) for _ in range(100)]
    for i, p in enumerate(pointer):
        p[0, 40:43, i : i + 3] = 255 if p[0, 40, i] < 128 else 0
    assert stretches(drift) == []
    assert stretches(pointer) == []


def chosen(pictures: list[Small], duration_s: float, most: int = 24) -> list[tuple[float, str]]:
    meter, reader = Meter(), TextFrameChooser(0.0, duration_s, most)
    found = [(i / FPS, reader.feed(meter.measure(i / FPS, p))) for i, p in enumerate(pictures)]
    return [(t, why) for t, why in found if why]


def test_subtitle_that_appears_on_a_still_picture_is_a_change() -> None:
    with_text = texture(1).copy()
    with_text[75:80, 30:130:2] = 235
    got = chosen([picture(texture(1))] * 50 + [picture(with_text)] * 50, 4.0)
    assert [why for _, why in got] == ["shot", "change"]
    assert 2.0 < got[1][0] < 3.0


def test_slides_faster_than_the_allowance_still_leave_some_for_the_end() -> None:
    slides = [picture(texture(i // 25)) for i in range(25 * 60)]
    got = [t for t, _ in chosen(slides, 60.0)]
    assert len(got) <= 24
    assert got[-1] > 55


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"{\an8\i1}Hi{\i0}", "Hi"),
        (r"{\p1}m 0 0 l 100 0{\p0}word", "word"),
        ("<font color='red'>a</font> <i>b</i>", "a b"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        (r"one\Ntwo\hthree", "one\ntwo three"),
    ],
)
def test_subtitle_markup_is_taken_out(raw: str, text: str) -> None:
    assert plain(raw) == text


def test_hdr_white_and_grey_become_about_sdr_white_and_grey() -> None:
    # PQ codes (ITU-R BT.2408): 203 nits (reference white) 0.58, 26 nits (18 % grey card) 0.38, black 0.
    codes = np.array([[[0.58] * 3, [0.38] * 3, [0.0] * 3, [0.75] * 3]]) * 65535
    white, grey, black, highlight = to_sdr(codes.astype(np.uint16), "PQ")[0, :, 0].tolist()
    assert 215 <= white <= 245
    assert 90 <= grey <= 120
    assert black == 0
    assert white < highlight <= 255
    # HLG reference white is 0.75 of the signal.
    assert 215 <= to_sdr(np.full((1, 1, 3), 0.75 * 65535, dtype=np.uint16), "HLG")[0, 0, 0] <= 245


@pytest.mark.parametrize(
    ("turned", "rotation", "expected"),
    [
        (Orientation(), 0, [[1, 2], [3, 4]]),
        (Orientation(transpose=True, flip_x=True), 90, [[3, 1], [4, 2]]),
        (Orientation(flip_x=True, flip_y=True), 180, [[4, 3], [2, 1]]),
        (Orientation(transpose=True, flip_y=True), 270, [[2, 4], [1, 3]]),
        (Orientation(flip_x=True), 0, [[2, 1], [4, 3]]),
    ],
)
def test_orientations_turn_and_mirror(turned: Orientation, rotation: int, expected: list[list[int]]) -> None:
    image = np.array([[[1] * 3, [2] * 3], [[3] * 3, [4] * 3]], dtype=np.uint8)
    assert turned.rotation == rotation
    assert turned.apply(image)[:, :, 0].tolist() == expected
