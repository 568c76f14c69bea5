from __future__ import annotations

import pytest

from vision.media.video import TimedText, merge_text
from vision.types import Box, TextLine

HERE = (100.0, 100.0, 300.0, 120.0)


def line(text: str, box: Box = HERE, confidence: float = 0.9) -> TextLine:
    return TextLine(text=text, box=box, confidence=confidence)


def spans(entries: tuple[TimedText, ...]) -> list[tuple[str, float, float]]:
    return [(e.text, e.start_s, e.end_s) for e in entries]


def test_like_readings_in_consecutive_frames_become_one_entry_with_the_surest_text() -> None:
    frames = [
        (1.0, (line("THE PEACH 0PEN MOVIE", confidence=0.7),)),
        (2.0, (line("THE PEACH OPEN MOVIE", confidence=0.95),)),
        (3.0, (line("The peach open movie", confidence=0.8),)),
        (4.0, ()),
    ]
    assert spans(merge_text(frames)) == [("THE PEACH OPEN MOVIE", 1.0, 4.0)]


def test_other_text_at_the_same_place_is_another_entry() -> None:
    frames = [(1.0, (line("first subtitle"),)), (2.0, (line("what comes next"),))]
    assert spans(merge_text(frames, end_s=3.0)) == [("first subtitle", 1.0, 2.0), ("what comes next", 2.0, 3.0)]


def test_same_text_far_away_is_another_entry() -> None:
    far = (100.0, 600.0, 300.0, 620.0)
    frames = [(1.0, (line("EXIT"),)), (2.0, (line("EXIT", far),))]
    assert [e.box for e in merge_text(frames)] == [HERE, far]


def test_rolling_titles_stay_one_entry_while_they_move_in_small_steps() -> None:
    frames = [(t, (line("Directed by", (100, 500 - 30 * t, 300, 520 - 30 * t)),)) for t in range(5)]
    assert spans(merge_text(frames)) == [("Directed by", 0, 4)]


def test_scene_changes_bound_the_entries() -> None:
    frames = [(0.3, ()), (2.4, (line("Title"),)), (6.0, ())]
    assert spans(merge_text(frames, cuts=[0.0, 2.0, 4.5])) == [("Title", 2.0, 4.5)]


def test_text_that_outlives_a_scene_change_stays_one_entry() -> None:
    frames = [(0.3, (line("LIVE"),)), (2.4, (line("LIVE"),))]
    assert spans(merge_text(frames, cuts=[0.0, 2.0], end_s=4.0)) == [("LIVE", 0.0, 4.0)]


def test_text_that_comes_back_is_two_entries() -> None:
    frames = [(1.0, (line("Hello"),)), (2.0, ()), (3.0, (line("Hello"),))]
    assert spans(merge_text(frames, end_s=4.0)) == [("Hello", 1.0, 2.0), ("Hello", 3.0, 4.0)]


def test_two_equal_lines_in_one_frame_are_two_entries() -> None:
    below = (100.0, 130.0, 300.0, 150.0)
    frames = [(t, (line("OK"), line("OK", below))) for t in (1.0, 2.0)]
    assert [(e.box, e.end_s) for e in merge_text(frames)] == [(HERE, 2.0), (below, 2.0)]


@pytest.mark.parametrize("text", ["", "  ", "—·—"])
def test_lines_without_letters_or_digits_give_nothing(text: str) -> None:
    assert merge_text([(1.0, (line(text),))]) == ()


def test_chinese_is_compared_by_character() -> None:
    frames = [(1.0, (line("开放电影计划呈现"),)), (2.0, (line("开放电影计划呈現"),))]
    assert len(merge_text(frames)) == 1


def test_frames_may_come_in_any_order() -> None:
    frames = [(2.0, (line("Title"),)), (1.0, (line("Title"),))]
    assert spans(merge_text(frames)) == [("Title", 1.0, 2.0)]
