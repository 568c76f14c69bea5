"""How well documents are read: this project beside pymupdf4llm, markitdown and Tesseract, on the same pages.

    INTERNVL_MCP_MEDIA=… PYTHONPATH=. python benchmarks/document_quality.py [--made] [--markitdown PYTHON] [--only NAME]

Truth: the manifests' transcriptions, truth files, fields, must-words, table rows and unit tests, of documents/ and
text/. Where a truth file covers more than the pages read, only its lines that a plain text layer of these pages holds
are asked for, each place of the layer once. --made adds the documents of made_documents.py with their unit tests.
Readers of which nothing is installed are left out. Prints a table, and writes benchmarks/results/document_quality.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import made_documents
from benchmarks.document_readers import Reader, markitdown, own, pymupdf4llm, tesseract, with_tesseract
from benchmarks.scoring import _edit_rows, cer_any_order, field_found, normalise, word_recall
from benchmarks.unit_tests import passes
from vision.media.documents import open_document
from vision.ocr.reader import TextReader

_KINDS = (
    ("scanned", "scans"),
    ("table", "tables"),
    ("column", "columns"),
    ("zh", "Chinese"),
    ("encrypted", "protected, damaged"),
    ("corrupt", "protected, damaged"),
    ("pdf", "plain and long"),
    ("ui", "screens"),
    ("", "pictures of text"),
)


def kind_of(kind: str) -> str:
    """The kind of file that a manifest's kind counts as."""
    return next(name for part, name in _KINDS if part in kind)


def truth_lines(folder: Path, row: dict, page_texts: list[str]) -> list[str]:
    """The truth's lines that stand on the pages read."""
    truth = row["truth"]
    lines = [line for name in row["truth_files"] if not name.endswith(".json") for line in _lines(folder / name)]
    lines += str(truth.get("transcription", "")).splitlines() + truth.get("transcription_words", [])
    flat = "".join("".join(page_texts).split())
    parts = []
    for line in lines:
        text = line.strip().strip("#*|-> ").replace("**", "").replace("`", "")
        if len(text) < 3 or set(text) <= set("-|: ") or text.startswith("<!--"):
            continue
        parts += [cell.strip()[:100] for cell in text.split("|")] if "|" in text else [text[:100]]
    unique = [part for part in dict.fromkeys(parts) if part]
    shown = _shown(unique, flat) if flat else set(unique)
    return [part for part in unique if part in shown]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _shown(parts: list[str], flat: str) -> set[str]:
    """Those that the pages show, the longest first: where one stands, a shorter variant of it does not stand too."""
    free = np.ones(len(flat) + 1, dtype=bool)
    shown = set()
    for part in sorted(parts, key=len, reverse=True):
        short = "".join(part.split())[:80]
        if len(short) < 8:
            continue
        row = _edit_rows(short, flat, infix=True)
        for end in map(int, np.argsort(row, kind="stable")[:40]):
            place = slice(max(0, end - len(short)), end)
            if row[end] <= 0.15 * len(short) and free[place].mean() > 0.7:
                free[place] = False
                shown.add(part)
                break
    return shown


def table_rows(markdown: str) -> list[list[str]]:
    """The cells of every pipe-table row in the Markdown."""
    rows = [line.strip() for line in markdown.splitlines() if line.strip().startswith("|")]
    return [[cell.replace("**", "").replace("<br>", " ").strip() for cell in row.strip("|").split("|")] for row in rows]


def row_covered(rows: list[list[str]], truth_row: list[str]) -> bool:
    """Whether one row read holds the truth's cells as whole cells, in order; cells between them are not asked for."""
    wanted_cells = [_same(cell) for cell in truth_row if cell]
    for row in rows:
        # A cell may hold more than is asked for, parted by a stroke.
        cells = iter([(_same(cell), _same(cell.split("/")[0])) for cell in row])
        if all(any(wanted in forms for forms in cells) for wanted in wanted_cells):
            return True
    return False


def _same(cell: str) -> str:
    """A cell without white space and case, as in the other scores."""
    return normalise(cell).replace(" ", "").lower()


def score(pages: list[str], lines: list[str], row: dict) -> dict[str, object]:
    """The figures of one file; None where the truth says nothing."""
    truth, text = row["truth"], "\n".join(pages)
    plain = text.replace("**", "").replace("#", "").replace("|", " ").replace("\\", "")
    fields = list(truth.get("fields", {}).values()) + truth.get("must", []) + truth.get("must_with_password", [])
    wanted_rows = truth.get("table_sample", []) + truth.get("table", [])
    rows = table_rows(text)
    tests = truth.get("unit_tests", [])
    return {
        "cer_any_order": round(cer_any_order(plain, lines), 4) if lines else None,
        "word_recall": round(word_recall(plain, "\n".join(lines)), 4) if lines else None,
        "fields": [sum(field_found(plain, field) for field in fields), len(fields)],
        "table_rows": [sum(row_covered(rows, wanted) for wanted in wanted_rows), len(wanted_rows)],
        "unit_tests": [sum(passes(test, _page(pages, test)) for test in tests), len(tests)],
    }


def _page(pages: list[str], test: dict) -> str:
    at = int(test.get("page", 1)) - 1
    return pages[at] if at < len(pages) else ""


