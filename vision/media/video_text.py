"""On-screen text over time: the readings of single frames become entries with a start and an end. Pure."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from vision.media.video_types import TimedText
from vision.types import Box, TextLine

SAME_TEXT = 0.8
"""Likeness (difflib ratio of the letters and digits) from which two readings are the same line."""
NEAR_LINES = 2.0
"""The same line stands no further away than so many line heights; rolling titles move."""


@dataclass(slots=True)
class _Open:
    """A line that was still there at the last look."""

    start_s: float
    seen_s: float
    best: TextLine
    box: Box
    key: str


def merge_text(
    frames: Sequence[tuple[float, tuple[TextLine, ...]]],
    *,
    cuts: Sequence[float] = (),
    end_s: float | None = None,
) -> tuple[TimedText, ...]:
    """Lines that read alike at about the same place in consecutive frames become one entry.

    `frames`: (time, lines) of every frame that was read, lines or none. `cuts`: times at which shots begin, the first
    one too. `end_s`: end of what was watched. An entry begins where a shot began between its first frame and the frame
    read before, else at its first frame; it ends at the first scene change after its last frame, or at the first frame
    read without it, or at `end_s`. The text is the reading with the highest confidence.
    """
    ordered = sorted(frames, key=lambda f: f[0])
    open_lines: list[_Open] = []
    done: list[TimedText] = []
    before: float | None = None
    for time_s, lines in ordered:
        start_s = _begin(before, time_s, cuts)
        still = [entry for line in lines if (entry := _take(open_lines, line, start_s, time_s)) is not None]
        done += [_close(entry, _end(entry.seen_s, time_s, cuts)) for entry in open_lines]
        open_lines = still
        before = time_s
    done += [_close(entry, _end(entry.seen_s, end_s, cuts)) for entry in open_lines]
    return tuple(sorted(done, key=lambda t: (t.start_s, t.box[1], t.box[0])))


def _take(open_lines: list[_Open], line: TextLine, start_s: float, time_s: float) -> _Open | None:
    """The open entry that this line goes on with, taken from the list, or a new one; None for a line without text."""
    key = _key(line.text)
    if not key:
        return None
    alike = [(_likeness(key, entry.key), entry) for entry in open_lines if _near(line.box, entry.box)]
    score, entry = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    if entry is None or score < SAME_TEXT:
        return _Open(start_s, time_s, line, line.box, key)
    open_lines.remove(entry)
    entry.seen_s, entry.box = time_s, line.box
    if line.confidence > entry.best.confidence:
        entry.best, entry.key = line, key
    return entry


def _close(entry: _Open, end_s: float) -> TimedText:
    return TimedText(entry.start_s, end_s, entry.best.text, entry.best.box, entry.best.confidence)


def _begin(before: float | None, time_s: float, cuts: Sequence[float]) -> float:
    between = [c for c in cuts if c <= time_s and (before is None or c > before)]
    return max(between, default=time_s)


def _end(seen_s: float, next_s: float | None, cuts: Sequence[float]) -> float:
    limit = seen_s if next_s is None else max(seen_s, next_s)
    return min((c for c in cuts if seen_s < c <= limit), default=limit)


def _key(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < SAME_TEXT or matcher.quick_ratio() < SAME_TEXT:
        return 0.0
    return matcher.ratio()


def _near(one: Box, other: Box) -> bool:
    reach = NEAR_LINES * max(one[3] - one[1], other[3] - other[1])
    dx = abs((one[0] + one[2]) - (other[0] + other[2])) / 2
    dy = abs((one[1] + one[3]) - (other[1] + other[3])) / 2
    return dx <= reach and dy <= reach
