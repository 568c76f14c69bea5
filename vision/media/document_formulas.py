"""Formulas of a MuPDF page: which of its glyphs are some, and the page's lines with LaTeX in their place.

A formula grows from the glyphs of mathematical fonts: to digits, brackets and signs beside them, to what stands over
and under a rule or a large operator, to small glyphs that touch. Words of the running text end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vision.media.formula_signs import (
    ACCENTS,
    EXTENSION_FONT,
    FUNCTIONS,
    INTEGRALS,
    LIMITED,
    MATH_FONT,
    OPERATORS,
    RELATIONS,
    extension_sign,
    sign,
)
from vision.media.formulas import Glyph, latex, main_line
from vision.media.markdown import StyledLine, raised
from vision.types import Box

MOST_GLYPHS = 20_000
_JOINING = set("0123456789=+<>()[]{}|/,.:;!'-−±×·*~^ˆ˜¯˙¨ˉ")
_LOOSE = set(",.:;!-'")  # at either end of a formula they are the sentence's
_ALONE = set("•∗*†‡·§¶∙◦−–.,:;")  # bullets and notes are drawn with mathematical fonts too
_NEAR, _BESIDE_RELATION = 0.5, 0.95  # sizes between glyphs of one formula; lines are filled by stretching
_WIDE = 2.6  # sizes between parts of one displayed formula
_ASCENT, _DESCENT = 0.72, 0.2


@dataclass(frozen=True, eq=False)
class _Char:
    """A character of the page; `word`: the number of the run of letters it belongs to, None for signs."""

    text: str
    font: str
    size: float
    base: float
    box: Box
    line: int
    bold: bool
    mono: bool
    word: int | None
    math: bool
    glyph: Glyph | None


def has_formulas(content: dict[str, Any]) -> bool:
    """Whether a page's content (MuPDF's dict) has more than a few glyphs of mathematical fonts."""
    spans = (span for block in content["blocks"] for line in block.get("lines", ()) for span in line["spans"])
    return any(MATH_FONT.search(span["font"]) and not set(span["text"].strip()) <= _ALONE for span in spans)


def lines_with_formulas(raw: dict[str, Any], rules: Sequence[Box]) -> list[StyledLine]:
    """The page's upright lines with formulas as LaTeX: `$…$` in a line, `$$…$$` where it stands alone.

    `raw`: MuPDF's rawdict, with codes for characters that it cannot name. `rules`: thin horizontal boxes.
    """
    chars = _chars(raw)
    if not chars or len(chars) > MOST_GLYPHS:
        return []
    groups, used = _grown(chars, rules)
    formulas: list[tuple[list[_Char], list[Box]]] = []
    for group in groups:
        kept = _trimmed(group)
        if kept and not {char.text for char in kept} <= _ALONE:
            formulas.append((kept, [rule for rule in used if _spans(kept, rule)]))
    taken = {id(char) for group, _ in formulas for char in group}
    pieces = _pieces(chars, taken, [group for group, _ in formulas])
    return [*pieces, *_placed(formulas, pieces)]


def _chars(raw: dict[str, Any]) -> list[_Char]:
    chars: list[_Char] = []
    number = words = 0
    for block in raw["blocks"]:
        for line in block.get("lines", ()):
            number += 1
            if abs(line["dir"][1]) > 0.1 or line["dir"][0] < 0:
                continue
            before = None
            for span in line["spans"]:
                math = bool(MATH_FONT.search(span["font"]))
                for each in span["chars"]:
                    text = each["c"]
                    if not math and text.isalpha() and text not in ACCENTS:
                        words += before is None or each["bbox"][0] - before > 0.15 * span["size"]
                        before = each["bbox"][2]
                    else:
                        before = None
                    word = words if before is not None else None
                    chars.append(_char(each, span, number, word, math))
    return chars


def _char(each: dict[str, Any], span: dict[str, Any], line: int, word: int | None, math: bool) -> _Char:
    x, base = each["origin"]
    size, font, text = float(span["size"]), str(span["font"]), str(each["c"])
    right = float(each["bbox"][2])
    box = (float(x), base - _ASCENT * size, max(right, x + 0.05 * size), base + _DESCENT * size)
    made = sign(text, font)
    # A code that reads as a space is a sign there, but where MuPDF put one between words.
    blank = text.isspace() and (bool(each["synthetic"]) or not EXTENSION_FONT.search(font))
    if EXTENSION_FONT.search(font) and not blank:
        known = extension_sign(text)
        if known is not None and known[1]:
            made = known[0]
            box = (float(x), float(base), right, base + known[1] * size)
            base = (box[1] + box[3]) / 2 + 0.25 * size
        elif known is not None:  # a broad accent, over the letters of its baseline
            made, box = known[0], (float(x), base - size, right, base - 0.5 * size)
    elif made == "\\sqrt":
        box = (float(x), float(base), right, base + size)
    glyph = None if blank else Glyph(made, box, float(base), size, upright=word is not None)
    flags = span["flags"]
    return _Char(
        " " if blank else text if not text.isspace() else made,
        font,
        size,
        float(base),
        box,
        line,
        bool(flags & 16),
        bool(flags & 8),
        word,
        math,
        glyph,
    )


def _grown(chars: list[_Char], rules: Sequence[Box]) -> tuple[list[list[_Char]], list[Box]]:
    """Groups of characters that make one formula each, and the rules that belong to some."""
    solid = [char for char in chars if not char.text.isspace()]
    names = _names(solid)
    body = sorted(char.size for char in solid)[len(solid) // 2]
    fit = [char for char in solid if _may_join(char, names, body)]
    grid: dict[tuple[int, int], list[int]] = {}
    cell = max(4.0, 2 * body)
    for at, char in enumerate(fit):
        grid.setdefault((int(char.box[0] // cell), int(char.base // cell)), []).append(at)
    parent = list(range(len(fit)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for at, char in enumerate(fit):
        column, row = int(char.box[0] // cell), int(char.base // cell)
        for x in (column - 1, column, column + 1, column + 2):
            for y in (row - 1, row, row + 1):
                for other in grid.get((x, y), ()):
                    if other != at and root(other) != root(at) and _belongs(char, fit[other], names):
                        parent[root(other)] = root(at)
    used = []
    for rule in rules:
        over, under = _beside_rule(fit, rule)
        members = over + under
        rooted = any(_is_root(fit[at]) for at in under)
        short = rule[2] - rule[0] < 2 * body
        bar = not over and any(fit[at].math for at in under) and _as_long(rule, [fit[at] for at in under])
        mathematical = short or any(fit[at].math or fit[at].size < 0.9 * body for at in members)
        if under and (bar or ((over or rooted) and mathematical)):
            used.append(rule)
            for at in members[1:]:
                parent[root(at)] = root(members[0])
    groups: dict[int, list[_Char]] = {}
    for at, char in enumerate(fit):
        groups.setdefault(root(at), []).append(char)
    return [group for group in groups.values() if any(char.math for char in group)], used


def _names(chars: list[_Char]) -> dict[int, str]:
    """The words that are short enough to stand in formulas: names of functions, single letters, scripts."""
    words: dict[int, str] = {}
    for char in chars:
        if char.word is not None:
            words[char.word] = words.get(char.word, "") + char.text
    return words


def _may_join(char: _Char, names: dict[int, str], body: float) -> bool:
    if char.math:
        return True
    if char.word is None:
        return char.text in _JOINING or not char.text.isascii()
    word = names[char.word]
    return word in FUNCTIONS or char.size < 0.8 * body or (len(word) == 1 and word not in "aAI")


def _belongs(one: _Char, two: _Char, names: dict[int, str]) -> bool:
    """Whether two characters stand so that they are of one formula."""
    left, right = (one, two) if one.box[0] <= two.box[0] else (two, one)
    size = max(one.size, two.size)
    across = right.box[0] - left.box[2]
    if left.glyph is not None and left.glyph.latex in INTEGRALS:  # its limits stand between it and what follows
        across -= 1.3 * size
    down = min(one.box[3], two.box[3]) - max(one.box[1], two.box[1])
    near = _NEAR if one.text not in RELATIONS and two.text not in RELATIONS else _BESIDE_RELATION
    if across < near * size and down > 0.15 * min(one.size, two.size):
        # Letters of a word join what touches them only: a word beside a formula is text.
        loose = [names[char.word] for char in (one, two) if char.word is not None]
        return across < min([0.45 if len(word) == 1 or word in FUNCTIONS else 0.2 for word in loose] + [1.0]) * size
    for operator, other in ((one, two), (two, one)):
        if other.size <= 0.87 * operator.size and _takes_limits(operator, names):
            centre = (other.box[0] + other.box[2]) / 2
            gap = max(other.box[1] - operator.box[3], operator.box[1] - other.box[3])
            if operator.word is not None and other.base < operator.base:
                continue
            if (
                operator.box[0] - operator.size < centre < operator.box[2] + operator.size
                and gap < 0.45 * operator.size
            ):
                return True
    return False


def _takes_limits(char: _Char, names: dict[int, str]) -> bool:
    if char.word is not None:
        return names[char.word] in LIMITED
    return char.glyph is not None and char.glyph.latex in OPERATORS | INTEGRALS


def _beside_rule(chars: list[_Char], rule: Box) -> tuple[list[int], list[int]]:
    """What stands close over and under a rule, within its length."""
    over, under = [], []
    for at, char in enumerate(chars):
        centre = (char.box[0] + char.box[2]) / 2
        root = _is_root(char) and abs(char.box[2] - rule[0]) < 2
        if not (rule[0] - 1 <= centre <= rule[2] + 1 or root):
            continue
        if -0.2 * char.size <= rule[1] - char.box[3] < 0.55 * char.size:
            over.append(at)
        elif -0.35 * char.size <= char.box[1] - rule[3] < 0.55 * char.size:
            under.append(at)
    return over, under


def _as_long(rule: Box, chars: list[_Char]) -> bool:
    box = _box(chars)
    return abs((rule[2] - rule[0]) - (box[2] - box[0])) < 0.5 * chars[0].size and box[1] - rule[3] < 0.2 * chars[0].size


def _is_root(char: _Char) -> bool:
    return char.glyph is not None and char.glyph.latex == "\\sqrt"


def _spans(group: list[_Char], rule: Box) -> bool:
    box = _box(group)
    return box[0] - 2 <= rule[0] and rule[2] <= box[2] + 2 and box[1] - 2 <= rule[1] <= box[3] + 2


def _trimmed(group: list[_Char]) -> list[_Char]:
    """Without punctuation at its ends, and without brackets there that the formula does not close or open."""
    kept = sorted(group, key=lambda char: (char.box[0], char.box[1]))
    while kept:
        opened = sum(char.text in "([" for char in kept) - sum(char.text in ")]" for char in kept)
        first, last = kept[0], kept[-1]
        if (last.text in _LOOSE and not (last.math and last.text in "-'")) or (opened > 0 and last.text in "(["):
            kept.pop()
        elif (first.text in _LOOSE - {"-"} and not first.math) or (opened > 0 and first.text in "(["):
            kept.pop(0)
        elif opened < 0 and last.text in ")]" and not last.math:
            kept.pop()
        else:
            return kept if any(char.math for char in kept) else []
    return []


def _pieces(chars: list[_Char], taken: set[int], groups: list[list[_Char]]) -> list[StyledLine]:
    """What is left of the page's lines, parted where a formula stood and where words stand far apart."""
    boxes = [_box(group) for group in groups]
    lines: dict[int, list[_Char]] = {}
    for char in chars:
        lines.setdefault(char.line, []).append(char)
    pieces: list[StyledLine] = []
    for line in lines.values():
        part: list[_Char] = []
        for char in [*line, None]:
            last = next((other for other in reversed(part) if not other.text.isspace()), None)
            ends = char is None or id(char) in taken
            if not ends and last is not None and char is not None and not char.text.isspace():
                gap = char.box[0] - last.box[2]
                between = any(_between(last, char, box) for box in boxes) if gap > 0.2 * char.size else False
                ends = between or (gap > 1.1 * char.size and not char.mono)
            if ends:
                pieces.extend(_piece(part))
                part = []
            if char is not None and id(char) not in taken:
                part.append(char)
    return pieces


