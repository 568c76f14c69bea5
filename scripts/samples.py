"""Makes the demo's sample files, and says what is on them.

`make_samples(folder)` draws every file from nothing but the project's dependencies and returns the truth about them, so
that the demo, the tests and the benchmarks can check an answer against it. All text is drawn with the fonts that
PyMuPDF carries (Latin "helv"/"hebo", Chinese "china-s"): a machine may have no fonts at all. The same versions of the
libraries give the same bytes.

Usage: python scripts/samples.py FOLDER
"""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pymupdf
from av.container import OutputContainer
from PIL import Image

REGULAR, BOLD, CHINESE = "helv", "hebo", "china-s"
DARK, GREY, WHITE = (0.13, 0.15, 0.18), (0.45, 0.47, 0.5), (1.0, 1.0, 1.0)
A4 = (595, 842)
SCAN_DPI = 160
VIDEO_SIZE = (960, 540)
VIDEO_FPS = 10

Colour = tuple[float, float, float]
Table = tuple[tuple[str, ...], ...]


class PageTruth(NamedTuple):
    """One page of the report: its heading, its lines of running text in order, and its table with the header row."""

    heading: str
    lines: tuple[str, ...]
    table: Table = ()


class ReportTruth(NamedTuple):
    """`turned_page` (from 1) is the page of the scan that lies turned by 90 degrees clockwise."""

    pages: tuple[PageTruth, ...]
    turned_page: int


class ScreenTruth(NamedTuple):
    """`labels` are the texts on the screen; `button` is one of them, in the middle of `button_box` (pixels)."""

    labels: tuple[str, ...]
    button: str
    button_box: tuple[float, float, float, float]


class ChartTruth(NamedTuple):
    """A bar chart whose values are printed above the bars."""

    title: str
    axis: str
    bars: tuple[tuple[str, str], ...]


class Stretch(NamedTuple):
    """Something that lasts from `start_s` until `end_s` in the video; black stretches have no text."""

    start_s: float
    end_s: float
    text: str


class VideoTruth(NamedTuple):
    """`frozen` are the scenes in which nothing moves, black ones excluded."""

    duration_s: float
    scenes: tuple[Stretch, ...]
    black: tuple[Stretch, ...]
    frozen: tuple[Stretch, ...]
    subtitles: tuple[Stretch, ...]


class Samples(NamedTuple):
    """Where each file lies, and what is on it."""

    report: Path
    report_scan: Path
    screenshot_en: Path
    screenshot_zh: Path
    chart: Path
    video: Path


