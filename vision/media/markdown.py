"""Markdown and plain text from placed lines and tables: headings by size, paragraphs joined, lists, code, tables.

Pure code on boxes: it serves text layers (where size, weight and font are known) and OCR (where the height of a line
stands for its size). Whoever calls gives the lines in reading order.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vision.types import Box, PageText, TextTable


@dataclass(frozen=True)
class StyledLine:
    """A line, or the part of a line on one side of a wide gap; `size` is the font size or the height, in box units."""

    text: str
    box: Box
    size: float
    bold: bool = False
    mono: bool = False


# A formula in a line of text is broken after a relation or a sign.
_BROKEN_FORMULA = re.compile(r"([=+<>-]|\\(?:le|ge|to|in|sim|approx|equiv|subset|ne|times|pm))\$ \$(?!\$)")
MARKED = re.compile("\ufffc(\\d+)\ufffc")
"""What stands for a picture by its number until its text is known: Unicode's object replacement characters."""

Flow = list[StyledLine | TextTable]
"""Lines and tables in reading order; lines that stand inside a table are left out."""

_BULLET = re.compile(r"^[•‣▪◦●○■□–—*·\uf0b7\ufffd]\s+|^-\s+(?=\D)")
_NUMBERED = re.compile(r"^(?:\d{1,3}[.)]|\([a-z\d]{1,3}\)|[a-zA-Z][.)])\s+\S")
_CJK = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
_SENTENCE_END = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；")
_MAX_HEADING = 160
# Shorter lines say too little about the width of their letters.
_LEAST_EMS = 3.0
_NEIGHBOURS = 12


_RAISED = str.maketrans("0123456789+-−–=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿ")


def raised(text: str) -> str:
    """Raised text in Unicode's own raised characters, so that a note's mark or an exponent is no digit of the number
    before it; text with other characters stays as it is.
    """
    shown = text.strip()
    return text.translate(_RAISED) if shown and all(ord(char) in _RAISED for char in shown) else text


def lines_from_page_text(page: PageText) -> Flow:
    """OCR lines and tables as a flow: a line inside a table is in the table's rows already, and is left out.

    Lines read on a turned picture get boxes of the upright picture here, since paragraphs are told by what is below.
    """
    pending = list(page.tables)
    flow: Flow = []
    for line in page.lines:
        table = next((table for table in page.tables if centre_inside(line.box, table.box)), None)
        if table is None:
            box = _levelled(turned(line.box, page.rotation), page.slope)
            flow.append(StyledLine(line.text, box, _letter_size(line.text, box)))
        elif table in pending:
            pending.remove(table)
            flow.append(table)
    flow.extend(pending)
    return flow


def _levelled(box: Box, slope: float) -> Box:
    """The box of a line that slopes by so many degrees clockwise, on the page turned to lie level."""
    if not slope:
        return box
    sine, cosine = math.sin(math.radians(slope)), math.cos(math.radians(slope))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    middle = (x * cosine + y * sine, y * cosine - x * sine)
    width, height = box[2] - box[0], box[3] - box[1]
    # A box around a tilted line of length l and height h measures l cos + h sin by l sin + h cos.
    across, bulk = abs(sine), max(1e-6, cosine * cosine - sine * sine)
    long, low = (width * cosine - height * across) / bulk, (height * cosine - width * across) / bulk
    long, low = max(long, 0.5 * width), max(low, 0.15 * height)
    return (middle[0] - long / 2, middle[1] - low / 2, middle[0] + long / 2, middle[1] + low / 2)


def _letter_size(text: str, box: Box) -> float:
    """The size of the letters of an OCR line, in box units.

    A box hugs its letters: a line without g or y is a quarter lower than one with them, so its height alone takes a
    heading for body text. Its length over the number of letters does not depend on that; the geometric mean of the
    two does better than either, on short lines too.
    """
    height = box[3] - box[1]
    ems = sum(1.0 if _CJK.match(character) else 0.5 for character in text)
    if ems < _LEAST_EMS:
        return height
    return (height * (box[2] - box[0]) / ems) ** 0.5


