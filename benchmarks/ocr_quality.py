"""How well TextReader reads, against raw RapidOCR fed the same upright RGB pixels with use_cls=False.

    INTERNVL_MCP_MEDIA=… python benchmarks/ocr_quality.py [--turned] [--pictures] [FILE …]

Part one reads English and Chinese pages drawn here at 150 dpi: the character error rate in order must be ≤ 1 %. Part
two goes through the media folder's text/ file by file; --turned adds every file turned by 90, 180 and 270 degrees.
--pictures counts the characters invented in photos and film frames, which hold hardly any text. Writes
benchmarks/results/ocr_quality.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from PIL import Image, ImageOps
from rapidocr import RapidOCR

from benchmarks.ocr_pictures import invented, pictures
from benchmarks.scoring import cer, cer_any_order, excess, field_found, table_row_found, word_recall
from vision.ocr.reader import TextReader

RESULTS = Path(__file__).parent / "results" / "ocr_quality.json"
CER_LIMIT = 0.01
ENGLISH = (
    "Annual report of the river authority, volume 12",
    "The water level at the northern gauge rose by 34 centimetres between",
    "March and May, which is 7.5 % more than in the previous year. Two of",
    "the five pumping stations were rebuilt (see section 4.2), at a cost of",
    "$1,284,000; the remaining three will follow before the winter of 2027.",
    "Questions? Write to office@river.example or call 555-0142 (weekdays).",
    "Weather, shipping and fishing all depend on the quality of forecasts,",
    "so the authority shares every measurement within ten minutes. Readers",
    "will find the complete tables, maps and a glossary in the appendix.",
)
CHINESE = (
    "河流管理局年度报告第十二卷",
    "三月至五月期间，北部水文站的水位上升了三十四厘米，",
    "比去年同期高出百分之七点五。五座泵站中有两座已经重建，",
    "其余三座将在二零二七年冬季之前完成改造。",
    "天气、航运和渔业都依赖于预报的质量，",
    "因此管理局会在十分钟之内公布全部测量数据。",
    "读者可以在附录中找到完整的表格、地图和术语表。",
)


@dataclass(frozen=True)
class Score:
    """cer, recall and excess are None where the truth does not say; fields and rows are found of all."""

    cer: float | None
    recall: float | None
    excess: float | None
    fields: tuple[int, int]
    rows: tuple[int, int]


def rendered() -> Iterator[tuple[str, np.ndarray, str]]:
    """Pages of several fonts and sizes at 150 dpi: name, (h, w, 3) uint8 RGB, truth."""
    for font, lines in (("helv", ENGLISH), ("tiro", ENGLISH), ("cour", ENGLISH), ("china-s", CHINESE)):
        for size in (9, 11, 14):
            with pymupdf.open() as document:
                sheet = document.new_page(width=595, height=842)
                repeats = 1 if size > 11 or font == "cour" else 2
                for index, line in enumerate(lines * repeats):
                    sheet.insert_text((45, 60 + index * size * 1.6), line, fontname=font, fontsize=size * 0.85)
                image = sheet.get_pixmap(dpi=150, colorspace=pymupdf.csRGB, alpha=False)
                pixels = np.frombuffer(image.samples, dtype=np.uint8).reshape(image.h, image.w, 3)
            yield f"{font} {size * 0.85:.1f} pt", pixels, "\n".join(lines * repeats)


def load(path: Path) -> np.ndarray:
    """Upright RGB pixels by Pillow; transparency is laid on whichever of white and black its ink stands out from."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if not (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
            return np.asarray(image.convert("RGB"))
        rgba = np.asarray(image.convert("RGBA")).astype(np.float32)
    ink, alpha = rgba[..., :3], rgba[..., 3:] / 255
    light = bool(alpha.min() < 0.5 and ink[alpha[..., 0] > 0.5].mean() > 128)
    return (ink * alpha + (0 if light else 255) * (1 - alpha)).astype(np.uint8)


def score(text: str, rows: Iterable[tuple[str, ...]], truth: dict[str, Any]) -> Score:
    full = truth.get("transcription")
    lines = full.split("\n") if full else truth.get("transcription_words")
    fields, table, found = truth.get("fields", {}), truth.get("table", []), list(rows)
    return Score(
        cer=cer_any_order(text, lines) if lines else None,
        recall=word_recall(text, "\n".join(lines)) if lines else None,
        excess=excess(text, full) if full else None,
        fields=(sum(field_found(text, value) for value in fields.values()), len(fields)),
        rows=(sum(table_row_found(found, row) for row in table), len(table)),
    )


def compare(picture: np.ndarray, truth: dict[str, Any], reader: TextReader, raw: RapidOCR) -> tuple[Score, Score]:
    page = reader.read(picture)
    output = raw(np.ascontiguousarray(picture))
    lines = list(output.txts or ())
    return (
        score("\n".join(line.text for line in page.lines), [row for t in page.tables for row in t.rows], truth),
        score("\n".join(lines), [tuple(line.split()) for line in lines], truth),
    )