REPORT = ReportTruth(
    pages=(
        PageTruth(
            "Harbour Lights Ferry: annual report 2025",
            (
                "The company carried 1,284,500 passengers in 2025, which is 6.2 percent more than a year",
                "before. Two new electric ferries entered service in April, and the night line to Saint",
                "Alban was reopened after nine years.",
                "Revenue rose to 41.7 million euros. Fuel costs fell by a third, because the electric",
                "ferries now sail the three shortest lines.",
                "Contact: reports@harbour-lights.example, reference HL-2025-0417.",
            ),
        ),
        PageTruth(
            "Passengers by line and quarter",
            (
                "The table counts passengers in thousands. The line to Saint Alban opened in May, so its",
                "first quarter is empty of traffic.",
            ),
            (
                ("Line", "Q1", "Q2", "Q3", "Q4", "Total"),
                ("Old Town", "81.2", "96.4", "131.9", "88.0", "397.5"),
                ("North Pier", "64.7", "77.3", "102.6", "70.1", "314.7"),
                ("Lighthouse", "52.0", "69.8", "118.4", "55.5", "295.7"),
                ("Saint Alban", "0.0", "48.9", "84.3", "41.6", "174.8"),
                ("Market Quay", "19.8", "26.1", "33.5", "22.4", "101.8"),
            ),
        ),
        PageTruth(
            "Outlook for 2026",
            (
                "A third electric ferry is ordered and will be delivered in September 2026.",
                "The board expects 1,350,000 passengers and an investment of 12.4 million euros.",
                "Ticket prices stay as they are: 3.20 euros for adults and 1.60 euros for children.",
                "Risks: the price of electricity, and the repair of the North Pier, which will close the",
                "line for about six weeks in spring.",
            ),
        ),
    ),
    turned_page=3,
)
SCREEN_EN = ScreenTruth(
    (
        "Invoice editor",
        "File",
        "Edit",
        "View",
        "Help",
        "Customers",
        "Invoices",
        "Payments",
        "Settings",
        "Invoice 2025-0731",
        "Customer: Northwind Traders",
        "Due date: 14 August 2025",
        "Design work",
        "1,200.00",
        "Hosting, 12 months",
        "348.00",
        "Amount due: 1,548.00 EUR",
        "Save draft",
        "Send invoice",
        "Saved 2 minutes ago",
    ),
    "Send invoice",
    (1000, 660, 1180, 708),
)
SCREEN_ZH = ScreenTruth(
    (
        "订单管理系统",
        "文件",
        "编辑",
        "视图",
        "帮助",
        "客户列表",
        "订单查询",
        "付款记录",
        "系统设置",
        "订单编号 20250731",
        "客户名称：北京海风科技有限公司",
        "交货日期：2025年8月14日",
        "设计服务",
        "1200.00",
        "服务器托管（十二个月）",
        "348.00",
        "应付金额：1548.00 元",
        "保存草稿",
        "提交订单",
        "两分钟前已保存",
    ),
    "提交订单",
    (1000, 660, 1180, 708),
)
CHART = ChartTruth(
    "Electricity from wind in 2024",
    "Share of consumption (%)",
    (("Denmark", "56"), ("Ireland", "33"), ("Portugal", "28"), ("Germany", "27"), ("Spain", "24"), ("Poland", "15")),
)
VIDEO = VideoTruth(
    duration_s=20.0,
    scenes=(
        Stretch(0.0, 5.0, "Quarterly review"),
        Stretch(5.0, 9.0, "Step 1: open the valve"),
        Stretch(11.0, 16.0, "Step 2: read the gauge"),
        Stretch(16.0, 20.0, "Thank you for watching"),
    ),
    black=(Stretch(9.0, 11.0, ""),),
    frozen=(Stretch(0.0, 5.0, "Quarterly review"), Stretch(16.0, 20.0, "Thank you for watching")),
    subtitles=(
        Stretch(1.0, 4.0, "Welcome to the review of the third quarter."),
        Stretch(6.0, 8.5, "Turn the valve slowly to the left."),
        Stretch(12.0, 15.0, "The gauge has to show four bar."),
    ),
)
# What MP4's text encoder has to be told of the look of its lines (an ASS header).
_SUBTITLE_STYLE = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_SCENE_COLOURS: tuple[Colour, ...] = ((0.09, 0.2, 0.36), (0.93, 0.9, 0.8), (0.16, 0.4, 0.27), (0.95, 0.95, 0.97))


def _runs(text: str, font: str) -> list[tuple[str, str]]:
    """(text, font) pieces: "china-s" spaces digits and Latin letters as widely as its own signs, so they get "helv"."""
    if font != CHINESE:
        return [(text, font)]
    return [("".join(run), REGULAR if latin else CHINESE) for latin, run in groupby(text, key=str.isascii)]


def _width(text: str, size: float, font: str = REGULAR) -> float:
    return sum(pymupdf.get_text_length(run, fontname=name, fontsize=size) for run, name in _runs(text, font))


def _write(page: pymupdf.Page, x: float, y: float, text: str, size: float, colour: Colour, font: str = REGULAR) -> None:
    for run, name in _runs(text, font):
        page.insert_text((x, y), run, fontsize=size, fontname=name, color=colour)
        x += _width(run, size, name)


