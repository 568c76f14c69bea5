"""The demo's judgement: a right answer passes, a wrong one is noticed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from scripts import samples
from scripts.tour import Stop, stops

STOPS = {f"{stop.tool} {stop.arguments.get('source', '')}".strip(): stop for stop in stops()}
ENGINE = {"name": "ocr", "reason": "embedded"}


def _document(source: str) -> dict[str, Any]:
    parts = []
    for page in samples.REPORT.pages:
        rows = ["| " + " | ".join(row) + " |" for row in page.table]
        parts.append("\n".join((f"# {page.heading}", " ".join(page.lines), *rows)))
    pages = [{"number": number, "source": source} for number in (1, 2, 3)]
    return {"markdown": "\n\n".join(parts), "page_count": 3, "pages": pages}


def _video() -> dict[str, Any]:
    def entries(kind: str, stretches: tuple[samples.Stretch, ...]) -> list[dict[str, Any]]:
        return [{"kind": kind, "start_s": s.start_s, "end_s": s.end_s, "text": s.text} for s in stretches]

    truth = samples.VIDEO
    shots = entries("shot", truth.scenes)
    timeline = shots + entries("black", truth.black) + entries("subtitle", truth.subtitles)
    return {"duration_s": 20.0, "timeline": timeline}


def _picture() -> dict[str, Any]:
    return {"width": 1280, "height": 800, "text": "\n".join(samples.SCREEN_EN.labels)}


def _data() -> dict[str, Any]:
    table = samples.REPORT.pages[1].table
    lines = [{"line": row[0], "q3": float(row[3]), "total": float(row[5])} for row in table[1:]]
    return {
        "data": {"lines": lines, "email": "reports@harbour-lights.example", "captain": None},
        "errors": {"/captain": "nothing is labelled so"},
        "evidence": [{"path": "/lines/0/q3", "page": 2, "box": [1, 2, 3, 4]}],
    }


RIGHT: dict[str, dict[str, Any]] = {
    "describe_image": {"pictures": [_picture()], "notices": []},
    "extract_text screenshot-zh.png": {"text": "\n".join(samples.SCREEN_ZH.labels), "lines": []},
    "read_document report.pdf": _document("text-layer"),
    "read_document report-scan.pdf": _document("ocr"),
    "answer_chart chart.png": {"table": {"columns": [], "rows": [[float(v), v, n] for n, v in samples.CHART.bars]}},
    "analyze_video video.mp4": _video(),
    "locate_objects screenshot-en.png": {"objects": [{"label": "Send invoice", "point": [1090, 684]}]},
    "extract_data report.pdf": _data(),
    "manage_model": {"engine": ENGINE, "notices": []},
}


@pytest.mark.parametrize("name", STOPS)
def test_a_right_answer_passes_and_can_be_shown(name: str) -> None:
    stop: Stop = STOPS[name]
    assert stop.wants(RIGHT[name]) == []
    assert all(isinstance(line, str) for line in stop.shows(RIGHT[name]))


def _spoilt() -> list[tuple[str, dict[str, Any]]]:
    wrong = copy.deepcopy(RIGHT)
    wrong["describe_image"]["pictures"][0]["width"] = 640
    wrong["extract_text screenshot-zh.png"]["text"] = "订单管理系统"
    # One digit of the table is misread.
    report = wrong["read_document report.pdf"]
    report["markdown"] = report["markdown"].replace("314.7", "814.7")
    # The page that lies on its side was not read.
    scan = wrong["read_document report-scan.pdf"]
    scan["markdown"] = scan["markdown"].split("# Outlook")[0]
    wrong["answer_chart chart.png"]["table"]["rows"][0][1] = "65"
    wrong["analyze_video video.mp4"]["timeline"] = [
        entry for entry in RIGHT["analyze_video video.mp4"]["timeline"] if entry["kind"] != "black"
    ]
    wrong["locate_objects screenshot-en.png"]["objects"] = [{"label": "Save draft", "point": [900, 684]}]
    wrong["extract_data report.pdf"]["data"]["lines"][2]["q3"] = 118.1
    wrong["manage_model"]["engine"]["name"] = ""
    return list(wrong.items())


@pytest.mark.parametrize(("name", "answer"), _spoilt())
def test_a_wrong_answer_is_noticed(name: str, answer: dict[str, Any]) -> None:
    assert STOPS[name].wants(answer)
