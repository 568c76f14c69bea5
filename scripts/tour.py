"""What the demo asks of the server: every tool once, on files whose content is known, with what has to come back.

`stops()` is shared by the demo, which shows the answers, and by the check with real clients, which only judges them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from scripts import samples

Result = dict[str, Any]


class Stop(NamedTuple):
    """One call. `shows` gives lines for a person; `wants` gives what is missing or wrong, nothing when all is well."""

    asks: str
    tool: str
    arguments: dict[str, Any]
    shows: Callable[[Result], list[str]]
    wants: Callable[[Result], list[str]]


def _plain(text: str) -> str:
    """For comparing: no spaces, no markup, full-width signs as their common forms, small letters."""
    return re.sub(r"[\s*_|]+", "", unicodedata.normalize("NFKC", text)).lower()


def _missing(expected: Iterable[str], text: str, tolerated: int = 0) -> list[str]:
    read = _plain(text)
    gone = [f"not read: {item!r}" for item in expected if _plain(item) not in read]
    return gone if len(gone) > tolerated else []


def _first_lines(text: str, count: int) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("<!--")]
    more = [f"… {len(lines) - count} more lines"] if len(lines) > count else []
    return lines[:count] + more


def _shows_picture(result: Result) -> list[str]:
    picture = result["pictures"][0]
    size = f"{picture['width']} × {picture['height']} pixels"
    text = " · ".join(picture["text"].split("\n"))
    return [size, f"text on it: {text[:160]} …", *result["notices"][:1]]


def _wants_picture(result: Result) -> list[str]:
    picture = result["pictures"][0]
    size = (picture["width"], picture["height"])
    wrong = [] if size == (1280, 800) else [f"the size is {size}"]
    return wrong + _missing(samples.SCREEN_EN.labels, picture["text"], tolerated=1)


def _shows_lines(result: Result) -> list[str]:
    shown = [f"{line['text']}   {[round(v) for v in line['box']]}" for line in result["lines"][:6]]
    return [*shown, f"… {len(result['lines'])} lines, each with its box and confidence"]


def _wants_pages(result: Result, source: str) -> list[str]:
    wrong = [] if result["page_count"] == len(samples.REPORT.pages) else [f"{result['page_count']} pages"]
    read_from = {page["source"] for page in result["pages"]}
    wrong += [] if read_from == {source} else [f"read from {sorted(read_from)}"]
    for page in samples.REPORT.pages:
        wrong += _missing((page.heading, *page.lines), result["markdown"], tolerated=1)
        # A row counts only when its cells stand in one line of Markdown, in their order.
        wrong += _missing(["".join(row) for row in page.table], result["markdown"])
    return wrong


def _shows_document(result: Result) -> list[str]:
    table = [line for line in result["markdown"].splitlines() if line.startswith("|")]
    ways = ", ".join(f"page {page['number']}: {page['source']}" for page in result["pages"])
    return [*_first_lines(result["markdown"], 3), *table[:4], ways]


def _shows_chart(result: Result) -> list[str]:
    table = result["table"]
    return ["  ".join(table["columns"]), *("  ".join(str(cell) for cell in row) for row in table["rows"][:8])]


def _wants_chart(result: Result) -> list[str]:
    rows = [[str(cell) for cell in row] for row in result["table"]["rows"]]
    return [
        f"no row has {name} with {value}"
        for name, value in samples.CHART.bars
        if not any(value in row and name in row for row in rows)
    ]


def _shows_video(result: Result) -> list[str]:
    lines = [f"{e['start_s']:5.1f}–{e['end_s']:4.1f} s  {e['kind']:8}  {e['text']}" for e in result["timeline"]]
    return [f"{result['duration_s']} s", *lines[:16]]


def _wants_video(result: Result) -> list[str]:
    def near(entry: dict[str, Any], stretch: samples.Stretch, tolerance_s: float) -> bool:
        starts, ends = abs(entry["start_s"] - stretch.start_s), abs(entry["end_s"] - stretch.end_s)
        return max(starts, ends) <= tolerance_s

    truth, timeline = samples.VIDEO, result["timeline"]
    wrong = [] if abs(result["duration_s"] - truth.duration_s) < 0.2 else [f"it lasts {result['duration_s']} s"]
    for kind, stretches in (("black", truth.black), ("subtitle", truth.subtitles)):
        found = [entry for entry in timeline if entry["kind"] == kind]
        wrong += [f"no {kind} at {s.start_s}–{s.end_s} s" for s in stretches if not any(near(e, s, 0.3) for e in found)]
    shots = [entry["start_s"] for entry in timeline if entry["kind"] == "shot"]
    wrong += [f"no cut at {s.start_s} s" for s in truth.scenes if not any(abs(at - s.start_s) <= 0.3 for at in shots)]
    texts = " ".join(entry["text"] for entry in timeline)
    return wrong + _missing([s.text for s in (*truth.scenes, *truth.subtitles)], texts)


def _wants_button(result: Result) -> list[str]:
    left, top, right, bottom = samples.SCREEN_EN.button_box
    points = [found["point"] for found in result["objects"]]
    inside = [p for p in points if left <= p[0] <= right and top <= p[1] <= bottom]
    return [] if inside else [f"no point on the button, only {points}"]


def _shows_objects(result: Result) -> list[str]:
    return [f"{found['label']!r} at {[round(v) for v in found['point']]}" for found in result["objects"]]


_LINES_SCHEMA = {
    "type": "object",
    "properties": {
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"line": {"type": "string"}, "q3": {"type": "number"}, "total": {"type": "number"}},
            },
        },
        "email": {"type": "string", "format": "email"},
        "captain": {"type": ["string", "null"]},
    },
}


def _wants_data(result: Result) -> list[str]:
    (table,) = (page.table for page in samples.REPORT.pages if page.table)
    truth = [{"line": row[0], "q3": float(row[3]), "total": float(row[5])} for row in table[1:]]
    found = {entry["path"]: entry for entry in result["evidence"]}
    wrong = [] if result["data"]["lines"] == truth else [f"the lines are {result['data']['lines']}"]
    email, printed = result["data"]["email"], " ".join(samples.REPORT.pages[0].lines)
    wrong += [] if email and email in printed else ["the e-mail address"]
    wrong += [] if result["data"]["captain"] is None and result["errors"].get("/captain") else ["a captain is made up"]
    where = found.get("/lines/0/q3", {})
    return wrong + ([] if where.get("page") == 2 and where.get("box") else ["no place for a value"])


def _shows_data(result: Result) -> list[str]:
    rows = [f"{row['line']}: {row['q3']} of {row['total']}" for row in result["data"]["lines"][:3]]
    return [*rows, f"{result['data']['email']}", *(f"{path}: {why}" for path, why in result["errors"].items())]


def _shows_status(result: Result) -> list[str]:
    return [f"engine {result['engine']['name']}: {result['engine']['reason']}", *result["notices"][:2]]


def stops() -> tuple[Stop, ...]:
    """The calls in order; sources are names in the folder that holds the samples."""
    return (
        Stop(
            "What is on this screenshot?", "describe_image", {"sources": ["screenshot-en.png"]},
            _shows_picture, _wants_picture,
        ),
        Stop(
            "Read the Chinese screenshot.", "extract_text", {"source": "screenshot-zh.png"},
            _shows_lines, lambda r: _missing(samples.SCREEN_ZH.labels, r["text"], tolerated=1),
        ),
        Stop(
            "Read the report.", "read_document", {"source": "report.pdf"},
            _shows_document, lambda r: _wants_pages(r, "text-layer"),
        ),
        Stop(
            "Read the scan of it, one page lies on its side.", "read_document", {"source": "report-scan.pdf"},
            _shows_document, lambda r: _wants_pages(r, "ocr"),
        ),
        Stop(
            "Which numbers does the chart print?", "answer_chart", {"source": "chart.png", "output": "table"},
            _shows_chart, _wants_chart,
        ),
        Stop(
            "What happens in the video, and when?", "analyze_video", {"source": "video.mp4"},
            _shows_video, _wants_video,
        ),
        Stop(
            "Where do I click to send the invoice?", "locate_objects",
            {"source": "screenshot-en.png", "target": samples.SCREEN_EN.button, "kind": "point"},
            _shows_objects, _wants_button,
        ),
        Stop(
            "Give the ferry lines as data.", "extract_data", {"source": "report.pdf", "schema": _LINES_SCHEMA},
            _shows_data, _wants_data,
        ),
        Stop(
            "Which engine answers here?", "manage_model", {"action": "status"},
            _shows_status, lambda r: [] if r["engine"]["name"] else ["no engine is named"],
        ),
    )  # fmt: skip
