"""Pages for the tests, drawn with PyMuPDF's built-in fonts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pymupdf

ENGLISH = (
    "Harbour notes for the second week of March",
    "The ferry to Holm left at 07:45 with 112 passengers on board.",
    "Repairs of the north quay will cost 48,300 euros in total.",
    "Please send questions to office@harbour.example before noon.",
    "A storm warning was lifted late on Thursday evening.",
)
CHINESE = (
    "港口管理处每周工作简报",
    "本周共有一百二十艘船只安全靠岸。",
    "北码头维修工程预计下个月完成。",
    "如有问题请在中午之前联系办公室。",
)
Entry = tuple[float, float, str]


def page(
    entries: Sequence[Entry],
    *,
    font: str = "helv",
    size: float = 12,
    dpi: int = 100,
    width: int = 460,
    height: int = 300,
) -> np.ndarray:
    """Entries (x, y, text) in points on a white page, (h, w, 3) uint8 RGB."""
    with pymupdf.open() as document:
        sheet = document.new_page(width=width, height=height)
        for x, y, text in entries:
            sheet.insert_text((x, y), text, fontname=font, fontsize=size)
        return pixels(sheet, dpi)


def pixels(sheet: pymupdf.Page, dpi: int) -> np.ndarray:
    image = sheet.get_pixmap(dpi=dpi, colorspace=pymupdf.csRGB, alpha=False)
    return np.frombuffer(image.samples, dtype=np.uint8).reshape(image.h, image.w, 3)


def drawn(draw: Callable[[pymupdf.Page], None], *, width: int = 460, height: int = 260, dpi: int = 100) -> np.ndarray:
    with pymupdf.open() as document:
        sheet = document.new_page(width=width, height=height)
        draw(sheet)
        return pixels(sheet, dpi)


def stacked(lines: Sequence[str], x: float = 40, y: float = 50, step: float = 24) -> list[Entry]:
    return [(x, y + step * index, line) for index, line in enumerate(lines)]
