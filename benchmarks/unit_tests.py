"""Unit tests of what was read on a page, in the form of olmOCR-bench: present, absent, order, table, math.

A test is a dict: `type`, and with it `text`, or `before` and `after`, or `cell` with its neighbours (`up`, `down`,
`left`, `right`, `top_heading`, `left_heading`), or `math` in LaTeX; `max_diffs` edits are forgiven. Written from the
benchmark's description; formulas are compared as token sequences here, not as rendered pictures.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np

from benchmarks.scoring import _edit_rows, edit_distance

_SAME = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "‑": "-",
                       "‒": "-", "−": "-", "µ": "μ", "＿": "_"})  # fmt: skip
_DELIMITED = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\S")
_SILENT = {"\\left", "\\right", "\\,", "\\;", "\\:", "\\!", "\\ ", "\\quad", "\\qquad", "\\displaystyle", "\\limits",
           "\\mathrm", "\\text", "\\operatorname", "\\rm", "\\big", "\\Big", "\\bigl", "\\bigr", "&", "\\\\",
           "\\mathit", "\\textstyle", "~"}  # fmt: skip
_ALIAS = {"\\leq": "\\le", "\\geq": "\\ge", "\\neq": "\\ne", "\\rightarrow": "\\to", "\\dfrac": "\\frac",
          "\\tfrac": "\\frac", "\\lbrace": "\\{", "\\rbrace": "\\}", "\\ldots": "\\dots", "\\cdots": "\\dots",
          "\\mid": "|", "\\vert": "|", "\\prime": "'", "\\ast": "*", "\\colon": ":", "\\varepsilon": "\\epsilon",
          "\\mathbf": "\\boldsymbol", "\\bm": "\\boldsymbol", "\\lVert": "\\|", "\\rVert": "\\|"}  # fmt: skip


def normal(text: str) -> str:
    """White space, markup and the forms of quotes and dashes folded, as olmOCR-bench does before it compares."""
    text = re.sub(r"<br\s*/?>", " ", text)
    text = re.sub(r"\*\*(.*?)\*\*|__(.*?)__", lambda match: match[1] or match[2] or "", text)
    text = re.sub(r"</?[bi]>", "", text)
    text = re.sub(r"(\*|_)(.*?)\1", r"\2", text)
    return unicodedata.normalize("NFC", " ".join(text.split())).translate(_SAME)


def passes(test: dict, markdown: str) -> bool:
    """Whether the Markdown of a page passes; raises KeyError for an unknown type."""
    return {"present": _present, "absent": _absent, "order": _order, "table": _table, "math": _math}[test["type"]](
        test, markdown
    )


def _present(test: dict, markdown: str) -> bool:
    wanted, text = normal(test["text"]), normal(markdown)
    if not test.get("case_sensitive", True):
        wanted, text = wanted.lower(), text.lower()
    first, last = test.get("first_n"), test.get("last_n")
    text = (text[:first] if first else "") + (text[-last:] if last else "") if first or last else text
    return bool(_ends(wanted, text, test.get("max_diffs", 0)))


def _absent(test: dict, markdown: str) -> bool:
    return not _present(test, markdown)


def _order(test: dict, markdown: str) -> bool:
    text, diffs = normal(markdown), test.get("max_diffs", 0)
    before, after = _ends(normal(test["before"]), text, diffs), _ends(normal(test["after"]), text, diffs)
    length = len(normal(test["after"])) - len(normal(test["before"]))
    return bool(before and after) and min(before) < max(after) - length


def _ends(needle: str, text: str, most: int) -> list[int]:
    """Where in text the needle ends with at most so many edits."""
    if len(text) < len(needle) - most:
        return []
    return [int(at) for at in np.flatnonzero(_edit_rows(needle, text, infix=True) <= most)]


def _like(one: str, two: str, most: int) -> bool:
    one, two = normal(one), normal(two)
    return edit_distance(one, two) <= most


def _table(test: dict, markdown: str) -> bool:
    most = test.get("max_diffs", 0)
    return any(
        _placed(test, rows, at, column, most)
        for rows in tables(markdown)
        for at, row in enumerate(rows)
        for column, cell in enumerate(row)
        if _like(cell, test["cell"], most)
    )


def _placed(test: dict, rows: list[list[str]], at: int, column: int, most: int) -> bool:
    def cell(row: int, place: int) -> str | None:
        return rows[row][place] if 0 <= row < len(rows) and 0 <= place < len(rows[row]) else None

    steps = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    for key, (down, across) in steps.items():
        if test.get(key):
            beside = cell(at + down, column + across)
            if beside is None or not _like(beside, test[key], most):
                return False
    above = [rows[row][column] for row in range(at) if column < len(rows[row]) and rows[row][column].strip()]
    before = [text for text in rows[at][:column] if text.strip()]
    for key, headings in (("top_heading", above), ("left_heading", before)):
        if test.get(key) and not any(_like(text, test[key], most) for text in headings):
            return False
    return True


def tables(markdown: str) -> list[list[list[str]]]:
    """Pipe tables and HTML tables; a cell over several places stands in each of them."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] = []
    for line in [*markdown.splitlines(), ""]:
        if line.strip().startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            if not all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in cells):
                rows.append([cell.replace("\\|", "|").strip() for cell in cells])
        elif rows:
            found.append(rows)
            rows = []
    parser = _HtmlTables()
    parser.feed(markdown)
    return [*found, *parser.grids()]


