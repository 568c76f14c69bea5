"""A formula's glyphs and rules, by their places, as LaTeX. Pure code.

Rules first: the widest one with glyphs over and under it is a fraction bar, one that begins at a root sign covers the
radicand. What is left is read from left to right along the baseline of its largest glyphs; smaller ones that stand
higher or lower are scripts of what they follow, over and under a large operator they are its limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vision.media.formula_signs import ACCENTS, FUNCTIONS, INTEGRALS, LIMITED, OPERATORS
from vision.types import Box

_AXIS = 0.25  # sizes that fraction bars and large operators are centred above the baseline
_SCRIPT = 0.87  # of the size, up to which glyphs may be scripts
_RAISED = 0.14  # sizes off the baseline from which they are
_SMALLEST = 5.6  # points; TeX's smallest script
_MAX_DEPTH = 8
_MAX_GLYPHS = 400


@dataclass(frozen=True)
class Glyph:
    """`latex` of one sign, or of a part that is read already; `base`: its baseline's y, down; tight `box`."""

    latex: str
    box: Box
    base: float
    size: float
    upright: bool = False

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def latex(glyphs: Sequence[Glyph], rules: Sequence[Box]) -> str:
    """LaTeX of one formula; glyphs in any order, rules as thin boxes."""
    if len(glyphs) > _MAX_GLYPHS:
        return " ".join(glyph.latex for glyph in sorted(glyphs, key=lambda glyph: glyph.box[0]))
    return _sequence(_with_rules(list(glyphs), list(rules), 0)).replace(". . .", "\\ldots")


def main_line(glyphs: Sequence[Glyph], rules: Sequence[Box]) -> tuple[float, float]:
    """Baseline and size of the formula in its line of text."""
    whole = _with_rules(list(glyphs), list(rules), 0) if len(glyphs) <= _MAX_GLYPHS else list(glyphs)
    return _baseline(whole)


def _with_rules(glyphs: list[Glyph], rules: list[Box], depth: int) -> list[Glyph]:
    """The glyphs with every fraction and root made one."""
    rules = sorted(rules, key=lambda rule: rule[0] - rule[2])
    while rules and depth < _MAX_DEPTH:
        rule = rules.pop(0)
        root = _root_of(rule, glyphs)
        inside = [glyph for glyph in glyphs if rule[0] - 1 <= glyph.middle[0] <= rule[2] + 1 and glyph is not root]
        if root is not None:
            parts = [_radicand(rule, root, inside)]
        else:
            parts = [[glyph for glyph in inside if glyph.middle[1] < rule[1]], []]
            parts[1] = [glyph for glyph in inside if glyph.middle[1] >= rule[1]]
            parts = [_near(part, rule) for part in parts]
        if not all(parts):
            if len(parts) == 2 and parts[1]:
                glyphs = _overlined(glyphs, parts[1], rule)
            continue
        nested = [other for other in rules if rule[0] - 1 <= (other[0] + other[2]) / 2 <= rule[2] + 1]
        texts, bases = [], []
        for part in parts:
            low, high = min(g.box[1] for g in part) - 4, max(g.box[3] for g in part) + 4
            own = [other for other in nested if low <= other[1] <= high]
            rules = [other for other in rules if other not in own]
            whole = _with_rules(part, own, depth + 1)
            texts.append(_sequence(whole))
            bases.append(_baseline(whole))
        gone = {id(glyph) for part in parts for glyph in part} | ({id(root)} if root else set())
        boxes = [glyph.box for part in parts for glyph in part] + [rule] + ([root.box] if root else [])
        size = max(each[1] for each in bases)
        made = f"\\sqrt{{{texts[0]}}}" if root else f"\\frac{{{texts[0]}}}{{{texts[1]}}}"
        base = bases[0][0] if root else rule[1] + _AXIS * size
        glyphs = [*(glyph for glyph in glyphs if id(glyph) not in gone), Glyph(made, _around(boxes), base, size)]
    return glyphs


def _root_of(rule: Box, glyphs: list[Glyph]) -> Glyph | None:
    near = [
        glyph
        for glyph in glyphs
        if glyph.latex == "\\sqrt" and abs(glyph.box[2] - rule[0]) < 0.3 * glyph.size
        and abs(glyph.box[1] - rule[1]) < 0.6 * glyph.size
    ]  # fmt: skip
    return near[0] if near else None


def _radicand(rule: Box, root: Glyph, inside: list[Glyph]) -> list[Glyph]:
    return [glyph for glyph in inside if rule[1] - 1 <= glyph.middle[1] <= root.box[3] + 0.4 * root.size]


def _near(part: list[Glyph], rule: Box) -> list[Glyph]:
    """What hangs together with a fraction bar, from it outwards: the line above the formula does not."""
    near: list[Glyph] = []
    edge_low = edge_high = rule[1]
    for glyph in sorted(part, key=lambda glyph: abs(glyph.middle[1] - rule[1])):
        gap = max(edge_low - glyph.box[3], glyph.box[1] - edge_high, 0.0)
        if gap > 0.65 * glyph.size:
            break
        near.append(glyph)
        edge_low, edge_high = min(edge_low, glyph.box[1]), max(edge_high, glyph.box[3])
    return near


def _overlined(glyphs: list[Glyph], under: list[Glyph], rule: Box) -> list[Glyph]:
    """A rule close over one part, with nothing above: a bar."""
    if min(glyph.box[1] for glyph in under) - rule[1] > 0.4 * under[0].size:
        return glyphs
    made = f"\\overline{{{_sequence(under)}}}" if len(under) > 1 else f"\\bar{{{under[0].latex}}}"
    base, size = _baseline(under)
    gone = {id(glyph) for glyph in under}
    return [
        *(glyph for glyph in glyphs if id(glyph) not in gone),
        Glyph(made, _around([glyph.box for glyph in under] + [rule]), base, size),
    ]


