"""The text layer of one MuPDF page: its lines with style, its tables, and whether it can be trusted.

Every function takes a page whose text runs upright in the page's own (unrotated) frame, as `upright` leaves it; boxes
are points of that frame, and documents.py turns them into points of the page as shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from vision.media.document_formulas import lines_with_formulas
from vision.media.document_mupdf import pymupdf
from vision.media.document_order import by_rows, enclosing, in_reading_order
from vision.media.document_tables import borderless_tables
from vision.media.markdown import MARKED, Flow, StyledLine, body_size, centre_inside, raised
from vision.types import Box, TextTable

_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
Content = dict[str, Any]
Word = tuple[Box, str]

_BOLD, _MONO = pymupdf.TEXT_FONT_BOLD, pymupdf.TEXT_FONT_MONOSPACED
_LEADERS = re.compile(r"(?: ?\.){4,}\s*$")
_THIN = 1.6  # points; a fraction bar is lower, and longer
_MAX_DRAWINGS = 3000
"""With more vector paths than this a page is a drawing or a map: MuPDF would search it for table rules for minutes."""


@dataclass(frozen=True)
class PageLines:
    """Lines in the file's order; parts of a line with a wide gap between them stand apart."""

    upright: tuple[StyledLine, ...]
    turned: tuple[StyledLine, ...]

    @property
    def text(self) -> str:
        return "".join(line.text for line in (*self.upright, *self.turned))

    def without(self, lines: Sequence[StyledLine]) -> PageLines:
        gone = {id(line) for line in lines}
        return PageLines(
            *(tuple(line for line in part if id(line) not in gone) for part in (self.upright, self.turned))
        )

    def without_tables(self, tables: Sequence[TextTable]) -> PageLines:
        return self.without(
            [
                line
                for line in (*self.upright, *self.turned)
                if any(centre_inside(line.box, table.box) for table in tables)
            ]
        )


def page_content(page: pymupdf.Page) -> Content:
    """MuPDF's blocks, lines and spans of the page; half of the time that reading a page's text takes."""
    whole = page.get_textpage(flags=_FLAGS)
    content = page.get_text("dict", textpage=whole)
    assert isinstance(content, dict)
    content["words"] = page.get_text("words", textpage=whole)
    return content


def page_lines(content: Content) -> PageLines:
    """The lines of the text layer: those that run from left to right, and those that do not (margin notes, axes)."""
    upright: list[StyledLine] = []
    turned: list[StyledLine] = []
    words: dict[tuple[int, int], list[Word]] = {}
    for word in content["words"]:
        words.setdefault((word[5], word[6]), []).append((_box(word), str(word[4])))
    for number, block in enumerate(content["blocks"]):
        for at, line in enumerate(block.get("lines", ())):
            styled = _styled(line)
            if styled is None:
                continue
            if _turn(line["dir"]):
                turned.append(styled)
            else:
                upright.extend(_parted(styled, words.get((number, at), [])))
    return PageLines(tuple(upright), tuple(turned))


