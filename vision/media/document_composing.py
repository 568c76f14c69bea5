"""A page composed of its text layer and of what OCR reads on its picture. Pure: whoever reads is asked for rows.

    steps = composing(page, scale, height)
    rows = next(steps)
    while True:
        try: rows = steps.send(read(rows))      # rows of the page's picture, None for all of it
        except StopIteration as done: page = done.value

So the process that has the pixels and the one that reads them need not be this one, and may be waited for.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from vision.media.document_pages import OCR_HEADING_RATIO, DocumentPage, page_from_ocr, scaled
from vision.media.markdown import MARKED, centre_inside, lines_from_page_text, plain_text, to_markdown
from vision.types import Box, PageText, TextLine

Rows = tuple[int, int]
"""First and past-the-last row of the page's picture."""

_MARGIN = 3.0  # points added to a band, so that nothing at its edge is cut
_SURE = 0.8  # confidence of an OCR line that a text layer is measured by
_TELLING = 15  # letters and digits below which OCR read too little to tell
_AGREES = 0.4  # share of what was read that must stand in the text layer
_GRAM = 7


def composing(page: DocumentPage, scale: float, height: int) -> Generator[Rows | None, PageText, DocumentPage]:
    """Yields rows to read of the page's picture, `height` rows at `scale` pixels a point; returns the page.

    Takes a page that needs OCR: because its text layer is doubted (`checked` is where to compare), because of its
    `pictures`, or altogether.
    """
    if page.checked is not None:
        rows = _rows(page.checked, scale, height)
        if agrees(page, page.checked, _moved((yield rows), rows)):
            return page.model_copy(update={"needs_ocr": False, "ocr_reason": None, "checked": None})
        page = page.model_copy(update={"ocr_reason": f"{page.ocr_reason} and says something else", "checked": None})
    elif page.pictures:
        bands: list[PageText] = []
        for rows in _bands(page.pictures, scale, height):
            bands.append(_moved((yield rows), rows))
        return _with_pictures(page, bands, scale)
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


def _rows(box: Box, scale: float, height: int) -> Rows:
    top, bottom = int((box[1] - _MARGIN) * scale), int((box[3] + _MARGIN) * scale) + 1
    return max(0, min(top, height - 1)), max(1, min(bottom, height))


def _bands(boxes: tuple[Box, ...], scale: float, height: int) -> list[Rows]:
    """The rows that boxes take, those that overlap together, from top to bottom."""
    bands: list[Rows] = []
    for top, bottom in sorted(_rows(box, scale, height) for box in boxes):
        if bands and top < bands[-1][1]:
            bands[-1] = (bands[-1][0], max(bands[-1][1], bottom))
        else:
            bands.append((top, bottom))
    return bands


def _moved(read: PageText, rows: Rows) -> PageText:
    """What was read in rows of a picture, placed in the whole picture."""

    def down(box: Box) -> Box:
        return (box[0], box[1] + rows[0], box[2], box[3] + rows[0])

    return read.model_copy(
        update={
            "lines": tuple(line.model_copy(update={"box": down(line.box)}) for line in read.lines),
            "tables": tuple(table.model_copy(update={"box": down(table.box)}) for table in read.tables),
        }
    )


def _with_pictures(page: DocumentPage, bands: list[PageText], scale: float) -> DocumentPage:
    """The page with the text of its pictures at their place."""
    parts = [_inside(page, box, [scaled(band, page.number, scale) for band in bands]) for box in page.pictures]
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


def _inside(page: DocumentPage, box: Box, bands: list[PageText]) -> PageText:
    """What was read in one picture, without what the text layer has there."""
    layer = [line.box for line in page.text_content.lines if not MARKED.fullmatch(line.text)]
    lines = tuple(
        line
        for band in bands
        for line in band.lines
        if centre_inside(line.box, box) and not any(centre_inside(line.box, other) for other in layer)
    )
    tables = tuple(table for band in bands for table in band.tables if centre_inside(table.box, box))
    of = next((band for band in bands if any(line in band.lines for line in lines)), PageText())
    return PageText(lines=lines, tables=tables if lines else (), rotation=of.rotation)


def _filled(text: str, parts: list[str], between: str) -> str:
    filled = MARKED.sub(lambda mark: parts[int(mark[1])], text)
    return re.sub(rf"{between}(?:{between})+", between, filled).strip("\n") if between == "\n\n" else filled
