"""What a read page looks like, and how a client names pages. Pure: nothing here opens a document."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from vision.errors import InvalidArgument
from vision.media.document_furniture import furniture
from vision.media.markdown import Flow, StyledLine, lines_from_page_text, plain_text, to_markdown, turned
from vision.types import Box, Frozen, PageText, TextLine, TextTable

PageFormat = Literal["markdown", "text"]
PageSource = Literal["text-layer", "ocr"]

OCR_HEADING_RATIO = 1.4
"""OCR boxes follow the letters, so their heights scatter by about 20 %; a heading must stand out further than that."""

_PART = re.compile(r"(\d*)\s*(-?)\s*(\d*)")
_FORM = 'pages such as "3", "1-5,9", "7-" (to the end) or "-3" (the first three)'


class DocumentInfo(Frozen):
    """What the document says about itself; an empty string where it says nothing."""

    format: str
    title: str = ""
    author: str = ""
    subject: str = ""
    created: str = Field(default="", description="as the document writes it, mostly PDF's D:YYYYMMDDHHmmSS")
    encrypted: bool = False


class DocumentPage(Frozen):
    """One page. width and height are points (1/72 inch) of the page as a viewer shows it, and so are all boxes."""

    number: int = Field(ge=1)
    width: float
    height: float
    source: PageSource = "text-layer"
    needs_ocr: bool = Field(default=False, description="the text layer does not hold all that the page shows")
    ocr_reason: str | None = None
    checked: Box | None = Field(default=None, description="where a doubted text layer is to be compared with OCR")
    pictures: tuple[Box, ...] = Field(
        default=(), description="pictures that may hold text; each is marked in the text until it is read"
    )
    markdown: str = Field(default="", description='empty where the page was read with format="text"')
    text: str = Field(default="", description="every line of the page, running heads and feet too")
    furniture: tuple[str, ...] = Field(
        default=(), description="running heads and feet, page numbers and margin notes, which markdown leaves out"
    )
    text_content: PageText = PageText()


def parse_pages(spec: str, page_count: int) -> tuple[int, ...]:
    """Page numbers (from 1) of a spec like "1-5,9"; order is kept, a repeated page counts once, empty or "all" is all.

    Raises InvalidArgument for anything else, and for a page that the document does not have.
    """
    if spec.strip().lower() in {"", "all"}:
        return tuple(range(1, page_count + 1))
    numbers: dict[int, None] = {}
    for part in spec.split(","):
        numbers.update(dict.fromkeys(_part_pages(part.strip(), spec, page_count)))
    return tuple(numbers)


def _part_pages(part: str, spec: str, page_count: int) -> range:
    hint = f"Give {_FORM}; the document has {page_count} page{'' if page_count == 1 else 's'}."
    match = _PART.fullmatch(part)
    # A page number has few digits; int() of a very long one would be refused by Python itself.
    if match is None or not (match[1] or match[3]) or len(part) > 32:
        raise InvalidArgument(f"{spec[:80]!r} does not name pages.", hint)
    first = int(match[1]) if match[1] else 1
    last = int(match[3]) if match[3] else page_count if match[2] else first
    if first > last and not (match[1] and not match[3]):
        raise InvalidArgument(f"The range {part!r} runs backwards.", hint)
    for number in (first, last):
        if not 1 <= number <= page_count:
            raise InvalidArgument(f"There is no page {number}.", hint)
    return range(first, last + 1)


def page_from_ocr(page: DocumentPage, read: PageText, scale: float, *, paper: bool = True) -> DocumentPage:
    """The page with what OCR read on its picture instead of its text layer.

    `paper`: it is a sheet that may have running heads and feet, as a screenshot has not.

    `scale` is the picture's pixels per point (RenderedPage.scale). Pictures turned before reading
    (`read.rotation`) carry boxes of the picture as it was given, so nothing is turned here.
    """
    content = scaled(read, page.number, scale)
    flow: Flow = lines_from_page_text(content)
    lines = [item for item in flow if isinstance(item, StyledLine)]
    frame = turned((0.0, 0.0, page.width, page.height), content.rotation)
    aside = furniture(lines, (), frame, ()) if paper else []
    body: Flow = [item for item in flow if item not in aside]
    return page.model_copy(
        update={
            "source": "ocr",
            "needs_ocr": False,
            "checked": None,
            "pictures": (),
            "markdown": to_markdown(body, heading_ratio=OCR_HEADING_RATIO),
            "text": plain_text(flow),
            "furniture": tuple(line.text for line in aside),
            "text_content": content,
        }
    )


def scaled(read: PageText, number: int, scale: float) -> PageText:
    """What was read on the picture of page `number`, in points."""
    return PageText(
        lines=tuple(
            TextLine(text=line.text, box=_scaled(line.box, scale), confidence=line.confidence, page=number)
            for line in read.lines
        ),
        tables=tuple(TextTable(box=_scaled(table.box, scale), rows=table.rows, page=number) for table in read.tables),
        rotation=read.rotation,
        slope=read.slope,
    )


def _scaled(box: Box, scale: float) -> Box:
    return (box[0] / scale, box[1] / scale, box[2] / scale, box[3] / scale)
