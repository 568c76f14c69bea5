"""How well documents are read: this project beside pymupdf4llm as it comes, on the same pages in the same run.

    INTERNVL_MCP_MEDIA=… python benchmarks/document_quality.py [--pages 5] [--dpi 150] [--only NAME] [--no-baseline]

Truth: the manifest's transcription, truth files, fields, must-words and table rows. Where a truth file covers more than
the pages read, only its lines that a plain text layer of these pages holds are asked for. Scanned pages are read by
vision.ocr. Prints a table and writes benchmarks/results/document_quality.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from scoring import cer_any_order, field_found, infix_distance, word_recall

from vision.media.documents import OCR_DPI, open_document, read_picture
from vision.ocr.reader import TextReader

BASELINE = """
import json, sys, time
import pymupdf, pymupdf4llm
pymupdf.set_messages(stream=sys.stderr)
name, password, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
document = pymupdf.open(name)
if document.needs_pass:
    document.authenticate(password)
pages = list(range(min(count, document.page_count)))
start = time.perf_counter()
chunks = pymupdf4llm.to_markdown(document, pages=pages, page_chunks=True)
seconds = time.perf_counter() - start
open(sys.argv[4], "w").write(json.dumps({"pages": [chunk["text"] for chunk in chunks], "seconds": seconds}))
"""


def read_own(path: Path, password: str, count: int, dpi: float, reader: TextReader) -> dict[str, object]:
    """Markdown of the first pages, OCR where the page asks for it, and the seconds it took."""
    start = time.perf_counter()
    pages, scanned = [], 0
    with open_document(path.read_bytes(), password=password) as document:
        for number in range(1, min(count, document.page_count) + 1):
            page = document.read_page(number, format="markdown")
            if page.needs_ocr:
                scanned += 1
                picture = document.render(number, dpi=dpi, max_pixels=20_000_000)
                page = read_picture(page, picture, reader.read)
            pages.append(page.markdown)
    return {"pages": pages, "seconds": time.perf_counter() - start, "scanned": scanned}


def read_baseline(path: Path, password: str, count: int, scratch: Path) -> dict[str, object]:
    """pymupdf4llm as it comes, in a process of its own; it runs OCR where it thinks fit."""
    command = [sys.executable, "-c", BASELINE, str(path), password, str(count), str(scratch)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    result = json.loads(scratch.read_text())
    scratch.unlink()
    return result


def truth_lines(folder: Path, row: dict, page_texts: list[str]) -> list[str]:
    """The truth's lines that stand on the pages read."""
    truth = row["truth"]
    lines = [line for name in row["truth_files"] for line in (folder / name).read_text().splitlines()]
    lines += str(truth.get("transcription", "")).splitlines()
    kept = []
    whole = "\n".join(page_texts)
    flat = "".join(whole.split())
    for line in lines:
        text = line.strip().strip("#*|-> ").replace("**", "").replace("`", "")
        if len(text) < 3 or set(text) <= set("-|: ") or text.startswith("<!--"):
            continue
        for part in [cell.strip() for cell in text.split("|")] if "|" in text else [text]:
            short = "".join(part.split())
            if not flat or (len(short) >= 8 and infix_distance(short[:80], flat) <= 0.15 * len(short[:80])):
                kept.append(part[:100] if flat else part)
    return list(dict.fromkeys(kept))


def table_rows(markdown: str) -> list[list[str]]:
    """The cells of every pipe-table row in the Markdown."""
    rows = [line.strip() for line in markdown.splitlines() if line.strip().startswith("|")]
    return [[cell.replace("**", "").replace("<br>", " ").strip() for cell in row.strip("|").split("|")] for row in rows]


def row_covered(rows: list[list[str]], truth_row: list[str]) -> bool:
    """Whether one row read holds the truth's cells as whole cells, in order; cells between them are not asked for."""
    for row in rows:
        cells = iter(cell.split("/")[0].strip() for cell in row)
        if all(any(cell == wanted for cell in cells) for wanted in truth_row):
            return True
    return False