def _parted(line: StyledLine, words: list[Word]) -> list[StyledLine]:
    """The line in pieces where its words stand far apart, as cells of a table do and words of a text do not."""
    gaps = [right[0][0] - left[0][2] for left, right in pairwise(words)]
    if line.mono or not gaps or max(gaps) < line.size:
        return [line]
    usual = sorted(gaps)[len(gaps) // 2] if len(gaps) > 2 else 0.0
    cuts = [at + 1 for at, gap in enumerate(gaps) if gap > max(line.size, 1.8 * usual if usual < line.size else 0.0)]
    pieces = [words[start:end] for start, end in pairwise([0, *cuts, len(words)])]
    if len(pieces) == 1:
        return [line]
    return [
        replace(line, text=" ".join(word[1] for word in piece), box=enclosing([word[0] for word in piece]))
        for piece in pieces
    ]


def formula_lines(page: pymupdf.Page, lines: PageLines) -> PageLines:
    """The lines with their formulas as LaTeX, read anew from the page's single characters."""
    raw: Any = page.get_text("rawdict", flags=_FLAGS | pymupdf.TEXT_CID_FOR_UNKNOWN_UNICODE)
    drawings: list[Any] = page.get_cdrawings() or []
    rules = [
        _box(drawing["rect"])
        for drawing in drawings[:_MAX_DRAWINGS]
        if drawing["rect"][3] - drawing["rect"][1] < _THIN < drawing["rect"][2] - drawing["rect"][0]
    ]
    found = lines_with_formulas(raw, rules)
    return PageLines(tuple(found), lines.turned) if found else lines


def text_turn(content: Content) -> int:
    """Degrees clockwise by which the page's own frame must be turned for most of its text to run left to right."""
    weights: Counter[int] = Counter()
    for block in content["blocks"]:
        for line in block.get("lines", ()):
            weights[_turn(line["dir"])] += sum(len(span["text"]) for span in line["spans"])
    return weights.most_common(1)[0][0] if weights else 0


def marked(pictures: Sequence[Box], size: float) -> list[StyledLine]:
    """What stands for pictures in the flow until they are read."""
    return [StyledLine(f"\ufffc{at}\ufffc", box, size) for at, box in enumerate(pictures)]


def reading_flow(
    lines: PageLines, tables: Sequence[TextTable], *, pictures: Sequence[Box] = (), find_tables: bool
) -> Flow:
    """Lines and tables in reading order, turned lines last; with find_tables, every region is searched for tables
    without rules.
    """
    free = lines.without_tables(tables)
    size = body_size(free.upright) or 10.0
    flow: Flow = []
    items: list[StyledLine | TextTable] = [*free.upright, *tables, *marked(pictures, size)]
    for region in in_reading_order(items, lambda item: item.box, size):
        flow.extend(_with_borderless(region) if find_tables else region)
    flow.extend(free.turned)
    return flow


def ruled_tables(page: pymupdf.Page) -> list[TextTable]:
    """Tables whose cells are drawn with rules. Rows that share one ruled cell are told apart by their words' places."""
    if not _has_rules(page):
        return []
    words = [(_box(word), str(word[4])) for word in page.get_text("words", flags=_FLAGS)]
    tables = []
    finder: Any = page.find_tables(strategy="lines", use_layout=False)
    for found in finder.tables:
        edges = _column_edges(found)
        rows: list[tuple[str, ...]] = []
        head = True
        for row in found.rows:
            cells = [[word for word in words if cell and centre_inside(word[0], _box(cell))] for cell in row.cells]
            split = _split_row(_spread(cells, row.cells, edges))
            head = head and any(map(_spans, row.cells, [*edges[1:], float("inf")]))
            rows.extend([_said_over_all(split[0], row.cells, edges)] if head and len(split) == 1 else split)
        kept = _without_empty_columns([row for row in rows if any(row)])
        if len(kept) >= 2 and len(kept[0]) >= 2:
            rows = [tuple(_LEADERS.sub("", cell).strip() for cell in row) for row in kept]
            tables.append(TextTable(box=_box(found.bbox), rows=tuple(rows)))
    return tables


def distrust(page: pymupdf.Page, text: str) -> str | None:
    """Why the text layer cannot stand for the page, or None where it can.

    An invisible text layer over a scan (someone's earlier OCR) is used when it reads as text.
    """
    chars = [char for char in text if not char.isspace()]
    if not chars:
        return "the page has no text layer" if _shows_something(page) else None
    if sum(map(_is_unusable, chars)) > 0.2 * len(chars):
        return "the text layer holds no usable characters"
    telling = [char for char in chars if char not in ".-_·…=*"]
    if len(telling) >= 40 and sum(map(str.isalnum, telling)) < 0.45 * len(telling):
        return "the text layer does not read as text"
    if len(chars) < 50 and _picture_share(page) > 0.6:
        return "a picture covers the page and the text layer holds next to nothing"
    return None


def _styled(line: dict[str, Any]) -> StyledLine | None:
    spans = [span for span in line["spans"] if span["text"].strip()]
    if not spans:
        return None
    largest = max(spans, key=lambda span: span["size"])
    text = "".join(_spelled(span, largest) for span in line["spans"]).strip()
    weights: Counter[float] = Counter()
    for span in spans:
        weights[round(span["size"], 1)] += len(span["text"])
    return StyledLine(
        text=text if text.isprintable() else "".join(char for char in text.replace("\t", " ") if char >= " "),
        box=_box(spans[0]["bbox"]) if len(spans) == 1 else enclosing([_box(span["bbox"]) for span in spans]),
        size=weights.most_common(1)[0][0],
        bold=all(span["flags"] & _BOLD for span in spans),
        mono=all(span["flags"] & _MONO for span in spans),
    )


def _spelled(span: dict[str, Any], largest: dict[str, Any]) -> str:
    """A span's text, raised digits as such."""
    text, size = str(span["text"]), largest["size"]
    higher = largest["origin"][1] - span["origin"][1] > 0.15 * size
    return raised(text) if higher and span["size"] < 0.85 * size else text


def _turn(direction: Sequence[float]) -> int:
    x, y = direction
    if abs(x) >= abs(y):
        return 0 if x >= 0 else 180
    return 270 if y > 0 else 90


def _with_borderless(region: list[StyledLine | TextTable]) -> Flow:
    lines = [item for item in region if isinstance(item, StyledLine) and not (item.mono or MARKED.match(item.text))]
    held = {id(lines[at]): table for table, members in borderless_tables(lines) for at in members}
    flow: Flow = []
    placed: set[int] = set()
    for item in region:
        table = held.get(id(item))
        if table is None:
            flow.append(item)
        elif id(table) not in placed:
            placed.add(id(table))
            flow.append(table)
    return flow


def _has_rules(page: pymupdf.Page) -> bool:
    """Whether the page draws lines across and down, as ruled cells need: the search itself costs 0.1 s a page."""
    drawings: list[Any] = page.get_cdrawings() or []
    if len(drawings) > _MAX_DRAWINGS:
        return False
    across = down = 0
    for drawing in drawings:
        x1, y1, x2, y2 = drawing["rect"]
        across += x2 - x1 > 20
        down += y2 - y1 > 6
        if across >= 2 and down >= 2:
            return True
    return False


def _spans(frame: Any, following: float) -> bool:
    """Whether a cell reaches beyond the left edge of the column that follows."""
    return bool(frame) and frame[2] > following + 1


def _said_over_all(texts: tuple[str, ...], frames: Sequence[Any], edges: list[float]) -> tuple[str, ...]:
    """A heading over several columns, but not over all of them, stands over each: pipe tables have no spans."""
    said = list(texts)
    for at, frame in enumerate(frames):
        under = [column for column in range(at, len(edges)) if frame and edges[column] < frame[2] - 1]
        if 1 < len(under) < len(edges) and not any(texts[column] for column in under[1:]):
            for column in under:
                said[column] = texts[at]
    return tuple(said)


def _column_edges(table: Any) -> list[float]:
    """The left edge of every column: cells that span several columns start further left than the narrow ones."""
    edges: list[float] = []
    for column in range(table.col_count):
        starts = [row.cells[column][0] for row in table.rows if row.cells[column]]
        edges.append(min(starts) if starts else edges[-1] if edges else 0.0)
    return edges


def _spread(cells: list[list[Word]], frames: Sequence[Any], edges: list[float]) -> list[list[Word]]:
    """Words of a cell over several columns go to the column that they stand in, where gaps tell them apart."""
    spread: list[list[Word]] = [[] for _ in cells]
    for at, (cell, frame) in enumerate(zip(cells, frames, strict=True)):
        columns = [column for column in range(at, len(edges)) if frame and edges[column] < frame[2] - 1]
        for line in by_rows(range(len(cell)), [word[0] for word in cell]):
            words = [cell[index] for index in line]
            places = [max(column for column in columns if edges[column] <= _centre(word[0])) for word in words]
            placed = places if _tells_columns(words, places, columns) else [at] * len(words)
            for word, place in zip(words, placed, strict=True):
                spread[place].append(word)
    return spread


def _tells_columns(words: list[Word], places: list[int], columns: list[int]) -> bool:
    """Every column has a word, and between columns the gap is wider than between words."""
    if set(places) != set(columns):
        return False
    steps = zip(pairwise(words), pairwise(places), strict=True)
    return all(
        before == after or right[0][0] - left[0][2] > 0.45 * (left[0][3] - left[0][1])
        for (left, right), (before, after) in steps
    )


def _centre(box: Box) -> float:
    return (box[0] + box[2]) / 2


def _split_row(cells: list[list[Word]]) -> list[tuple[str, ...]]:
    """One ruled row, or several where most cells hold the same number of lines and these stand level."""
    stacks = [by_rows(range(len(cell)), [word[0] for word in cell]) for cell in cells]
    counts = [len(stack) for stack in stacks if stack]
    whole = [
        tuple(" ".join(cell[at][1] for line in stack for at in line) for cell, stack in zip(cells, stacks, strict=True))
    ]
    if len(counts) < 3:
        return whole
    usual, times = Counter(counts).most_common(1)[0]
    if usual < 2 or times < 0.7 * len(counts):
        return whole
    words = [(box, text, column) for column, cell in enumerate(cells) for box, text in cell]
    split: list[list[str]] = []
    for row in by_rows(range(len(words)), [word[0] for word in words]):
        texts = [" ".join(words[at][1] for at in row if words[at][2] == column) for column in range(len(cells))]
        if split and sum(map(bool, texts)) < 0.5 * len(counts):  # a wrapped cell goes on
            split[-1] = [f"{above} {below}".strip() for above, below in zip(split[-1], texts, strict=True)]
        else:
            split.append(texts)
    return [tuple(row) for row in split] if len(split) == usual else whole


def _without_empty_columns(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    kept = [at for at in range(len(rows[0])) if any(row[at] for row in rows)] if rows else []
    return [tuple(row[at] for at in kept) for row in rows]


def _is_unusable(char: str) -> bool:
    return char == "\ufffd" or unicodedata.category(char) in {"Co", "Cc", "Cn", "Cs"}


def _shows_something(page: pymupdf.Page) -> bool:
    return bool(page.get_image_info()) or bool(page.get_cdrawings()) or page.first_annot is not None


def _picture_share(page: pymupdf.Page) -> float:
    """The share of the page that its largest picture covers."""
    area = abs(page.rect.width * page.rect.height) or 1.0
    frame = page.rect * page.derotation_matrix
    covered = [abs((pymupdf.Rect(image["bbox"]) & frame).get_area()) for image in page.get_image_info()]
    return max(covered, default=0.0) / area


def _box(values: Sequence[Any]) -> Box:
    return (float(values[0]), float(values[1]), float(values[2]), float(values[3]))