def _centre(page: pymupdf.Page, x: float, y: float, text: str, size: float, colour: Colour, font: str) -> None:
    _write(page, x - _width(text, size, font) / 2, y, text, size, colour, font)


def _fill(page: pymupdf.Page, box: tuple[float, float, float, float], colour: Colour) -> None:
    page.draw_rect(pymupdf.Rect(box), color=None, fill=colour)


def _picture(page: pymupdf.Page, scale: float = 1.0) -> Image.Image:
    """The page as an RGB picture, `scale` pixels to a point."""
    pixels = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)


def _draw_table(page: pymupdf.Page, table: Table, left: float, top: float) -> None:
    """Black rules, header in bold, the first column left and the numbers right."""
    row_height, widths = 26.0, (120.0, *([75.0] * (len(table[0]) - 1)))
    edges = [left]
    for width in widths:
        edges.append(edges[-1] + width)
    bottom = top + row_height * len(table)
    for index in range(len(table) + 1):
        y = top + row_height * index
        page.draw_line((left, y), (edges[-1], y), color=(0, 0, 0), width=0.8)
    for x in edges:
        page.draw_line((x, top), (x, bottom), color=(0, 0, 0), width=0.8)
    for row_index, row in enumerate(table):
        font = BOLD if row_index == 0 else REGULAR
        y = top + row_height * row_index + 17
        for column, text in enumerate(row):
            x = edges[column] + 6 if column == 0 else edges[column + 1] - 6 - _width(text, 11, font)
            _write(page, x, y, text, 11, DARK, font)


def _report() -> pymupdf.Document:
    document = pymupdf.open()
    for truth in REPORT.pages:
        page = document.new_page(width=A4[0], height=A4[1])
        _write(page, 60, 96, truth.heading, 20, DARK, BOLD)
        y = 140.0
        for line in truth.lines:
            _write(page, 60, y, line, 11, DARK)
            # A sentence that ends on its line ends its paragraph.
            y += 28 if line.endswith(".") else 16
        if truth.table:
            _draw_table(page, truth.table, 50, y + 10)
    document.set_metadata({"title": REPORT.pages[0].heading, "producer": "", "creationDate": "", "modDate": ""})
    return document


def _save(document: pymupdf.Document, path: Path) -> None:
    # A new /ID would be random: without one the same call writes the same bytes.
    document.save(path, garbage=3, deflate=True, no_new_id=True)
    document.close()


def make_report(path: Path) -> ReportTruth:
    """Three A4 pages with a text layer: headings, paragraphs, a ruled table."""
    _save(_report(), path)
    return REPORT


def make_report_scan(path: Path) -> ReportTruth:
    """The same pages as slightly noisy pictures at 160 dpi without any text layer; one lies on its side."""
    noise = np.random.default_rng(20250417)
    scan = pymupdf.open()
    source = _report()
    for number in range(1, source.page_count + 1):
        pixels = np.asarray(_picture(source[number - 1], SCAN_DPI / 72), dtype=np.int16)
        grain = noise.normal(0, 6, pixels.shape[:2])[..., None]
        picture = Image.fromarray(np.clip(pixels * 0.97 + grain, 0, 255).astype(np.uint8))
        if number == REPORT.turned_page:
            picture = picture.transpose(Image.Transpose.ROTATE_270)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=85)
        size = (A4[1], A4[0]) if number == REPORT.turned_page else A4
        page = scan.new_page(width=size[0], height=size[1])
        page.insert_image(page.rect, stream=jpeg.getvalue())
    source.close()
    _save(scan, path)
    return REPORT


