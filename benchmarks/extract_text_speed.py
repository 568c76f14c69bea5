"""extract_text through the service ÷ raw RapidOCR without its classifier, on the same A4 page in the same run.

Runs alternate, so a busy machine slows both; the figure is the median of the neighbours' ratios. Opening, hashing,
decoding in a child process, passing pixels, tables and rotation are all in our time; RapidOCR gets the file decoded by
Pillow. Usage: .venv/bin/python benchmarks/extract_text_speed.py [ROUNDS]   writes results/extract_text_speed.json
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
import numpy as np
import pymupdf
from PIL import Image
from rapidocr import RapidOCR

from tools.extract_text import ExtractTextParameters, run
from vision.call import Call
from vision.config import Settings
from vision.service import VisionService

RESULTS = Path(__file__).parent / "results" / "extract_text_speed.json"
TARGET = 1.15
TEXT = "The minutes of the meeting were read and approved, and the treasurer gave her report of the year. "


def make_page(path: Path) -> None:
    """An A4 page of 45 lines at 150 dpi."""
    with pymupdf.open() as document:
        page = document.new_page(width=595, height=842)
        page.insert_textbox((60, 60, 535, 800), TEXT * 40, fontsize=11, lineheight=1.35)
        page.get_pixmap(dpi=150).save(path)


async def ours(service: VisionService, page: Path) -> tuple[float, int]:
    started = time.perf_counter()
    result = await run(service, ExtractTextParameters(source=str(page)), Call(within_s=600))
    return time.perf_counter() - started, len(result.lines)


def theirs(engine: RapidOCR, page: Path) -> tuple[float, int]:
    started = time.perf_counter()
    with Image.open(page) as picture:
        found = engine(np.asarray(picture.convert("RGB")))
    return time.perf_counter() - started, len(found.txts or ())


async def measure(rounds: int) -> dict[str, object]:
    engine = RapidOCR(params={"Global.use_cls": False, "Global.log_level": "error"})
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            # A new file each time: the service keeps what it has read, which would be no measure of reading.
            page = Path(folder) / f"page{number}.png"
            make_page(page)
            if number == 0:
                service = VisionService(Settings(max_reply_tokens=100_000), Path(folder))
            page.write_bytes(page.read_bytes() + bytes(number))
            a, lines = await ours(service, page)
            b, raw_lines = theirs(engine, page)
            if number:  # the first round loads both
                pairs.append((a, b))
                print(f"{a:.2f} s / {b:.2f} s = {a / b:.3f}   ({lines} and {raw_lines} lines)", flush=True)
        service.close()
    return {
        "command": "python benchmarks/extract_text_speed.py",
        "what": "extract_text through the service / raw RapidOCR (use_cls=False), one A4 page of text at 150 dpi",
        "target": TARGET,
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "ours_s": [round(a, 3) for a, _ in pairs],
        "rapidocr_s": [round(b, 3) for _, b in pairs],
    }


if __name__ == "__main__":
    found = anyio.run(measure, int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(f"median ratio {found['ratio']} (target: at most {TARGET})")
    sys.exit(0 if float(str(found["ratio"])) <= TARGET else 1)
