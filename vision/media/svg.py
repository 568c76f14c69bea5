"""Render an SVG drawing, as untrusted as any other file.

The markup is parsed within limits, reduced by `svg_markup` to what is safe and what MuPDF understands, and drawn by
MuPDF, which brings its own fonts, Chinese included. Clipping, masks, filters and dashes are not drawn, gradients become
one colour: shapes and text stay where they are, which is what reading a drawing needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO
from xml.etree import ElementTree
from xml.parsers import expat

from vision.errors import DamagedMedia, LimitExceeded
from vision.media.svg_markup import simplify

if TYPE_CHECKING:
    from PIL import Image

MAX_MARKUP_BYTES = 16 << 20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 200
# A drawing has no pixels of its own: small ones are drawn larger so that text can be read, huge ones smaller.
MIN_LONG_SIDE = 1000
MAX_LONG_SIDE = 8000
# Adobe Illustrator declares short entities for its namespaces; longer ones are attacks.
_MAX_ENTITY_CHARS = 200
# CSS pixels per unit, at CSS's 96 dpi.
_UNITS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "em": 16.0}
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*$")
_DEFAULT_SIZE = (300.0, 150.0)  # what browsers take when the drawing says nothing


def render_svg(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The drawing as RGBA, its longer side MIN_LONG_SIDE to MAX_LONG_SIDE pixels, at most `max_pixels` in all.

    Raises LimitExceeded, DamagedMedia; nothing that the file refers to is opened.
    """
    from PIL import Image

    from vision.media.document_mupdf import pymupdf

    root = _parse(file)
    width, height = _size(root)
    long_side = max(width, height)
    scale = min(max(1.0, MIN_LONG_SIDE / long_side), MAX_LONG_SIDE / long_side, (max_pixels / (width * height)) ** 0.5)
    columns, rows = max(1, int(width * scale)), max(1, int(height * scale))
    root.attrib.update(xmlns="http://www.w3.org/2000/svg", width=f"{width:.6g}", height=f"{height:.6g}")
    markup = ElementTree.tostring(simplify(root, MAX_ELEMENTS), encoding="utf-8")
    with pymupdf.open(stream=markup, filetype="svg") as document:
        page = document[0]
        zoom = pymupdf.Matrix(columns / page.rect.width, rows / page.rect.height)
        pixmap = page.get_pixmap(matrix=zoom, alpha=True)
        # "RGBa": MuPDF's colours are multiplied by alpha.
        return Image.frombytes("RGBa", (pixmap.width, pixmap.height), pixmap.samples).convert("RGBA")


def _parse(file: BinaryIO) -> ElementTree.Element:
    file.seek(0)
    markup = file.read(MAX_MARKUP_BYTES + 1)
    if len(markup) > MAX_MARKUP_BYTES:
        raise LimitExceeded(f"the SVG has more than {MAX_MARKUP_BYTES} bytes", "Convert it to PNG first.")
    try:
        _check(markup)
        return ElementTree.fromstring(markup)  # noqa: S314 - entities, depth and size were just checked
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise DamagedMedia("the SVG is not well-formed XML", "Save it anew from the drawing program.") from error


def _check(markup: bytes) -> None:
    """One pass that builds nothing: entities that could multiply, and more elements or levels than a drawing needs."""
    parser = expat.ParserCreate()
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise LimitExceeded("the SVG has too many elements or levels", "Convert it to PNG first.")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def entity(name: str, is_parameter: bool, value: str | None, *external: str | None) -> None:
        if is_parameter or value is None or len(value) > _MAX_ENTITY_CHARS or "&" in value or "%" in value:
            raise DamagedMedia("the SVG declares entities, which are not expanded", "Save it as plain SVG or PNG.")

    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, entity
    parser.Parse(markup, True)


def _size(root: ElementTree.Element) -> tuple[float, float]:
    """Width and height in CSS pixels: as declared, else from the viewBox, else a browser's default."""
    numbers = [float(n) for n in re.findall(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", root.get("viewBox", ""))]
    view = (numbers[2], numbers[3]) if len(numbers) == 4 and numbers[2] > 0 and numbers[3] > 0 else None
    width, height = _length(root.get("width")), _length(root.get("height"))
    ratio = view[1] / view[0] if view else _DEFAULT_SIZE[1] / _DEFAULT_SIZE[0]
    if width is None and height is None:
        width, height = view or _DEFAULT_SIZE
    elif width is None and height is not None:
        width = height / ratio
    elif height is None and width is not None:
        height = width * ratio
    if view is None:
        root.set("viewBox", f"0 0 {width:.6g} {height:.6g}")
    if width is None or height is None or not (1e-3 < width < 1e7 and 1e-3 < height < 1e7):
        raise DamagedMedia("the SVG declares no sensible size", "Give it a width, a height and a viewBox.")
    return width, height


def _length(text: str | None) -> float | None:
    """In CSS pixels; None for what is missing, relative (%) or malformed."""
    match = _LENGTH.match(text or "")
    if match is None or match[2] not in _UNITS:
        return None
    return float(match[1]) * _UNITS[match[2]] or None
