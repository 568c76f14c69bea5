"""Which label on the pages is which property's, and the value beside it. A wrong one is worse than none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vision.extraction.found import NOTHING, Found, Missing
from vision.extraction.labels import Labelled, labelled
from vision.extraction.layout import Page, height
from vision.extraction.words import WEAK, Tokens, Vocabulary, likeness, tokens, variants
from vision.schema.shape import Leaf, Words
from vision.schema.values import Misfit, folded, value_from
from vision.types import Box, TextLine

_LEAST = 0.6
# Labels that are this much alike are equally good: where their values differ, nobody can tell.
_AS_GOOD = 0.05
_NAMES = 0.9
_SECTIONED, _UNSECTIONED = 0.97, 0.8
_QUOTED = re.compile(r"[\"“'「『‘]([^\"”'」』’]{2,60})[\"”'」』’]")
_SHORT = 6
_SHOWN = 3


@dataclass(frozen=True)
class Wanted:
    """A value that is looked for. `phrases`: what its label may be; `within`: the same of the objects around it."""

    path: str
    leaf: Leaf
    phrases: tuple[Tokens, ...]
    within: tuple[Tokens, ...] = ()


def phrases_of(words: Words) -> tuple[Tokens, ...]:
    """Name, title, a description of a few words, and labels that the description quotes."""
    said = [words.name, words.title, *_QUOTED.findall(words.description)]
    if len(words.description.split()) <= _SHORT and len(words.description) <= 60:
        said.append(words.description)
    made = [phrase for text in said for phrase in variants(text)[:2]]
    return tuple(dict.fromkeys(made))


@dataclass(frozen=True)
class _Candidate:
    wanted: Wanted
    said: Labelled
    score: float
    distance: float | None = None

    @property
    def total(self) -> float:
        return self.score * self.said.sure


def match(wanted: Sequence[Wanted], pages: Sequence[Page], day_first: bool | None) -> dict[str, Found | Missing]:
    """What stands beside the labels, by path; for each path a value or why there is none."""
    known = Vocabulary((place, phrase) for place, one in enumerate(wanted) for phrase in _all_phrases(one))
    names = _namer(wanted, known)
    candidates: list[_Candidate] = []
    for page in pages:
        for said in labelled(page, names):
            if said.value:
                likely = [wanted[place] for place in sorted(known.owners(said.label))]
                candidates += _owners(likely, said, page)
    by_path: dict[str, list[_Candidate]] = {}
    for candidate in candidates:
        by_path.setdefault(candidate.wanted.path, []).append(candidate)
    chosen = {one.path: _choose(one.leaf, by_path.get(one.path, []), day_first) for one in wanted}
    return _each_value_once(chosen)


def _all_phrases(one: Wanted) -> Iterator[Tokens]:
    yield from one.phrases
    yield from one.within


def _namer(wanted: Sequence[Wanted], vocabulary: Vocabulary) -> Callable[[str], bool]:
    known: dict[str, bool] = {}
    # What several properties end with is a label in several sections.
    ends = Counter(
        phrase[start:] for one in wanted for phrase in one.phrases for start in range(1, len(phrase)) if start < 4
    )

    def names(text: str) -> bool:
        if text not in known:
            likely = [wanted[place] for place in vocabulary.owners(text)] if len(text) < 100 else []
            known[text] = any(likeness(phrase, text) >= _NAMES for one in likely for phrase in one.phrases) or (
                bool(likely) and any(ends[said] > 1 for said in variants(text))
            )
        return known[text]

    return names


def _owners(wanted: Sequence[Wanted], said: Labelled, page: Page) -> list[_Candidate]:
    """The properties that the label is likeliest to name."""
    found = [candidate for one in wanted if (candidate := _candidate(one, said, page)) is not None]
    best = max((candidate.score for candidate in found), default=0.0)
    return [candidate for candidate in found if candidate.score >= best - 0.001 or candidate.distance is not None]


def _candidate(one: Wanted, said: Labelled, page: Page) -> _Candidate | None:
    own = max((likeness(phrase, said.label) for phrase in one.phrases), default=0.0)
    if own >= _LEAST and one.within:
        whole = max(likeness((*around, *phrase), said.label) for around in one.within for phrase in one.phrases)
        if whole >= _NAMES:
            return _Candidate(one, said, whole)
        distance = _section(page, said, one.within)
        if distance is not None:
            return _Candidate(one, said, own * _SECTIONED, distance)
        return _Candidate(one, said, own * _UNSECTIONED)
    if own >= _LEAST:
        return _Candidate(one, said, own)
    if one.within:
        whole = max((likeness((*a, *p), said.label) for a in one.within for p in one.phrases), default=0.0)
        if whole >= _NAMES:
            return _Candidate(one, said, whole)
    # The label says the end of it, and the head of its section the rest.
    for phrase in one.phrases:
        for label in variants(said.label):
            if 0 < len(label) < len(phrase) and phrase[-len(label) :] == label and set(label) - WEAK:
                distance = _section(page, said, (phrase[: -len(label)],))
                if distance is not None:
                    return _Candidate(one, said, 0.85, distance)
    return None


def _section(page: Page, said: Labelled, heads: Iterable[Tokens]) -> float | None:
    """How far above the label the nearest line stands that is one of the heads; None where there is none."""
    x, y = said.label_box[0], said.label_box[1]
    distances = [
        (y - line.box[1]) + abs(x - line.box[0])
        for line in _heads(page, tuple(heads))
        if line.box[1] <= y + 0.3 * height(said.label_box) and line.box[0] <= x + height(said.label_box)
        and line.box != said.label_box
    ]  # fmt: skip
    return min(distances, default=None)


def _heads(page: Page, heads: tuple[Tokens, ...]) -> list[TextLine]:
    found: list[TextLine] = []
    for line in page.lines:
        if len(line.text) > 60:
            continue
        words = tokens(line.text)
        for head in heads:
            extra = [word for word in words if word not in head]
            if all(word in words for word in head) and all(word in WEAK for word in extra):
                found.append(line)
                break
    return found


def _choose(leaf: Leaf, candidates: list[_Candidate], day_first: bool | None) -> Found | Missing:
    near = min((c.distance for c in candidates if c.distance is not None), default=None)
    usable = [c for c in candidates if c.distance is None or c.distance == near]
    usable.sort(key=lambda c: (-c.total, c.said.page, c.said.place))
    read: list[tuple[_Candidate, Found]] = []
    failed: Misfit | None = None
    labels: set[tuple[int, tuple[int, int]]] = set()
    for candidate in usable:
        said = candidate.said
        if (said.page, said.place) in labels:
            continue  # of one label's neighbours the likelier one is its value
        value = value_from(leaf, said.value, day_first)
        if isinstance(value, Misfit):
            failed = failed or value
            continue
        labels.add((said.page, said.place))
        confidence = round(candidate.total * said.confidence, 2)
        read.append((candidate, Found(value, said.value, said.page, said.box, confidence, "text")))
    if not read:
        return Missing(failed.reason if failed is not None else NOTHING)
    top = [found for candidate, found in read if candidate.total >= read[0][0].total - _AS_GOOD]
    values = list({_key(found): found for found in reversed(top)}.values())[::-1]
    if len(values) > 1:
        shown = ", ".join(f"{found.text[:40]!r} (page {found.page})" for found in values[:_SHOWN])
        return Missing(f"{len(values)} values fit as well: {shown}{' …' if len(values) > _SHOWN else ''}")
    return top[0]


def _key(found: Found) -> object:
    return folded(found.value) if isinstance(found.value, str) else found.value


def _each_value_once(chosen: dict[str, Found | Missing]) -> dict[str, Found | Missing]:
    """Where two properties took the same text at the same place, the less sure one lets it go."""
    takers: dict[tuple[int | None, Box | None, str], list[str]] = {}
    for path, found in chosen.items():
        if isinstance(found, Found):
            takers.setdefault((found.page, found.box, found.text), []).append(path)
    for paths in takers.values():
        best = max(_confidence(chosen[path]) for path in paths)
        if len(paths) > 1 and len({_confidence(chosen[path]) for path in paths}) > 1:
            for path in paths:
                if _confidence(chosen[path]) < best:
                    chosen[path] = Missing("what stands there belongs to another label")
    return chosen


def _confidence(found: Found | Missing) -> float:
    return found.confidence if isinstance(found, Found) else 0.0