class _HtmlTables(HTMLParser):
    """Collects <table> rows with their spans."""

    def __init__(self) -> None:
        super().__init__()
        self._tables: list[list[list[tuple[list[str], int, int]]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._tables.append([])
        elif tag == "tr" and self._tables:
            self._tables[-1].append([])
        elif tag in {"td", "th"} and self._tables and self._tables[-1]:
            spans = dict(attrs)
            self._tables[-1][-1].append(([], int(spans.get("rowspan") or 1), int(spans.get("colspan") or 1)))
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self._tables[-1][-1][-1][0].append(html.unescape(data))

    def grids(self) -> Iterator[list[list[str]]]:
        for rows in self._tables:
            placed: dict[tuple[int, int], str] = {}
            for at, row in enumerate(rows):
                column = 0
                for texts, down, across in row:
                    while (at, column) in placed:
                        column += 1
                    for y in range(down):
                        for x in range(across):
                            placed[at + y, column + x] = " ".join("".join(texts).split())
                    column += across
            width = max((column for _, column in placed), default=-1) + 1
            yield [[placed.get((at, column), "") for column in range(width)] for at in range(len(rows))]


def _math(test: dict, markdown: str) -> bool:
    wanted = tokens(test["math"])
    for match in _DELIMITED.finditer(markdown):
        found = tokens(next(group for group in match.groups() if group))
        if any(found[at : at + len(wanted)] == wanted for at in range(len(found) - len(wanted) + 1)):
            return True
    return False


def tokens(latex: str) -> list[str]:
    """A formula's tokens without spacing and sizes; groups of one token stand without braces."""
    latex = re.sub(r"\\(?:begin|end)\{[a-z]+\*?\}|\\(?:label|tag)\{[^}]*\}", " ", latex)
    found = [_ALIAS.get(token, token) for token in _TOKEN.findall(latex) if token not in _SILENT]
    changed = True
    while changed:
        changed = False
        for at in range(len(found) - 2):
            if found[at] == "{" and found[at + 2] == "}" and found[at + 1] not in {"{", "}"}:
                found[at : at + 3] = [found[at + 1]]
                changed = True
                break
    return _scripts_in_order(found)


def _scripts_in_order(found: list[str]) -> list[str]:
    """x^b_a as x_a^b."""
    done: list[str] = []
    at = 0
    while at < len(found):
        if found[at] == "^":
            end = _group_end(found, at + 1)
            if end < len(found) and found[end] == "_":
                last = _group_end(found, end + 1)
                found = [*found[:at], *found[end:last], *found[at:end], *found[last:]]
        done.append(found[at])
        at += 1
    return done


def _group_end(found: list[str], at: int) -> int:
    depth = 0
    for index in range(at, len(found)):
        depth += {"{": 1, "}": -1}.get(found[index], 0)
        if depth <= 0:
            return index + 1
    return len(found)