def layer_texts(path: Path, password: str, count: int) -> list[str]:
    """The plain text layer of the pages, to cut a longer truth to them; nothing for scans (their truth stays whole)."""
    if path.suffix != ".pdf":
        return []
    with open_document(path.read_bytes(), password=password) as document:
        numbers = range(1, min(count, document.page_count) + 1)
        return [document.read_page(number, format="text").text for number in numbers]


def media_files(folder: Path, only: str) -> Iterator[tuple[Path, dict]]:
    for name in ("documents", "text"):
        for row in map(json.loads, (folder / name / "manifest.jsonl").read_text().splitlines()):
            if only in row["file"]:
                yield folder / name, {**row, "kind": kind_of(row["kind"])}


def made_files(folder: Path, only: str) -> Iterator[tuple[Path, dict]]:
    for made in made_documents.make():
        if only in made.name:
            (folder / f"{made.name}.pdf").write_bytes(made.data)
            yield folder, {"file": f"{made.name}.pdf", "kind": f"made: {made.kind}", "truth_files": [],
                           "truth": {"unit_tests": made.tests}}  # fmt: skip


def measure(files: Iterator[tuple[Path, dict]], readers: dict[str, Reader], count: int) -> list[dict]:
    report = []
    for folder, row in files:
        path, password = folder / row["file"], row["truth"].get("password", "")
        lines = truth_lines(folder, row, layer_texts(path, password, count))
        for name, reader in readers.items():
            read = reader(path, password, count)
            per_page = round(read.seconds / max(1, len(read.pages)), 3)
            figures = {**score(read.pages, lines, row), "seconds_a_page": per_page}
            report.append({"file": row["file"], "kind": row["kind"], "reader": name, **figures})
            print_row(report[-1])
    return report


def summarise(report: list[dict]) -> list[dict]:
    """For every kind, and for all that is not made here: means over files, and sums of what is counted."""
    summary = []
    kinds = [*sorted({row["kind"] for row in report}), "all"]
    for kind in kinds:
        for name in dict.fromkeys(row["reader"] for row in report):
            rows = [row for row in report if row["reader"] == name and kind in (row["kind"], "all")]
            if kind == "all":
                rows = [row for row in rows if not row["kind"].startswith("made")]
            means = {
                key: round(sum(values) / len(values), 4)
                for key in ("cer_any_order", "word_recall", "seconds_a_page")
                if (values := [row[key] for row in rows if row[key] is not None])
            }
            counted = ("fields", "table_rows", "unit_tests")
            sums = {key: [sum(row[key][at] for row in rows) for at in (0, 1)] for key in counted}
            summary.append({"file": kind, "reader": name, **means, **sums})
    made = [row for row in report if row["kind"].startswith("made")]
    for name in dict.fromkeys(row["reader"] for row in made):
        of = [row["unit_tests"] for row in made if row["reader"] == name]
        tests = [sum(each[at] for each in of) for at in (0, 1)]
        summary.append(
            {"file": "all made", "reader": name, "fields": [0, 0], "table_rows": [0, 0], "unit_tests": tests}
        )
    return summary


def print_row(row: dict) -> None:
    def shown(key: str) -> str:
        value = row.get(key)
        return "-" if value is None else f"{value:.3f}"

    fields, rows, tests = (
        "/".join(map(str, row[key])) if row[key][1] else "-" for key in ("fields", "table_rows", "unit_tests")
    )
    print(
        f"{row['file'][:30]:30} {row['reader']:12} {shown('cer_any_order'):>6} {shown('word_recall'):>6} "
        f"{fields:>7} {rows:>6} {tests:>8} {shown('seconds_a_page'):>7}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--made", action="store_true")
    parser.add_argument("--no-media", action="store_true")
    parser.add_argument("--readers", default="", help="names with commas; the results of others are kept")
    parser.add_argument("--markitdown", metavar="PYTHON", help="an interpreter that has markitdown[pdf]")
    options = parser.parse_args()
    readers: dict[str, Reader] = {"internvl-mcp": own(TextReader()), "pymupdf4llm": pymupdf4llm}
    readers |= {"markitdown": markitdown(options.markitdown)} if options.markitdown else {}
    readers |= {"tesseract": tesseract} if with_tesseract() else {}
    if options.readers:
        readers = {name: readers[name] for name in options.readers.split(",")}
    print(f"{'file':30} {'reader':12} {'CER*':>6} {'words':>6} {'fields':>7} {'rows':>6} {'tests':>8} {'s/page':>7}")
    report: list[dict] = []
    if not options.no_media:
        media = Path(os.environ["INTERNVL_MCP_MEDIA"])
        report += measure(media_files(media, options.only), readers, options.pages)
    if options.made:
        with tempfile.TemporaryDirectory() as folder:
            report += measure(made_files(Path(folder), options.only), readers, options.pages)
    target = Path(__file__).parent / "results" / "document_quality.json"
    if target.exists() and options.readers:
        new = {(row["file"], row["reader"]) for row in report}
        kept = json.loads(target.read_text())["files"]
        report = [*report, *(row for row in kept if (row["file"], row["reader"]) not in new)]
    summary = summarise(report)
    for each in summary:
        print_row(each)
    if options.readers or not options.only:
        target.write_text(json.dumps({"summary": summary, "files": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