def centre_inside(box: Box, outer: Box) -> bool:
    """Whether the centre of `box` lies in `outer`."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A pipe table; its first row is the header, since pipe tables cannot be without one."""
    if not rows:
        return ""
    width = max(len(row) for row in rows)
    cells = [[_cell(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    ruled = [cells[0], ["---"] * width, *cells[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in ruled)


def join_rows(flow: Iterable[StyledLine | TextTable]) -> Flow:
    """Neighbours in the flow that stand on one row become one line (a bullet and its text, a label and its value)."""
    joined: Flow = []
    for item in flow:
        last = joined[-1] if joined else None
        if isinstance(item, StyledLine) and isinstance(last, StyledLine) and _follows_on_row(last, item):
            joined[-1] = _merged(last, item)
        else:
            joined.append(item)
    return joined


def plain_text(flow: Flow) -> str:
    """One line of text a row; table cells are separated by tabs."""
    parts = []
    for item in join_rows(flow):
        if isinstance(item, TextTable):
            parts.extend("\t".join(cell.replace("\n", " ") for cell in row) for row in item.rows)
        else:
            parts.append(item.text)
    return "\n".join(parts)


def to_markdown(flow: Flow, *, heading_ratio: float = 1.15) -> str:
    """Markdown of a flow. A line is a heading when its size is `heading_ratio` times the body's, or more."""
    items = join_rows(flow)
    body = body_size([item for item in items if isinstance(item, StyledLine)])
    rights = _right_edges([item for item in items if isinstance(item, StyledLine)])
    blocks: list[str] = []
    group: list[StyledLine] = []
    for item in items:
        if isinstance(item, TextTable):
            _close(blocks, group, rights, body, heading_ratio)
            group = []
            blocks.append(table_markdown(item.rows))
            continue
        if group and _starts_block(group, item, heading_ratio):
            _close(blocks, group, rights, body, heading_ratio)
            group = []
        group.append(item)
    _close(blocks, group, rights, body, heading_ratio)
    return "\n\n".join(block for block in blocks if block)


def body_size(lines: Sequence[StyledLine]) -> float:
    """The size that most characters have: the weighted median, which neither a big title nor fine print moves."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[round(line.size, 1)] += len(line.text)
    half, seen = weights.total() / 2, 0
    for size in sorted(weights):
        seen += weights[size]
        if seen >= half:
            return size
    return 0.0


def _starts_block(group: list[StyledLine], line: StyledLine, heading_ratio: float) -> bool:
    last = group[-1]
    if _stands_alone(line.text) or _stands_alone(last.text):
        return True
    if line.mono != last.mono:
        return True
    if line.mono:
        return line.box[1] - last.box[3] > 2 * line.size or line.box[1] < last.box[1]
    # Sizes of OCR lines scatter: only a step that would make a heading parts a paragraph.
    step = max(line.size, last.size) / max(1e-6, min(line.size, last.size))
    if step >= heading_ratio or line.bold != last.bold or is_item(line.text):
        return True
    gap = line.box[1] - last.box[3]
    if gap > 0.75 * max(line.size, last.size) or line.box[3] < last.box[1]:
        # A paragraph that goes on at the top of the next column has no gap that could be measured.
        goes_on = line.box[3] < last.box[1] and not last.text.endswith(_SENTENCE_END) and line.text[:1].islower()
        return not goes_on
    return False


def _close(
    blocks: list[str], group: list[StyledLine], rights: dict[int, float], body: float, heading_ratio: float
) -> None:
    if not group:
        return
    if group[0].mono and len(group) > 1:
        blocks.append(_code(group))
        return
    if _stands_alone(group[0].text):
        blocks.append(group[0].text)
        return
    text = "\n".join(_joined([line.text for line in part]) for part in _broken_early(group, rights))
    level = _heading_level(group, text, body, heading_ratio)
    if level:
        blocks.append(f"{'#' * level} {' '.join(text.split())}")
    elif _BULLET.match(text):
        _append_item(blocks, _BULLET.sub("- ", text, count=1))
    elif _NUMBERED.match(text):
        _append_item(blocks, text)
    else:
        blocks.append("\\" + text if text.startswith(("# ", "## ", "> ", "|")) else text)


def _right_edges(lines: list[StyledLine]) -> dict[int, float]:
    """How far to the right text goes where each line (by its id) stands: about the furthest end of its neighbours."""
    edges: dict[int, float] = {}
    for at, line in enumerate(lines):
        near = [
            other.box[2]
            for other in lines[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS + 1]
            if abs(other.box[0] - line.box[0]) < 5 * line.size
        ]
        # A title over several columns, or a word that sticks out, says nothing of where the column ends.
        edges[id(line)] = sorted(near)[-1 - len(near) // 8]
    return edges


def _broken_early(group: list[StyledLine], rights: dict[int, float]) -> list[list[StyledLine]]:
    """The group in parts: where the next line's first word would still have fitted, the break was meant."""
    parts = [[group[0]]]
    for last, line in pairwise(group):
        word = line.text.split(maxsplit=1)[0] if not _CJK.match(line.text) else line.text[:2]
        width = (line.box[2] - line.box[0]) * (len(word) + 1) / max(1, len(line.text))
        if last.box[2] + 1.15 * width < rights[id(last)] - 0.5 * last.size:
            parts.append([line])
        else:
            parts[-1].append(line)
    return parts


def _append_item(blocks: list[str], text: str) -> None:
    """List items follow each other without an empty line."""
    if blocks and is_item(blocks[-1].rsplit("\n", 1)[-1]):
        blocks[-1] += "\n" + text
    else:
        blocks.append(text)


def _heading_level(group: list[StyledLine], text: str, body: float, heading_ratio: float) -> int:
    if len(text) > _MAX_HEADING or not any(char.isalnum() for char in text) or len(text) < 2:
        return 0
    ratio = min(line.size for line in group) / body if body else 1.0
    if ratio >= max(heading_ratio, 1.15):
        return 1 if ratio >= 1.7 else 2 if ratio >= 1.35 else 3
    bold_title = all(line.bold for line in group) and len(group) <= 2 and ratio >= 0.95
    return 3 if bold_title and len(text) <= 80 and not text.endswith((".", ",", ";")) else 0


def _code(group: list[StyledLine]) -> str:
    left = min(line.box[0] for line in group)
    rows = []
    for line in group:
        pitch = (line.box[2] - line.box[0]) / max(1, len(line.text))
        rows.append(" " * round((line.box[0] - left) / max(pitch, 1e-6)) + line.text)
    return "```\n" + "\n".join(rows) + "\n```"


def _joined(texts: list[str]) -> str:
    """Lines as one paragraph: a hyphen at a line's end is dropped, Chinese is joined without a space."""
    whole = texts[0].strip()
    for text in (text.strip() for text in texts[1:]):
        if whole.endswith("\u00ad") or (re.search(r"[^\W\d_]-$", whole) and text[:1].islower()):
            whole = whole[:-1] + text
        elif whole and text and _CJK.match(whole[-1]) and _CJK.match(text[0]):
            whole += text
        else:
            whole = _BROKEN_FORMULA.sub(r"\1 ", f"{whole} {text}".strip())
    return whole.replace("\u00ad", "")


def _stands_alone(text: str) -> bool:
    """A picture's mark, a displayed formula, or a note of the reader's own."""
    return text.startswith(("$$", "<!-- ")) or bool(MARKED.match(text))


def is_item(text: str) -> bool:
    """Whether a line begins an item of a list."""
    return bool(_BULLET.match(text) or _NUMBERED.match(text))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def turned(box: Box, rotation: int) -> Box:
    """The box after turning the picture clockwise about its origin: where it lies counts, not the sign."""
    x1, y1, x2, y2 = box
    if rotation == 90:
        return (-y2, x1, -y1, x2)
    if rotation == 180:
        return (-x2, -y2, -x1, -y1)
    return (y1, -x2, y2, -x1) if rotation == 270 else box


def _follows_on_row(last: StyledLine, line: StyledLine) -> bool:
    if MARKED.match(line.text) or MARKED.match(last.text):
        return False
    overlap = min(last.box[3], line.box[3]) - max(last.box[1], line.box[1])
    shorter = min(last.box[3] - last.box[1], line.box[3] - line.box[1])
    alike = max(last.size, line.size) < 1.3 * min(last.size, line.size)
    return alike and overlap > 0.5 * shorter and line.box[0] >= last.box[2] - 0.5 * line.size


def _merged(left: StyledLine, right: StyledLine) -> StyledLine:
    box = (
        left.box[0],
        min(left.box[1], right.box[1]),
        max(left.box[2], right.box[2]),
        max(left.box[3], right.box[3]),
    )
    longer = left if len(left.text) >= len(right.text) else right
    touching = right.box[0] - left.box[2] < 0.15 * longer.size
    text = left.text + ("" if touching else " ") + right.text
    return StyledLine(text, box, longer.size, left.bold and right.bold, left.mono and right.mono)
