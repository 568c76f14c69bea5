"""PowerPoint presentations (PPTX), by python-pptx: a slide is a page, its boxes are points of the slide."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE

from vision.media.document_facts import Annotation, Link, OutlineEntry
from vision.media.office_docx import core_metadata
from vision.media.office_parts import NOWHERE, Block, OfficePage
from vision.types import Box

_EMU_A_POINT = 12_700
_DEEPEST_NESTING = 10
_BODY_LEVELS = 8


class SlidesContent:
    def __init__(self, data: bytes) -> None:
        self._presentation: Any = pptx.Presentation(io.BytesIO(data))
        self._slides = list(self._presentation.slides)
        self.metadata = core_metadata(self._presentation.core_properties, "PPTX")
        self.outline = tuple(
            OutlineEntry(level=1, title=title, page=number)
            for number, slide in enumerate(self._slides, 1)
            if (title := _title(slide))
        )
        self.links = tuple(link for number, slide in enumerate(self._slides, 1) for link in _links(slide, number))
        self.annotations: tuple[Annotation, ...] = ()

    @property
    def page_count(self) -> int:
        return max(1, len(self._slides))

    def page(self, number: int) -> OfficePage:
        width = (self._presentation.slide_width or 0) / _EMU_A_POINT
        height = (self._presentation.slide_height or 0) / _EMU_A_POINT
        if not self._slides:
            return OfficePage((), width, height)
        slide = self._slides[number - 1]
        blocks: list[Block] = []
        if slide._element.get("show") == "0":
            blocks.append(Block("text", "(This slide is hidden.)"))
        title = slide.shapes.title
        if title is not None and title.has_text_frame and title.text_frame.text.strip():
            blocks.append(Block("heading", " ".join(title.text_frame.text.split()), level=1, box=_box(title)))
        others = [shape for shape in _flat(slide.shapes) if title is None or shape.shape_id != title.shape_id]
        # Rows of shapes that stand about level, each from left to right.
        others.sort(key=lambda shape: (round(_box(shape)[1] / 20), _box(shape)[0]))
        for shape in others:
            blocks += _blocks(shape)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            blocks += [Block("heading", "Notes", level=2), Block("text", _plain(notes))] if notes else []
        return OfficePage(tuple(blocks), width, height)


def _title(slide: Any) -> str:
    title = slide.shapes.title
    return " ".join(title.text_frame.text.split())[:500] if title is not None and title.has_text_frame else ""


def _flat(shapes: Any, depth: int = 0) -> Iterator[Any]:
    for shape in shapes:
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP and depth < _DEEPEST_NESTING:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _blocks(shape: Any) -> list[Block]:
    box = _box(shape)
    if getattr(shape, "has_table", False) and shape.has_table:
        rows = tuple(
            tuple("" if cell.is_spanned else _plain(cell.text_frame.text).strip() for cell in row.cells)
            for row in shape.table.rows
        )
        return [Block("table", rows=rows, box=box)]
    if getattr(shape, "has_chart", False) and shape.has_chart:
        return _chart(shape.chart, box)
    if shape.has_text_frame:
        return _paragraphs(shape, box)
    described = shape._element.xpath(".//p:cNvPr/@descr")
    if shape.shape_type == MSO_SHAPE_TYPE.PICTURE:
        return [Block("text", f"![{described[0].strip() if described else 'picture'}]", box=box)]
    return []


def _paragraphs(shape: Any, box: Box) -> list[Block]:
    """Those of a body's placeholder are a list's items, as PowerPoint shows them; others are text."""
    bulleted = shape.is_placeholder and shape.placeholder_format.type is not None and _is_body(shape)
    found: list[Block] = []
    for paragraph in shape.text_frame.paragraphs:
        text = _plain("".join(run.text for run in paragraph.runs) or paragraph.text).strip()
        if not text:
            continue
        listed = bulleted or paragraph.level > 0 or bool(paragraph._p.xpath("./a:pPr/a:buChar | ./a:pPr/a:buAutoNum"))
        numbered = bool(paragraph._p.xpath("./a:pPr/a:buAutoNum"))
        if listed:
            found.append(Block("item", text, level=min(paragraph.level, _BODY_LEVELS), numbered=numbered, box=box))
        else:
            found.append(Block("text", text, box=box))
    return found


def _is_body(shape: Any) -> bool:
    return shape.placeholder_format.type.name in ("BODY", "OBJECT", "VERTICAL_BODY", "VERTICAL_OBJECT")


def _chart(chart: Any, box: Box) -> list[Block]:
    """A chart's numbers as a table: categories down, series across."""
    blocks: list[Block] = []
    if chart.has_title and chart.chart_title.has_text_frame and chart.chart_title.text_frame.text.strip():
        blocks.append(Block("text", f"Chart: {chart.chart_title.text_frame.text.strip()}", box=box))
    for plot in chart.plots:
        categories = [str(category) for category in plot.categories]
        series = [(str(one.name or ""), list(one.values)) for one in plot.series]
        count = max([len(categories), *(len(values) for _, values in series)], default=0)
        rows = [("", *(name for name, _ in series))]
        for at in range(count):
            name = categories[at] if at < len(categories) else ""
            rows.append((name, *(_number(values[at]) if at < len(values) else "" for _, values in series)))
        blocks.append(Block("table", rows=tuple(rows), box=box))
    return blocks


def _links(slide: Any, number: int) -> Iterator[Link]:
    for shape in _flat(slide.shapes):
        if shape.has_text_frame:
            for run in (run for paragraph in shape.text_frame.paragraphs for run in paragraph.runs):
                if run.hyperlink.address:
                    yield Link(page=number, box=_box(shape), uri=str(run.hyperlink.address)[:1000])


def _number(value: float | None) -> str:
    return "" if value is None else format(value, ".15g")


def _plain(text: str) -> str:
    return text.replace("\v", "\n").replace("\r", "\n")


def _box(shape: Any) -> Box:
    left, top, width, height = (
        (value or 0) / _EMU_A_POINT for value in (shape.left, shape.top, shape.width, shape.height)
    )
    if not (width or height):
        return NOWHERE
    return (round(left, 1), round(top, 1), round(left + width, 1), round(top + height, 1))
