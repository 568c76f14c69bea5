"""A page composed of its text layer and of what OCR reads on its picture. Pure: whoever reads is asked for parts.

    steps = composing(page, scale, size)
    part = next(steps)
    while True:
        try: part = steps.send(read(part))      # a part of the page's picture, None for all of it
        except StopIteration as done: page = done.value

So the process that has the pixels and the one that reads them need not be this one, and may be waited for.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from vision.media.document_pages import OCR_HEADING_RATIO, DocumentPage, page_from_ocr, scaled
from vision.media.markdown import MARKED, centre_inside, lines_from_page_text, plain_text, to_markdown
from vision.types import Box, PageText, TextLine

Part = tuple[int, int, int, int]
"""Pixels of the page's picture: left, top, past the right, past the bottom."""

_MARGIN = 3.0  # points added to a band, so that nothing at its edge is cut
_SURE = 0.8  # confidence of an OCR line that a text layer is measured by
_TELLING = 15  # letters and digits below which OCR read too little to tell
_AGREES = 0.4  # share of what was read that must stand in the text layer
_GRAM = 7


def composing(
    page: DocumentPage, scale: float, size: tuple[int, int]
) -> Generator[Part | None, PageText, DocumentPage]:
    """Yields parts to read of the page's picture, which has `size` (width, height) pixels at `scale` a point, and what
    is sent back is placed in the part's pixels; returns the page.

    Takes a page that needs OCR: because its text layer is doubted (`checked` is where to compare), because of its
    `pictures`, or altogether.
    """
    if page.checked is not None:
        part = _part(page.checked, scale, size)
        if agrees(page, page.checked, scaled(_moved((yield part), part), page.number, scale)):
            return page.model_copy(update={"needs_ocr": False, "ocr_reason": None, "checked": None})
        page = page.model_copy(update={"ocr_reason": f"{page.ocr_reason} and says something else", "checked": None})
    elif page.pictures:
        read: list[PageText] = []
        for box in page.pictures:
            part = _part(box, scale, size)
            read.append(scaled(_moved((yield part), part), page.number, scale))
        return _with_pictures(page, read)
    return page_from_ocr(page, (yield None), scale)


def agrees(page: DocumentPage, where: Box, read: PageText) -> bool:
    """Whether what OCR read in a part of the page stands in its text layer there; when it read too little, yes."""
    sure = "".join(line.text for line in read.lines if line.confidence >= _SURE)
    wanted = _grams(sure)
    if len(wanted) < _TELLING:
        return True
    near = (0.0, where[1] - (where[3] - where[1]) * 0.2, page.width, where[3] + (where[3] - where[1]) * 0.2)
    layer = _grams("".join(line.text for line in page.text_content.lines if centre_inside(line.box, near)))
    return len(wanted & layer) >= _AGREES * len(wanted)


def _grams(text: str) -> set[str]:
    """Runs of seven letters or digits: half survive an error in ten, and other texts with the same words share few."""
    squeezed = "".join(char for char in text.casefold() if char.isalnum())
    return {squeezed[at : at + _GRAM] for at in range(len(squeezed) - _GRAM + 1)}


def _part(box: Box, scale: float, size: tuple[int, int]) -> Part:
    """The pixels that a box in points takes, at least one a side."""
    left, top = int((box[0] - _MARGIN) * scale), int((box[1] - _MARGIN) * scale)
    right, bottom = int((box[2] + _MARGIN) * scale) + 1, int((box[3] + _MARGIN) * scale) + 1
    left, top = max(0, min(left, size[0] - 1)), max(0, min(top, size[1] - 1))
    return left, top, max(left + 1, min(right, size[0])), max(top + 1, min(bottom, size[1]))


def _moved(read: PageText, part: Part) -> PageText:
    """What was read in a part of a picture, placed in the whole picture."""

    def moved(box: Box) -> Box:
        return (box[0] + part[0], box[1] + part[1], box[2] + part[0], box[3] + part[1])

    return read.model_copy(
        update={
            "lines": tuple(line.model_copy(update={"box": moved(line.box)}) for line in read.lines),
            "tables": tuple(table.model_copy(update={"box": moved(table.box)}) for table in read.tables),
        }
    )


def _with_pictures(page: DocumentPage, read: list[PageText]) -> DocumentPage:
    """The page with the text of its pictures at their place."""
    parts = [_inside(page, box, text) for box, text in zip(page.pictures, read, strict=True)]
    flows = [lines_from_page_text(part) for part in parts]
    markdown = [to_markdown(flow, heading_ratio=10 * OCR_HEADING_RATIO) for flow in flows]
    count = sum(1 for part in parts if part.lines)
    lines: list[TextLine] = []
    for line in page.text_content.lines:
        mark = MARKED.fullmatch(line.text)
        lines.extend(parts[int(mark[1])].lines if mark else [line])
    tables = (*page.text_content.tables, *(table for part in parts for table in part.tables))
    said = f"the words in {count} picture{'' if count == 1 else 's'} were read by OCR"
    return page.model_copy(
        update={
            "needs_ocr": False,
            "ocr_reason": said if count else None,
            "pictures": (),
            "markdown": _filled(page.markdown, markdown, "\n\n"),
            "text": _filled(page.text, [plain_text(flow) for flow in flows], "\n"),
            "text_content": page.text_content.model_copy(update={"lines": tuple(lines), "tables": tables}),
        }
    )


def _inside(page: DocumentPage, box: Box, read: PageText) -> PageText:
    """What was read in one picture, without what the text layer has there."""
    layer = [line.box for line in page.text_content.lines if not MARKED.fullmatch(line.text)]
    lines = tuple(
        line
        for line in read.lines
        if centre_inside(line.box, box) and not any(centre_inside(line.box, other) for other in layer)
    )
    tables = tuple(table for table in read.tables if centre_inside(table.box, box))
    return PageText(lines=lines, tables=tables if lines else (), rotation=read.rotation, slope=read.slope)


def _filled(text: str, parts: list[str], between: str) -> str:
    filled = MARKED.sub(lambda mark: parts[int(mark[1])], text)
    return re.sub(rf"{between}(?:{between})+", between, filled).strip("\n") if between == "\n\n" else filled
