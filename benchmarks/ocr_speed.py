"""Time of TextReader.read on an A4 page at 150 dpi against raw RapidOCR, its memory, and how it uses two cores.

    python benchmarks/ocr_speed.py [--rounds N]

Raw RapidOCR runs with use_cls=False in the same process, the two in turn, so that both see the same machine. Memory and
threads are measured in processes of their own. Writes benchmarks/results/ocr_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf

RESULTS = Path(__file__).parent / "results" / "ocr_speed.json"
RATIO_LIMIT, RSS_LIMIT_MB = 1.15, 650
_PROSE = (
    "The committee reviewed the proposal at length and agreed that the second phase should begin in early spring, once "
    "the quays are dry and the new cranes have been paid for by the towns along the river. "
)


def a4_page(lines: int = 42) -> np.ndarray:
    """A printed A4 page at 150 dpi, (1754, 1240, 3) uint8 RGB, with a small table at its end."""
    with pymupdf.open() as document:
        sheet = document.new_page(width=595, height=842)
        for index in range(lines - 6):
            start = index * 37 % 90
            sheet.insert_text((50, 60 + 17.5 * index), (_PROSE * 2)[start : start + 88], fontsize=11)
        for row in range(6):
            cells = ("Item", "Count", "Price") if row == 0 else (f"Article {row}", str(row * 3), f"{row * 7}.50")
            for x, cell in zip((50, 200, 300), cells, strict=True):
                sheet.insert_text((x, 70 + 17.5 * (lines - 6 + row)), cell, fontsize=11)
        image = sheet.get_pixmap(dpi=150, colorspace=pymupdf.csRGB, alpha=False)
        return np.frombuffer(image.samples, dtype=np.uint8).reshape(image.h, image.w, 3)


def ratio(rounds: int) -> dict[str, Any]:
    """Both engines in turn on the same page; the median of the ratios of neighbouring runs."""
    from rapidocr import RapidOCR

    from vision.ocr.reader import TextReader

    page = a4_page()
    raw = RapidOCR(params={"Global.use_cls": False, "Global.log_level": "critical"})
    reader = TextReader()
    raw(page)
    reader.read(page)
    pairs = []
    for turn in range(rounds):
        seconds = {}
        for name in ("raw", "reader") if turn % 2 else ("reader", "raw"):
            start, cpu = time.perf_counter(), time.process_time()
            _ = raw(page) if name == "raw" else reader.read(page)
            seconds[name] = (time.perf_counter() - start, time.process_time() - cpu)
        pairs.append((*seconds["reader"], *seconds["raw"]))
    return {
        "reader_s": round(statistics.median(pair[0] for pair in pairs), 3),
        "raw_s": round(statistics.median(pair[2] for pair in pairs), 3),
        "ratio": round(statistics.median(pair[0] / pair[2] for pair in pairs), 3),
        "cpu_ratio": round(statistics.median(pair[1] / pair[3] for pair in pairs), 3),
    }


def worker(threads: int, pages: int) -> dict[str, Any]:
    """What one process needs: the time for some pages after the first, and resident memory in MB."""
    from vision.ocr.reader import TextReader

    page = a4_page()
    reader = TextReader(threads=threads)
    reader.read(page)
    start = time.perf_counter()
    for _ in range(pages):
        reader.read(page)
    seconds = time.perf_counter() - start
    return {"s_per_page": round(seconds / pages, 3), "rss_mb": _memory_mb("VmRSS"), "peak_mb": _memory_mb("VmHWM")}


def _memory_mb(field: str) -> int:
    """From the kernel's own account: getrusage's peak would start with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) // 1024 for line in status if line.startswith(field)), 0)


def processes(count: int, threads: int, pages: int) -> dict[str, Any]:
    """count readers at once, each in a process of its own; pages per second and memory of all together."""
    command = [sys.executable, __file__, "--worker", str(threads), "--pages", str(pages)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_ARENA_MAX": "2"}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=env) for _ in range(count)]
    results = [json.loads(process.communicate()[0]) for process in running]
    return {
        "pages_per_s": round(sum(1 / result["s_per_page"] for result in results), 3),
        "rss_mb": sum(result["rss_mb"] for result in results),
        "peak_mb": sum(result["peak_mb"] for result in results),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pages", type=int, default=2)
    parser.add_argument("--worker", type=int, default=0, metavar="THREADS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker(options.worker, options.pages)))
        return 0
    layouts = {"1 reader, 1 thread": (1, 1), "1 reader, 2 threads": (1, 2), "2 readers, 1 thread each": (2, 1)}
    result: dict[str, Any] = {
        "page": ratio(options.rounds),
        "layouts": {name: processes(count, threads, options.pages) for name, (count, threads) in layouts.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page = result["page"]
    print(
        f"A4 page at 150 dpi: reader {page['reader_s']} s, raw {page['raw_s']} s, "
        f"ratio {page['ratio']} (CPU {page['cpu_ratio']})",
        flush=True,
    )
    for name, figures in result["layouts"].items():
        print(
            f"{name:26} {figures['pages_per_s']:6} pages/s  {figures['rss_mb']} MB steady, {figures['peak_mb']} MB peak"
        )
    heaviest = max(result["layouts"][name]["rss_mb"] for name in ("1 reader, 1 thread", "1 reader, 2 threads"))
    return 0 if page["ratio"] <= RATIO_LIMIT and heaviest < RSS_LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
