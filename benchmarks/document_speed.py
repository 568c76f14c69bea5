"""Pages a second for text and Markdown, and what opening, rendering and importing cost.

    INTERNVL_MCP_MEDIA=… python benchmarks/document_speed.py

Prints a table and writes benchmarks/results/document_speed.json. Times are processor seconds (everything here
runs on one thread), so that a busy machine does not change them much;
`bare` is PyMuPDF's get_text alone on the same pages, measured beside them.
"""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

START = time.process_time()

from vision.media.document_mupdf import pymupdf  # noqa: E402
from vision.media.documents import open_document  # noqa: E402

IMPORT_SECONDS = time.process_time() - START
FILES = ("irs_manual_400p.pdf", "debian_install_zh_CN_107p.pdf", "federal_register_3col.pdf", "redp5110_sampled.pdf")


def rate(pages: int, start: float) -> float:
    """Pages a second since `start`."""
    return round(pages / (time.process_time() - start), 1)


def bare_rate(data: bytes) -> float:
    """PyMuPDF's own plain text."""
    with pymupdf.open(stream=data, filetype="pdf") as document:
        start = time.process_time()
        for page in document:
            page.get_text()
        return rate(document.page_count, start)


def measure(path: Path) -> dict[str, object]:
    """One file: text of all pages, Markdown of 40 at most, pictures of 10 at most, and its first five pages alone."""
    data = path.read_bytes()
    start = time.process_time()
    with open_document(data) as document:
        for number in range(1, 6):
            document.read_page(number, format="text")
        first = time.process_time() - start
    row: dict[str, object] = {
        "file": path.name,
        "first_5_pages_ms": round(first * 1000),
        "bare_pages_s": bare_rate(data),
    }
    with open_document(data) as document:
        count = document.page_count
        row["pages"] = count
        for key, most in (("text_pages_s", count), ("markdown_pages_s", 40), ("render_150dpi_pages_s", 10)):
            start = time.process_time()
            numbers = range(1, min(most, count) + 1)
            for number in numbers:
                if key.startswith("render"):
                    document.render(number, dpi=150, max_pixels=20_000_000)
                else:
                    document.read_page(number, format="text" if key.startswith("text") else "markdown")
            row[key] = rate(len(numbers), start)
    return row


def main() -> None:
    folder = Path(os.environ["INTERNVL_MCP_MEDIA"]) / "documents"
    rows = [measure(folder / name) for name in FILES]
    keys = ("pages", "first_5_pages_ms", "bare_pages_s", "text_pages_s", "markdown_pages_s", "render_150dpi_pages_s")
    print(f"{'file':32}" + "".join(f"{key:>23}" for key in keys))
    for row in rows:
        print(f"{row['file']:32}" + "".join(f"{row[key]:>23}" for key in keys))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"import {IMPORT_SECONDS:.2f} s, peak {peak} MiB")
    report = {"import_s": round(IMPORT_SECONDS, 2), "peak_rss_mib": peak, "files": rows}
    (Path(__file__).parent / "results" / "document_speed.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
