"""What happens in a video, told from small pictures: scene changes, black and frozen stretches, pictures to read.

Every class is fed (time, small picture) once a picture, in order, and answers at once or one picture later. Small
pictures are (3, height, width) uint8 YUV in video range (black 16, white 235).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vision.media.video_types import Stretch

Small = NDArray[np.uint8]

CUT_DIFFERENCE = 12.0
"""Least mean difference (Y + U + V levels) of a cut. Pans and shaky hands reach 20 from frame to frame, cuts between
bright scenes 90; the ratio below tells them apart."""
CUT_RATIO = 3.0
"""A cut differs by so many times the mean difference around it (PySceneDetect's AdaptiveDetector uses the same)."""
CUT_HISTOGRAM = 0.08
"""Least share of pixels that change their shade in a cut; motion moves pixels but keeps their shades."""
CUT_WINDOW = 4
SPARSE_DIFFERENCE = 30.0
SPARSE_HISTOGRAM = 0.2
MIN_SHOT_S = 0.35
DISSOLVE_S = 1.0
DISSOLVE_DIFFERENCE = 14.0
DISSOLVE_LIKENESS = 0.5
DISSOLVE_RESIDUE = 0.2
"""A dissolve: over so many seconds the luma changes by so much beside its mean, the pictures correlate no more than so,
and the picture between is a mixture of the two but for this share of their difference. A pan leaves 0.5 and more, a
change of brightness correlates."""

SHADE_OFFSETS = np.array([0, 16, 32], dtype=np.uint8)[:, None, None]
BLACK_LEVEL = 38
"""Luma up to which a pixel is black: 10 % of the range, as in FFmpeg's blackdetect."""
BLACK_EXCEPT = 0.003
"""Share of brighter pixels in a black picture; white text covers more."""
MIN_BLACK_S = 0.4
STILL_STEP = 0.8
STILL_DRIFT = 1.5
STILL_PIXEL = 24
"""Mean luma difference to the last picture and to the first of the stretch, and the largest of any pixel, up to which
nothing moves: above the flicker of an encoder, below a slow pan or a moving pointer."""
MIN_FROZEN_S = 2.0

CHANGED_LEVEL = 20
CHANGED_SHARE = 0.004
"""A picture is another one when so many pixels changed by so much: a short line of text does that."""
CHANGED_WHOLLY = 0.05
SETTLED_SHARE = 0.003
SETTLED_S = 0.2
SHOT_PATIENCE_S = 0.75
"""In a shot that never settles the first picture to read is taken at this age."""
CHANGE_GAP_S = 0.5
SMALL_CHANGE_GAP_S = 1.5
RESTLESS_GAP_S = 3.0
"""Least time since the last chosen picture: for a settled one that is wholly another, one changed in a part, and one in
which things move."""
BURST = 6


@dataclass(frozen=True, slots=True)
class Measure:
    """One picture, as far as the others need it."""

    time_s: float
    luma: NDArray[np.int16]
    difference: float
    """Mean absolute difference to the picture before, Y + U + V levels."""
    luma_difference: float
    shades: NDArray[np.float64]
    histogram_difference: float
    black: bool


class Meter:
    """Measures each picture against the one before."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.int16], NDArray[np.float64]] | None = None

    def measure(self, time_s: float, small: Small) -> Measure:
        signed = small.astype(np.int16)
        shades = _shades(small)
        luma_difference = difference = histogram = 0.0
        if self._last is not None and self._last[0].shape == signed.shape:
            per_plane = np.abs(signed - self._last[0]).reshape(3, -1).mean(axis=1)
            luma_difference, difference = float(per_plane[0]), float(per_plane.sum())
            histogram = float(np.abs(shades - self._last[1]).sum()) / 2
        elif self._last is not None:
            difference, histogram = 255.0, 1.0
        self._last = (signed, shades)
        bright = np.count_nonzero(small[0] > BLACK_LEVEL)
        black = bright <= BLACK_EXCEPT * small[0].size
        return Measure(time_s, signed[0], difference, luma_difference, shades, histogram, black)


def _shades(small: Small) -> NDArray[np.float64]:
    """Histogram of each plane in 16 steps, together summing to 1; every fourth pixel is enough."""
    sample = small[:, ::2, ::2]
    return np.bincount(((sample >> 4) + SHADE_OFFSETS).ravel(), minlength=48) / sample.size


class CutDetector:
    """Finds scene changes. Answers one picture late, to tell a cut from a flash or the start of a fast motion."""

    def __init__(self, *, sparse: bool = False) -> None:
        """`sparse`: the pictures are far apart, so that each differs from the last and only the amount counts."""
        self._sparse = sparse
        self._before: deque[float] = deque(maxlen=CUT_WINDOW)
        self._pending: tuple[Measure, Measure] | None = None
        self._last: Measure | None = None
        self._last_cut: float | None = None
        self._recent: deque[Measure] = deque()
        self._was_lit = False

    def feed(self, now: Measure) -> float | None:
        """The time at which a new shot began, or None."""
        cut = self._confirm(now)
        last = self._last
        if last is not None:
            if last.black and not now.black and self._was_lit:
                cut = self._accept(now.time_s) or cut
            elif not now.black and not last.black and self._stands_out(now):
                self._pending = (last, now)
            self._before.append(now.difference)
        else:
            self._last_cut = now.time_s
        self._was_lit = self._was_lit or not now.black
        self._last = now
        if not self._sparse and cut is None and self._pending is None:
            cut = self._dissolve(now)
        return cut

    def end(self) -> float | None:
        """A cut right before the last picture."""
        pending, self._pending = self._pending, None
        return self._accept(pending[1].time_s) if pending else None

    def _stands_out(self, now: Measure) -> bool:
        if self._sparse:
            return now.difference >= SPARSE_DIFFERENCE and now.histogram_difference >= SPARSE_HISTOGRAM
        around = float(np.mean(self._before)) if self._before else 0.0
        least = max(CUT_DIFFERENCE, CUT_RATIO * around)
        # Scenes in the same shades (two faces in one room) differ much, and by far more than what moves.
        other_shades = now.histogram_difference >= CUT_HISTOGRAM
        return now.difference >= (least if other_shades else 2 * least)

    def _confirm(self, now: Measure) -> float | None:
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        before, first = pending
        if not self._sparse and now.difference * CUT_RATIO / 2 > first.difference:
            # As much again in the next picture: a motion. Or back to the picture before: a flash.
            back = float(np.abs(now.luma - before.luma).mean()) if now.luma.shape == before.luma.shape else 255.0
            faint = first.difference < 3 * CUT_DIFFERENCE or first.histogram_difference < CUT_HISTOGRAM
            if faint or back < first.luma_difference / 2:
                return None
        return self._accept(first.time_s)

    def _dissolve(self, now: Measure) -> float | None:
        """The middle of a dissolve: the picture DISSOLVE_S / 2 ago, if it is half that before and half this one."""
        recent = self._recent
        recent.append(now)
        while len(recent) > 1 and now.time_s - recent[1].time_s >= DISSOLVE_S:
            recent.popleft()
        old = recent[0]
        if now.time_s - old.time_s < DISSOLVE_S or len(recent) < 5 or old.luma.shape != now.luma.shape:
            return None
        change = now.luma - old.luma
        # A camera that adapts to the light changes all places alike.
        if np.abs(change - change.mean()).mean() < DISSOLVE_DIFFERENCE:
            return None
        middle = min(recent, key=lambda m: abs(now.time_s - DISSOLVE_S / 2 - m.time_s))
        if self._last_cut is not None and middle.time_s - self._last_cut < DISSOLVE_S:
            return None
        if _likeness(old.luma, now.luma) > DISSOLVE_LIKENESS or not _is_mixture(middle.luma - old.luma, change):
            return None
        return self._accept(middle.time_s)

    def _accept(self, time_s: float) -> float | None:
        if self._last_cut is not None and time_s - self._last_cut < MIN_SHOT_S:
            return None
        self._last_cut = time_s
        return time_s


def _likeness(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    """Correlation of two pictures; 1 where one of them is of one shade, because nothing tells them apart then."""
    a, b = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return 1.0 if norm < 25 else float((a * b).mean()) / norm


def _is_mixture(part: NDArray[np.int16], change: NDArray[np.int16]) -> bool:
    """Whether the change to the middle is a half of the whole change, in every place."""
    whole = change.astype(np.float32)
    share = float((part * whole).sum() / (whole * whole).sum())
    residue = float(np.abs(part - share * whole).mean() / np.abs(whole).mean())
    return 0.4 <= share <= 0.7 and residue <= DISSOLVE_RESIDUE


class StretchDetector:
    """Finds black and frozen stretches; a black one is not reported as frozen too."""

    def __init__(self) -> None:
        self._black_from: float | None = None
        self._first: Measure | None = None
        self._black_seen = False

    def feed(self, now: Measure) -> list[Stretch]:
        out: list[Stretch] = []
        if now.black and self._black_from is None:
            self._black_from = now.time_s
        elif not now.black and self._black_from is not None:
            out += self._black(now.time_s)
        if self._first is None or not self._still(now, self._first):
            out += self._frozen(now.time_s)
            self._first, self._black_seen = now, now.black
        return out

    def end(self, time_s: float) -> list[Stretch]:
        return self._black(time_s) + self._frozen(time_s)

    @staticmethod
    def _still(now: Measure, first: Measure) -> bool:
        if now.luma_difference > STILL_STEP or now.luma.shape != first.luma.shape or now.black != first.black:
            return False
        drift = np.abs(now.luma - first.luma)
        return float(drift.mean()) <= STILL_DRIFT and int(drift.max()) <= STILL_PIXEL

    def _black(self, end_s: float) -> list[Stretch]:
        start, self._black_from = self._black_from, None
        return _long_enough("black", start, end_s, MIN_BLACK_S)

    def _frozen(self, end_s: float) -> list[Stretch]:
        first, self._first = self._first, None
        start = None if first is None or self._black_seen else first.time_s
        return _long_enough("frozen", start, end_s, MIN_FROZEN_S)


def _long_enough(kind: Literal["black", "frozen"], start: float | None, end: float, least: float) -> list[Stretch]:
    return [Stretch(kind, start, end)] if start is not None and end - start >= least else []


class TextFrameChooser:
    """Says at which pictures to read: once a shot has settled, and whenever the picture has become another one.

    Reading costs a second a picture, so the number is bounded: an allowance that grows evenly over the segment, with
    some in advance, so that a lively start does not use up what a title at the end needs.
    """

    def __init__(self, start_s: float, duration_s: float, most: int, *, sparse: bool = False) -> None:
        self._sparse = sparse
        self._start = start_s
        self._most = most
        self._rate = max(0, most - BURST) / max(duration_s, 1.0)
        self._restless_gap = max(RESTLESS_GAP_S, duration_s / max(1, most // 2))
        self._recent: deque[Measure] = deque()
        self._shot_from = start_s
        self._shot_read = False
        self._chosen: Measure | None = None
        self._count = 0

    def cut(self, time_s: float) -> None:
        """A new shot began at this time."""
        self._shot_from = time_s
        self._shot_read = False

    def feed(self, now: Measure) -> Literal["shot", "change"] | None:
        settled = self._settled(now)
        changed = 1.0 if self._chosen is None else _changed(now, self._chosen)
        if now.black or changed <= CHANGED_SHARE:
            if settled and not now.black:
                self._shot_read = True
            return None
        if not self._wanted(now, settled, changed) or self._count + 1 > BURST + self._rate * (now.time_s - self._start):
            return None
        why: Literal["shot", "change"] = "change" if self._shot_read else "shot"
        self._chosen, self._shot_read = now, True
        self._count += 1
        return why

    def _wanted(self, now: Measure, settled: bool, changed: float) -> bool:
        if not self._shot_read:
            age = now.time_s - self._shot_from
            return age >= SHOT_PATIENCE_S or (settled and (age >= SETTLED_S or self._sparse))
        since = now.time_s - (self._chosen.time_s if self._chosen else self._shot_from)
        if not settled:
            return since >= self._restless_gap
        return since >= (CHANGE_GAP_S if changed >= CHANGED_WHOLLY else SMALL_CHANGE_GAP_S)

    def _settled(self, now: Measure) -> bool:
        """Whether the picture is about that of SETTLED_S ago; of pictures far apart each stands for itself."""
        if self._sparse:
            return True
        self._recent.append(now)
        while len(self._recent) > 1 and now.time_s - self._recent[1].time_s >= SETTLED_S:
            self._recent.popleft()
        then = self._recent[0]
        return now.time_s - then.time_s >= SETTLED_S and _changed(now, then) <= SETTLED_SHARE


def _changed(one: Measure, other: Measure) -> float:
    """Share of pixels whose luma differs clearly."""
    if one.luma.shape != other.luma.shape:
        return 1.0
    return np.count_nonzero(np.abs(one.luma - other.luma) > CHANGED_LEVEL) / one.luma.size