def _between(left: _Char, right: _Char, box: Box) -> bool:
    return (
        left.box[2] - 1 <= box[0] and box[2] <= right.box[0] + 1 and box[1] < left.base and left.base - 3 < box[3] + 3
    )


def _piece(chars: list[_Char]) -> list[StyledLine]:
    solid = [char for char in chars if not char.text.isspace()]
    if not solid:
        return []
    size = sorted(char.size for char in solid)[len(solid) // 2]
    base = sorted(char.base for char in solid if char.size >= 0.9 * size)[0]
    spelled = [
        raised(char.text) if char.size < 0.85 * size and char.base < base - 0.2 * size else char.text for char in chars
    ]
    text = "".join(char if char.isprintable() else " " for char in spelled).strip()
    bold, mono = all(char.bold for char in solid), all(char.mono for char in solid)
    return [StyledLine(text, _box(solid), round(size, 1), bold, mono)]


def _placed(formulas: list[tuple[list[_Char], list[Box]]], pieces: list[StyledLine]) -> list[StyledLine]:
    """Formulas as lines of their own: in the row of text they belong to, or displayed where there is none."""
    found: list[tuple[Box, Box, str, float]] = []
    for group, rules in formulas:
        glyphs = [char.glyph for char in group if char.glyph is not None]
        text, (base, size) = latex(glyphs, rules), main_line(glyphs, rules)
        box = _box(group)
        row = (box[0], base - _ASCENT * size, box[2], base + _DESCENT * size)
        found.append((box, row, text, round(size, 1)))
    placed: list[StyledLine] = []
    beside = pieces
    while beside:  # what stands beside running text, then what stands beside that
        joined = [each for each in found if any(_in_row(each[1], piece) for piece in beside)]
        found = [each for each in found if each not in joined]
        beside = [StyledLine(f"${text}$", row, size) for _, row, text, size in joined]
        placed.extend(beside)
    shown = _displayed([(box, text, size) for box, _, text, size in found])
    return [*placed, *(StyledLine(f"$${text}$$", box, size) for box, text, size in shown)]


def _in_row(row: Box, piece: StyledLine) -> bool:
    """Whether a piece of running text stands beside: more than a formula's number."""
    if (piece.text.startswith("(") and len(piece.text) <= 8) or not any(map(str.isalnum, piece.text)):
        return False
    level = min(row[3], piece.box[3]) - max(row[1], piece.box[1]) > 0.5 * min(
        row[3] - row[1], piece.box[3] - piece.box[1]
    )
    return level and max(piece.box[0] - row[2], row[0] - piece.box[2]) < 1.5 * piece.size


def _displayed(shown: list[tuple[Box, str, float]]) -> list[tuple[Box, str, float]]:
    """Parts of one displayed formula, level and not far apart, as one."""
    done: list[tuple[Box, str, float]] = []
    for box, text, size in sorted(shown, key=lambda each: each[0][0]):
        for at, (other, before, known) in enumerate(done):
            level = min(box[3], other[3]) - max(box[1], other[1]) > 0.4 * min(box[3] - box[1], other[3] - other[1])
            if level and box[0] - other[2] < _WIDE * size:
                both = (other[0], min(box[1], other[1]), max(box[2], other[2]), max(box[3], other[3]))
                done[at] = (both, f"{before} {text}", max(known, size))
                break
        else:
            done.append((box, text, size))
    return done


def _box(chars: Sequence[_Char]) -> Box:
    return (
        min(char.box[0] for char in chars),
        min(char.box[1] for char in chars),
        max(char.box[2] for char in chars),
        max(char.box[3] for char in chars),
    )