def worse(ours: Score, base: Score) -> bool:
    numbers = ((base.cer, ours.cer), (ours.recall, base.recall))
    return any(a is not None and b is not None and a < b - 1e-9 for a, b in numbers) or ours.fields < base.fields


def mean(scores: Iterable[Score], name: str) -> float:
    values = [value for value in (getattr(item, name) for item in scores) if value is not None]
    return round(statistics.mean(values), 4) if values else 0.0


def summary(scores: list[Score]) -> dict[str, Any]:
    return {
        "cer_any_order": mean(scores, "cer"),
        "word_recall": mean(scores, "recall"),
        "excess": mean(scores, "excess"),
        "fields": [sum(item.fields[0] for item in scores), sum(item.fields[1] for item in scores)],
        "table_rows": [sum(item.rows[0] for item in scores), sum(item.rows[1] for item in scores)],
    }


def shown(item: Score) -> str:
    numbers = (item.cer, item.recall, item.excess)
    text = " ".join("     -" if value is None else f"{value:6.3f}" for value in numbers)
    return f"{text} {item.fields[0]:2}/{item.fields[1]:<2} {item.rows[0]}/{item.rows[1]}"


def read_media(
    folder: Path, names: list[str], turns: tuple[int, ...], reader: TextReader, raw: RapidOCR
) -> dict[str, tuple[Score, Score]]:
    done: dict[str, tuple[Score, Score]] = {}
    print(f"{'file':38} {'cer':>6} {'recall':>6} {'excess':>6} fields rows | the same for raw RapidOCR")
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if names and entry["file"] not in names:
            continue
        picture = load(folder / entry["file"])
        for quarters in turns:
            name = entry["file"] + (f" @{90 * quarters}" if quarters else "")
            ours, base = compare(np.rot90(picture, -quarters), entry["truth"], reader, raw)
            done[name] = (ours, base)
            print(f"{name:38} {shown(ours)} | {shown(base)}{'  WORSE' if worse(ours, base) else ''}", flush=True)
    return done


def pictures_without_text(media: Path, reader: TextReader) -> dict[str, int]:
    """How many characters were read that do not stand there, in how many pictures, and how many were turned."""
    count = characters = affected = turned = 0
    for name, picture, there in pictures(media):
        page = reader.read(picture)
        extra = invented([line.text for line in page.lines], there)
        count, characters, affected = count + 1, characters + extra, affected + bool(extra)
        turned += page.rotation != 0
        if extra:
            print(f"{name:38} invented {extra}: {[line.text for line in page.lines]}", flush=True)
    return {"pictures": count, "invented_characters": characters, "pictures_affected": affected, "turned": turned}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="only these files of the media folder")
    parser.add_argument("--turned", action="store_true", help="every file also turned by 90, 180 and 270 degrees")
    parser.add_argument("--pictures", action="store_true", help="also photos and film frames that hold no text")
    options = parser.parse_args()
    reader, raw = TextReader(), RapidOCR(params={"Global.use_cls": False, "Global.log_level": "critical"})
    result: dict[str, Any] = {"rendered": {}}
    if not options.files:
        for name, picture, truth in rendered():
            text = "\n".join(line.text for line in reader.read(picture).lines)
            result["rendered"][name] = round(cer(text, truth), 4)
            print(f"rendered {name:20} CER in order {result['rendered'][name]:.4f}", flush=True)
    media = os.environ.get("INTERNVL_MCP_MEDIA")
    done: dict[str, tuple[Score, Score]] = {}
    if media:
        turns = (0, 1, 2, 3) if options.turned else (0,)
        done = read_media(Path(media) / "text", options.files, turns, reader, raw)
        for part, chosen in (("upright", False), ("turned", True)):
            pairs = [pair for name, pair in done.items() if ("@" in name) == chosen]
            if pairs:
                result[part] = {"reader": summary([p[0] for p in pairs]), "raw": summary([p[1] for p in pairs])}
                print(part, json.dumps(result[part]))
        if options.pictures:
            result["pictures"] = pictures_without_text(Path(media), reader)
            print("pictures without text", json.dumps(result["pictures"]))
        result["files"] = {name: {"reader": asdict(o), "raw": asdict(b)} for name, (o, b) in done.items()}
    else:
        print("INTERNVL_MCP_MEDIA names no folder: the part over third-party files was skipped.")
    if not options.files:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    bad = [name for name, value in result["rendered"].items() if value > CER_LIMIT]
    bad += [name for name, (ours, base) in done.items() if worse(ours, base)]
    print("below target:", ", ".join(bad) or "none")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