def score(pages: list[str], lines: list[str], row: dict) -> dict[str, object]:
    """The figures of one file; None where the truth says nothing."""
    truth, text = row["truth"], "\n".join(pages)
    plain = text.replace("**", "").replace("#", "").replace("|", " ").replace("\\", "")
    fields = list(truth.get("fields", {}).values()) + truth.get("must", []) + truth.get("must_with_password", [])
    tables = truth.get("table_sample", [])
    rows = table_rows(text)
    return {
        "cer_any_order": round(cer_any_order(plain, lines), 4) if lines else None,
        "word_recall": round(word_recall(plain, "\n".join(lines)), 4) if lines else None,
        "fields": [sum(field_found(plain, field) for field in fields), len(fields)],
        "table_rows": [sum(row_covered(rows, wanted) for wanted in tables), len(tables)],
    }


def layer_texts(path: Path, password: str, count: int) -> list[str]:
    """The plain text layer of the pages, to cut a longer truth to them; nothing for scans (their truth stays whole)."""
    with open_document(path.read_bytes(), password=password) as document:
        numbers = range(1, min(count, document.page_count) + 1)
        return [document.read_page(number, format="text").text for number in numbers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--dpi", type=float, default=OCR_DPI)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-baseline", action="store_true")
    options = parser.parse_args()
    folder = Path(os.environ["INTERNVL_MCP_MEDIA"]) / "documents"
    results = Path(__file__).parent / "results"
    reader = TextReader()
    report = []
    print(f"{'file':34} {'reader':12} {'CER*':>6} {'words':>6} {'fields':>7} {'rows':>6} {'s/page':>7}")
    for row in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines()):
        if options.only not in row["file"]:
            continue
        path, password = folder / row["file"], row["truth"].get("password", "")
        reads = {"internvl-mcp": read_own(path, password, options.pages, options.dpi, reader)}
        if not options.no_baseline:
            reads["pymupdf4llm"] = read_baseline(path, password, options.pages, results / "scratch.json")
        lines = truth_lines(folder, row, layer_texts(path, password, options.pages))
        for name, read in reads.items():
            pages = read["pages"]
            figures = {**score(pages, lines, row), "seconds_a_page": round(read["seconds"] / len(pages), 3)}
            report.append({"file": row["file"], "reader": name, "pages": len(pages), **figures})
            print_row(report[-1])
    summary = summarise(report)
    for each in summary:
        print_row(each)
    target = results / "document_quality.json"
    target.write_text(json.dumps({"dpi": options.dpi, "files": report, "summary": summary}, indent=1) + "\n")


def summarise(report: list[dict]) -> list[dict]:
    """Means over the files that have a truth of that kind, and sums of fields and rows."""
    summary = []
    for name in dict.fromkeys(row["reader"] for row in report):
        rows = [row for row in report if row["reader"] == name]
        means = {
            key: round(sum(values) / len(values), 4)
            for key in ("cer_any_order", "word_recall", "seconds_a_page")
            if (values := [row[key] for row in rows if row[key] is not None])
        }
        sums = {key: [sum(row[key][at] for row in rows) for at in (0, 1)] for key in ("fields", "table_rows")}
        summary.append({"file": "all", "reader": name, **means, **sums})
    return summary


def print_row(row: dict) -> None:
    def shown(key: str) -> str:
        value = row.get(key)
        return "-" if value is None else f"{value:.3f}"

    fields, rows = ("/".join(map(str, row[key])) if row[key][1] else "-" for key in ("fields", "table_rows"))
    print(
        f"{row['file'][:34]:34} {row['reader']:12} {shown('cer_any_order'):>6} {shown('word_recall'):>6} "
        f"{fields:>7} {rows:>6} {shown('seconds_a_page'):>7}",
        flush=True,
    )


if __name__ == "__main__":
    main()