def _baseline(glyphs: Sequence[Glyph]) -> tuple[float, float]:
    """The baseline that most of the largest glyphs stand on, and their size."""
    size = max(glyph.size for glyph in glyphs)
    plain = [glyph for glyph in glyphs if glyph.latex not in OPERATORS | INTEGRALS and glyph.size >= 0.95 * size]
    plain = plain or [glyph for glyph in glyphs if glyph.size >= 0.95 * size]
    bases = Counter(round(glyph.base * 2) for glyph in plain)
    most = bases.most_common(1)[0][0] / 2
    return next((glyph.base for glyph in plain if abs(glyph.base - most) <= 0.5), most), size


def _sequence(glyphs: Sequence[Glyph]) -> str:
    """One line of a formula, its fractions and roots being made."""
    if not glyphs:
        return ""
    base, size = _baseline(glyphs)
    items = sorted(_accented(_named(glyphs), size), key=lambda glyph: (glyph.box[0], glyph.box[2]))
    taken: set[int] = set()
    scripts: dict[int, tuple[list[int], list[int]]] = {}
    for limits in (True, False):
        for at, item in enumerate(items):
            if _takes_limits(item) == limits and at not in taken and not _is_script(item, base, size):
                scripts[at] = _scripts(items, at, taken, base, size)
                taken.update(scripts[at][0], scripts[at][1])
    parts: list[str] = []
    for at, item in enumerate(items):
        if at in taken:
            continue
        if at not in scripts:  # a script that nothing precedes closely
            text = ("^" if item.base < base else "_") + f"{{{item.latex}}}"
            parts.append(f"{parts.pop()}{text}" if parts else f"{{}}{text}")
            continue
        over, under = scripts[at]
        text = item.latex
        if under:
            text += f"_{{{_sequence([items[place] for place in under])}}}"
        if over:
            above = _sequence([items[place] for place in over])
            text += above if set(above.split()) == {"'"} else f"^{{{above}}}"
        parts.append(text)
    return " ".join(parts)


def _takes_limits(item: Glyph) -> bool:
    return item.latex in OPERATORS or item.latex.removeprefix("\\") in LIMITED


def _scripts(items: list[Glyph], at: int, taken: set[int], base: float, size: float) -> tuple[list[int], list[int]]:
    """The places of what is raised and lowered after an item, or over and under it where it takes limits."""
    item = items[at]
    limits, integral = _takes_limits(item), item.latex in INTEGRALS
    found: dict[bool, list[int]] = {True: [], False: []}
    reach = {True: item.box[2], False: item.box[2]}
    for place, other in enumerate(items):
        if place == at or place in taken:
            continue
        if not _is_script(other, base, size):
            if place > at and other.box[0] > item.box[2] - 0.1 * size and not limits:
                break
            continue
        middle = item.middle[1] if limits or integral else base - _AXIS * size
        raised = other.middle[1] < middle
        stacked = limits and item.box[0] - 1.2 * size <= other.middle[0] <= item.box[2] + 1.2 * size
        gap = other.box[0] - reach[raised]
        if (stacked and _clear(item, other)) or (
            place > at and -0.3 * size <= gap <= (0.8 if integral and not found[raised] else 0.35) * size
        ):
            found[raised].append(place)
            reach[raised] = max(reach[raised], other.box[2])
    return found[True], found[False]


def _clear(item: Glyph, other: Glyph) -> bool:
    """Whether a limit stands wholly above or below, or at least starts left of the operator's end."""
    return other.box[3] <= item.box[1] + 2 or other.box[1] >= item.box[3] - 2


def _is_script(glyph: Glyph, base: float, size: float) -> bool:
    if glyph.latex in OPERATORS | INTEGRALS:
        return False
    off = abs(glyph.base - base)
    # Scripts of scripts are set no smaller than these.
    return (glyph.size <= _SCRIPT * size and off > _RAISED * size) or (size < _SMALLEST and off > 0.28 * size)


def _named(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Upright letters that touch as one: a function's name, or a word."""
    done: list[Glyph] = []
    for item in sorted((glyph for glyph in glyphs if glyph.upright), key=lambda glyph: glyph.box[0]):
        last = done[-1] if done else None
        level = last is not None and abs(item.base - last.base) < 0.1 * item.size
        if last is not None and level and item.box[0] - last.box[2] < 0.15 * item.size:
            done[-1] = replace(last, latex=last.latex + item.latex, box=_around([last.box, item.box]))
        else:
            done.append(item)
    return [glyph for glyph in glyphs if not glyph.upright] + [_spelled(item) for item in done]


def _spelled(item: Glyph) -> Glyph:
    if item.latex.startswith("\\"):
        return item
    if item.latex in FUNCTIONS:
        return replace(item, latex=f"\\{item.latex}")
    return replace(item, latex=f"\\mathrm{{{item.latex}}}")


def _accented(items: list[Glyph], size: float) -> list[Glyph]:
    """Letters with the accents that stand over them."""
    done: list[Glyph] = []
    marks = [item for item in items if item.latex in ACCENTS or item.latex in ACCENTS.values()]
    letters = [item for item in items if item not in marks]
    for item in letters:
        mark = next((m for m in marks if item.box[0] - 0.2 * size <= m.middle[0] <= item.box[2] + 0.3 * size), None)
        if mark is not None and item.size >= 0.6 * mark.size:
            marks.remove(mark)
            item = replace(item, latex=f"{ACCENTS.get(mark.latex, mark.latex)}{{{item.latex}}}")
        done.append(item)
    return [*done, *marks]


def _around(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
