"""The pictures of the fixed questions, as PNG. Drawn with the fonts that PyMuPDF carries: a machine may have none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pymupdf

from vision.types import Box

REGULAR, BOLD, CHINESE = "helv", "hebo", "china-s"
BLACK, WHITE, GREY, PALE = (0.1, 0.1, 0.12), (1.0, 1.0, 1.0), (0.5, 0.52, 0.55), (0.92, 0.93, 0.95)
RED, GREEN, BLUE, YELLOW = (0.86, 0.12, 0.14), (0.1, 0.6, 0.2), (0.12, 0.3, 0.85), (0.98, 0.8, 0.1)
SEND_BUTTON: Box = (640, 500, 840, 560)

Colour = tuple[float, float, float]


class Sheet:
    """A white picture of so many pixels."""

    def __init__(self, width: int, height: int, ground: Colour = WHITE) -> None:
        self._document = pymupdf.open()
        self._page = self._document.new_page(width=width, height=height)
        self._page.draw_rect(self._page.rect, color=None, fill=ground)

    def text(
        self, x: float, y: float, words: str, size: float = 24, colour: Colour = BLACK, font: str = REGULAR
    ) -> None:
        """`y` is the line the words stand on."""
        self._page.insert_text((x, y), words, fontsize=size, fontname=font, color=colour)

    def box(self, x1: float, y1: float, x2: float, y2: float, fill: Colour, edge: Colour | None = None) -> None:
        self._page.draw_rect(pymupdf.Rect(x1, y1, x2, y2), color=edge, fill=fill, width=2 if edge else 0)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        self._page.draw_circle((x, y), radius, color=None, fill=fill)

    def shape(self, points: list[tuple[float, float]], fill: Colour) -> None:
        self._page.draw_polyline(points, color=fill, fill=fill, closePath=True)

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: Colour = BLACK, width: float = 2) -> None:
        self._page.draw_line((x1, y1), (x2, y2), color=colour, width=width)

    def png(self) -> bytes:
        picture = self._page.get_pixmap(alpha=False).tobytes("png")
        self._document.close()
        return picture


def receipt() -> bytes:
    sheet = Sheet(560, 820)
    sheet.text(120, 80, "GREEN DOOR CAFE", 34, font=BOLD)
    sheet.text(150, 120, "14 March 2026   Table 7", 22, GREY)
    rows = (("3 x Coffee", "9.60"), ("2 x Croissant", "5.80"), ("1 x Apple cake", "4.35"), ("1 x Lemonade", "4.00"))
    for number, (what, price) in enumerate(rows):
        sheet.text(60, 210 + number * 56, what, 26)
        sheet.text(420, 210 + number * 56, price, 26)
    sheet.line(50, 440, 510, 440)
    sheet.text(60, 500, "TOTAL EUR", 32, font=BOLD)
    sheet.text(400, 500, "23.75", 32, font=BOLD)
    sheet.text(60, 580, "Paid by card ending in 4082", 22)
    sheet.text(150, 740, "Thank you!", 28, GREY)
    return sheet.png()


def shapes() -> bytes:
    """Five red discs, three blue squares, a green triangle at the lower left, a yellow star at the upper right."""
    sheet = Sheet(900, 700)
    for x, y in ((120, 110), (330, 90), (540, 150), (220, 290), (470, 320)):
        sheet.disc(x, y, 48, RED)
    for x, y in ((620, 350), (420, 520), (720, 540)):
        sheet.box(x, y, x + 100, y + 100, BLUE)
    sheet.shape([(70, 640), (210, 640), (140, 500)], GREEN)
    star = [
        (790 + radius * math.sin(turn * math.pi / 5), 110 - radius * math.cos(turn * math.pi / 5))
        for turn, radius in ((turn, 70 if turn % 2 == 0 else 30) for turn in range(10))
    ]
    sheet.shape(star, YELLOW)
    return sheet.png()


def bar_chart() -> bytes:
    """Sales by month, without values at the bars: January 40, February 65, March 25, April 80."""
    sheet = Sheet(960, 640)
    sheet.text(300, 50, "Bicycles sold in 2025", 30, font=BOLD)
    for tick in range(0, 101, 20):
        y = 560 - tick * 4.6
        sheet.line(110, y, 920, y, PALE)
        sheet.text(60, y + 8, str(tick), 22)
    bars = (("January", 40), ("February", 65), ("March", 25), ("April", 80))
    for number, (month, value) in enumerate(bars):
        x = 160 + number * 195
        sheet.box(x, 560 - value * 4.6, x + 110, 560, BLUE)
        sheet.text(x, 600, month, 24)
    sheet.line(110, 560, 920, 560)
    sheet.line(110, 90, 110, 560)
    return sheet.png()


def table() -> bytes:
    sheet = Sheet(900, 420)
    rows = (
        ("Mean temperature (C)", "January", "April", "July"),
        ("Oslo", "-4", "5", "17"),
        ("Lisbon", "11", "15", "24"),
        ("Cairo", "14", "22", "29"),
        ("Quito", "16", "16", "15"),
    )
    for number, cells in enumerate(rows):
        y = 60 + number * 70
        sheet.box(40, y - 45, 860, y + 25, PALE if number == 0 else WHITE, GREY)
        for x, cell in zip((60, 400, 570, 720), cells, strict=True):
            sheet.text(x, y, cell, 26, font=BOLD if number == 0 else REGULAR)
    return sheet.png()


def discs(count: int, colour: Colour) -> Callable[[], bytes]:
    """So many discs of one colour in a row, over a grey ground line."""

    def draw() -> bytes:
        sheet = Sheet(700, 320)
        sheet.line(30, 260, 670, 260, GREY, 4)
        for number in range(count):
            sheet.disc(90 + number * 120, 210, 48, colour)
        return sheet.png()

    return draw


def chinese_order() -> bytes:
    sheet = Sheet(800, 520)
    sheet.text(270, 80, "订单确认", 44, font=CHINESE)
    lines = ("订单编号：20260314", "收货人：李明", "商品：无线键盘（两件）", "合计：368 元")
    for number, words in enumerate(lines):
        sheet.text(80, 180 + number * 80, words, 34, font=CHINESE)
    return sheet.png()


def mail_window() -> bytes:
    """A window with a blue button "Send" (SEND_BUTTON) and a grey one "Discard"."""
    sheet = Sheet(900, 620, PALE)
    sheet.box(40, 40, 860, 580, WHITE, GREY)
    sheet.box(40, 40, 860, 100, BLACK)
    sheet.text(70, 80, "New message", 26, WHITE, BOLD)
    sheet.text(70, 160, "To:  maria.santos@example.org", 24)
    sheet.text(70, 220, "Subject:  Meeting moved to 15:30", 24)
    sheet.text(70, 300, "Dear Maria, we meet half an hour later today.", 22)
    sheet.box(*SEND_BUTTON, BLUE)
    sheet.text(705, 538, "Send", 26, WHITE, BOLD)
    sheet.box(420, 500, 610, 560, GREY)
    sheet.text(470, 538, "Discard", 26, WHITE)
    return sheet.png()


def large_plan() -> bytes:
    """2688 x 1792 pixels with one small line of text: only tiles of full resolution can read it."""
    sheet = Sheet(2688, 1792)
    for row in range(4):
        for column in range(6):
            x, y = 60 + column * 435, 60 + row * 425
            sheet.box(x, y, x + 400, y + 390, PALE, GREY)
            sheet.text(x + 150, y + 200, f"Room {row * 6 + column + 1}", 30, GREY)
    sheet.text(1850, 1240, "Access code: QX7-4419", 22)
    return sheet.png()
