"""The readers that benchmarks/document_quality.py compares: each gives Markdown or text of a document's first pages.

pymupdf4llm and markitdown run as they come, each in a process of its own; Tesseract reads every page at 200 dpi
(pictures as they are), English and simplified Chinese. docling is not among them: its layout model comes from a hub.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image, ImageOps

from vision.media.document_pages import DocumentPage, page_from_ocr
from vision.media.documents import OCR_DPI, open_document, read_picture
from vision.ocr.reader import TextReader

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
_TESSERACT_DPI = 200
_ONE_THREAD = {**os.environ, "OMP_THREAD_LIMIT": "1"}  # more slow Tesseract down on a machine in use
_PYMUPDF4LLM = """
import json, sys, time
import pymupdf, pymupdf4llm
pymupdf.set_messages(stream=sys.stderr)
name, password, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
document = pymupdf.open(name)
if not document.is_pdf:
    document = pymupdf.open("pdf", document.convert_to_pdf())
if document.needs_pass:
    document.authenticate(password)
pages = list(range(min(count, document.page_count)))
start = time.perf_counter()
chunks = pymupdf4llm.to_markdown(document, pages=pages, page_chunks=True)
seconds = time.perf_counter() - start
open(sys.argv[4], "w").write(json.dumps({"pages": [chunk["text"] for chunk in chunks], "seconds": seconds}))
"""
_MARKITDOWN = """
import json, sys, time
from markitdown import MarkItDown
reader = MarkItDown()
start = time.perf_counter()
texts = []
for name in sys.argv[2:]:
    try:
        texts.append(reader.convert(name).text_content)
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)
        texts.append("")
open(sys.argv[1], "w").write(json.dumps({"pages": texts, "seconds": time.perf_counter() - start}))
"""


@dataclass(frozen=True)
class Read:
    pages: list[str]
    seconds: float


Reader = Callable[[Path, str, int], Read]


def own(reader: TextReader) -> Reader:
    def read(path: Path, password: str, count: int) -> Read:
        start = time.perf_counter()
        pages = []
        if path.suffix in PICTURES:
            with Image.open(path) as picture:
                pixels = np.asarray(_flat(picture))
            page = DocumentPage(number=1, width=pixels.shape[1], height=pixels.shape[0], needs_ocr=True)
            pages.append(page_from_ocr(page, reader.read(pixels), 1.0, paper=False).markdown)
            return Read(pages, time.perf_counter() - start)
        with open_document(path.read_bytes(), password=password) as document:
            for number in range(1, min(count, document.page_count) + 1):
                page = document.read_page(number, format="markdown")
                if page.needs_ocr:
                    shown = document.render(number, dpi=OCR_DPI, max_pixels=20_000_000)
                    page = read_picture(page, shown, reader.read)
                pages.append(page.markdown)
        return Read(pages, time.perf_counter() - start)

    return read


def pymupdf4llm(path: Path, password: str, count: int) -> Read:
    return _in_a_process(sys.executable, _PYMUPDF4LLM, lambda scratch: [str(path), password, str(count), scratch])


def markitdown(python: str) -> Reader:
    """`python`: an interpreter that has it, for it wants another onnxruntime than this project."""

    def read(path: Path, password: str, count: int) -> Read:
        with tempfile.TemporaryDirectory() as folder:
            names = [str(path)] if path.suffix in PICTURES else _single_pages(path, password, count, Path(folder))
            return _in_a_process(python, _MARKITDOWN, lambda scratch: [scratch, *names])

    return read


def tesseract(path: Path, password: str, count: int) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        names = []
        if path.suffix in PICTURES:
            with Image.open(path) as picture:
                _flat(picture).save(Path(folder, "0.png"))
            names = [Path(folder, "0.png")]
        else:
            document = pymupdf.open(path)
            document.authenticate(password)
            for at in range(min(count, document.page_count)):
                names.append(Path(folder, f"{at}.png"))
                document[at].get_pixmap(dpi=_TESSERACT_DPI).save(names[-1])
        start = time.perf_counter()
        pages = []
        for name in names:
            command = ["tesseract", str(name), "stdout", "-l", "eng+chi_sim", "--psm", "1"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=_ONE_THREAD)
            pages.append(done.stdout)
        return Read(pages, time.perf_counter() - start)


def with_tesseract() -> bool:
    return shutil.which("tesseract") is not None


def _flat(picture: Image.Image) -> Image.Image:
    """RGB on white, as EXIF turns it."""
    shown = ImageOps.exif_transpose(picture).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _single_pages(path: Path, password: str, count: int, folder: Path) -> list[str]:
    """Files of one page each: markitdown reads a file whole, and gives no pages. A locked file stays as it is."""
    document = pymupdf.open(path)
    if document.needs_pass:
        return [str(path)]
    names = []
    for at in range(min(count, document.page_count)):
        names.append(str(folder / f"{at}.pdf"))
        page = pymupdf.open(path)
        page.select([at])
        page.save(names[-1])
    return names


def _in_a_process(python: str, script: str, arguments: Callable[[str], list[str]]) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder, "read.json")
        command = [python, "-c", script, *arguments(str(scratch))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        if not scratch.exists():
            print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
            return Read([""], 0.0)
        return Read(**json.loads(scratch.read_text()))