def _screen(truth: ScreenTruth, regular: str, bold: str) -> Image.Image:
    """A window of 1280 by 800 pixels: title bar, menus, side bar, a form, two buttons, a status line."""
    document = pymupdf.open()
    page = document.new_page(width=1280, height=800)
    label = iter(truth.labels)
    _fill(page, (0, 0, 1280, 800), (0.96, 0.97, 0.98))
    _fill(page, (0, 0, 1280, 44), (0.16, 0.21, 0.31))
    _write(page, 24, 29, next(label), 18, WHITE, bold)
    _fill(page, (0, 44, 1280, 84), (0.88, 0.9, 0.93))
    for x in (24, 104, 184, 264):
        _write(page, x, 70, next(label), 17, DARK, regular)
    _fill(page, (0, 84, 240, 756), (0.21, 0.26, 0.36))
    for y in (134, 184, 234, 284):
        _write(page, 28, y, next(label), 18, WHITE, regular)
    _write(page, 300, 150, next(label), 28, DARK, bold)
    _write(page, 300, 204, next(label), 18, DARK, regular)
    _write(page, 300, 244, next(label), 18, DARK, regular)
    for y in (320, 376):
        _fill(page, (300, y, 1180, y + 48), WHITE)
        _write(page, 320, y + 31, next(label), 18, DARK, regular)
        amount = next(label)
        _write(page, 1160 - _width(amount, 18, regular), y + 31, amount, 18, DARK, regular)
    total = next(label)
    _write(page, 1180 - _width(total, 20, bold), 470, total, 20, DARK, bold)
    _fill(page, (820, 660, 980, 708), (0.8, 0.83, 0.87))
    _centre(page, 900, 691, next(label), 18, DARK, regular)
    _fill(page, truth.button_box, (0.1, 0.42, 0.8))
    _centre(page, 1090, 691, next(label), 18, WHITE, regular)
    _fill(page, (0, 756, 1280, 800), (0.88, 0.9, 0.93))
    _write(page, 24, 785, next(label), 16, GREY, regular)
    picture = _picture(page)
    document.close()
    return picture


def make_screenshot_en(path: Path) -> ScreenTruth:
    """An English application window."""
    _screen(SCREEN_EN, REGULAR, BOLD).save(path)
    return SCREEN_EN


def make_screenshot_zh(path: Path) -> ScreenTruth:
    """The same window in Chinese."""
    _screen(SCREEN_ZH, CHINESE, CHINESE).save(path)
    return SCREEN_ZH


def make_chart(path: Path) -> ChartTruth:
    """A bar chart of 1000 by 640 pixels: title, axis with ticks every 10, a value above every bar."""
    document = pymupdf.open()
    page = document.new_page(width=1000, height=640)
    _fill(page, (0, 0, 1000, 640), WHITE)
    _centre(page, 500, 54, CHART.title, 26, DARK, BOLD)
    page.insert_text((40, 460), CHART.axis, fontsize=17, fontname=REGULAR, color=DARK, rotate=90)
    base, per_unit = 550.0, 7.4
    for tick in range(0, 61, 10):
        y = base - tick * per_unit
        page.draw_line((100, y), (960, y), color=(0.85, 0.86, 0.88), width=1)
        _write(page, 90 - _width(str(tick), 15), y + 5, str(tick), 15, GREY)
    for index, (name, value) in enumerate(CHART.bars):
        middle, top = 175 + index * 142, base - float(value) * per_unit
        _fill(page, (middle - 42, top, middle + 42, base), (0.13, 0.47, 0.71))
        _centre(page, middle, top - 8, value, 18, DARK, BOLD)
        _centre(page, middle, base + 28, name, 17, DARK, REGULAR)
    _picture(page).save(path)
    document.close()
    return CHART


def _scene_picture(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Height × width × 3, the still part of a scene."""
    document = pymupdf.open()
    page = document.new_page(width=VIDEO_SIZE[0], height=VIDEO_SIZE[1])
    colour = _SCENE_COLOURS[index]
    _fill(page, (0, 0, *VIDEO_SIZE), colour)
    _centre(page, VIDEO_SIZE[0] / 2, 200, VIDEO.scenes[index].text, 48, WHITE if sum(colour) < 1.5 else DARK, BOLD)
    pixels = np.array(_picture(page))
    document.close()
    return pixels


def _frame(number: int, stills: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The frame at `number` / VIDEO_FPS seconds; a square crosses the scenes that are not frozen."""
    second = number / VIDEO_FPS
    for index, scene in enumerate(VIDEO.scenes):
        if scene.start_s <= second < scene.end_s:
            pixels = stills[index].copy()
            if scene not in VIDEO.frozen:
                x = 60 + int((second - scene.start_s) * 150)
                pixels[340:460, x : x + 120] = (214, 84, 42)
            return pixels
    return np.zeros((VIDEO_SIZE[1], VIDEO_SIZE[0], 3), dtype=np.uint8)


def video_frame(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> av.VideoFrame:
    """A frame from height × width × 3 RGB pixels, both even: BT.601, limited range, 4:2:0.

    Done here and not by FFmpeg, whose conversion differs in the last bit with the place of the pixels in memory.
    """
    height, width = pixels.shape[:2]
    luma = pixels @ np.array((0.257, 0.504, 0.098), np.float32) + 16
    fours = pixels.reshape(height // 2, 2, width // 2, 2, 3)
    mean = (fours[:, 0, :, 0] + fours[:, 0, :, 1].astype(np.float32) + fours[:, 1, :, 0] + fours[:, 1, :, 1]) / 4
    weights = np.array(((-0.148, -0.291, 0.439), (0.439, -0.368, -0.071)), np.float32)
    colours = [(mean @ weight + 128).reshape(-1, width) for weight in weights]
    planes = np.concatenate((luma, *colours)).round().astype(np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _add_subtitles(container: OutputContainer) -> None:
    """The subtitles as a track in MP4's own text format; times count in milliseconds."""
    track = container.add_stream("mov_text")
    track.codec_context.subtitle_header = _SUBTITLE_STYLE.encode()
    clock = track.time_base = Fraction(1, 1000)
    for stretch in VIDEO.subtitles:
        text = stretch.text.encode()
        packet = av.Packet(len(text).to_bytes(2, "big") + text)
        packet.stream = track
        packet.time_base = clock
        packet.pts = packet.dts = round(stretch.start_s * 1000)
        packet.duration = round((stretch.end_s - stretch.start_s) * 1000)
        container.mux(packet)


def make_video(path: Path) -> VideoTruth:
    """20 s of 960 by 540 at 12 frames a second: four scenes, two seconds of black, a track of subtitles.

    H.264 where this build of FFmpeg can write it, else MPEG-4.
    """
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    stills = [_scene_picture(index) for index in range(len(VIDEO.scenes))]
    with av.open(path, "w") as container:
        # One thread: the bytes must not depend on the machine.
        options = {"threads": "1", "preset": "veryfast", "crf": "23"} if codec == "libx264" else {"threads": "1"}
        stream = container.add_stream(codec, rate=VIDEO_FPS, options=options)
        stream.width, stream.height = VIDEO_SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 800_000
        _add_subtitles(container)
        for number in range(int(VIDEO.duration_s * VIDEO_FPS)):
            frame = video_frame(_frame(number, stills))
            frame.pts, frame.time_base = number, Fraction(1, VIDEO_FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return VIDEO


def make_samples(folder: Path) -> Samples:
    """Writes all files into `folder` (made if missing; files of the same names are replaced)."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = Samples(
        report=folder / "report.pdf",
        report_scan=folder / "report-scan.pdf",
        screenshot_en=folder / "screenshot-en.png",
        screenshot_zh=folder / "screenshot-zh.png",
        chart=folder / "chart.png",
        video=folder / "video.mp4",
    )
    make_report(samples.report)
    make_report_scan(samples.report_scan)
    make_screenshot_en(samples.screenshot_en)
    make_screenshot_zh(samples.screenshot_zh)
    make_chart(samples.chart)
    make_video(samples.video)
    return samples


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for made in make_samples(Path(sys.argv[1])):
        print(made)
