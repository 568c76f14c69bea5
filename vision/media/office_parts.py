"""What the pages of an office document are made of, whichever kind it is, and how they are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from vision.media.document_facts import Annotation, Link, Metadata, OutlineEntry
from vision.media.document_pages import DocumentPage, PageFormat
from vision.media.markdown import table_markdown
from vision.search.passages import Line
from vision.types import Box, PageText, TextLine, TextTable

NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)
"""The box of what has no place on a page: only slides have places."""
_DEEPEST = 6


@dataclass(frozen=True)
class Block:
    """`level`: of a heading from 1, of a list's item from 0. `rows`: of a table; a merged cell has its text once."""

    kind: Literal["heading", "text", "item", "table"]
    text: str = ""
    level: int = 0
    numbered: bool = False
    rows: tuple[tuple[str, ...], ...] = ()
    box: Box = NOWHERE


@dataclass(frozen=True)
class OfficePage:
    """A slide (sizes in points), a sheet or a part of one, a page or section of text. `notes`: a slide's notes."""

    blocks: tuple[Block, ...]
    width: float = 0.0
    height: float = 0.0


class OfficeContent(Protocol):
    """A document's pages, each made when it is asked for, and what the document says about itself."""

    metadata: Metadata
    outline: tuple[OutlineEntry, ...]
    links: tuple[Link, ...]
    annotations: tuple[Annotation, ...]

    @property
    def page_count(self) -> int: ...

    def page(self, number: int) -> OfficePage: ...


def as_document_page(page: OfficePage, number: int, format: PageFormat) -> DocumentPage:
    """The page as all documents' pages are."""
    lines = tuple(
        TextLine(text=line.text, box=line.box, confidence=1.0, page=number) for line in as_lines(page) if line.text
    )
    tables = tuple(
        TextTable(box=block.box, rows=block.rows, page=number) for block in page.blocks if block.kind == "table"
    )
    return DocumentPage(
        number=number,
        width=page.width,
        height=page.height,
        markdown=_markdown(page.blocks) if format == "markdown" else "",
        text="\n".join(line.text for line in lines),
        text_content=PageText(lines=lines, tables=tables),
    )


def as_lines(page: OfficePage) -> list[Line]:
    """A line for each line of a paragraph and each row of a table."""
    lines: list[Line] = []
    for number, block in enumerate(page.blocks):
        texts = ["\t".join(row) for row in block.rows] if block.kind == "table" else block.text.splitlines()
        lines += [Line(text, block.box, number) for text in texts]
    return lines


def _markdown(blocks: Sequence[Block]) -> str:
    parts: list[str] = []
    for at, block in enumerate(blocks):
        if block.kind == "table":
            parts.append(table_markdown(block.rows))
        elif block.kind == "heading":
            parts.append(f"{'#' * min(max(block.level, 1), _DEEPEST)} {' '.join(block.text.split())}")
        elif block.kind == "item":
            mark = "1." if block.numbered else "-"
            indent = "   " * block.level
            text = f"{indent}{mark} " + block.text.replace("\n", f"\n{indent}   ")
            follows = at > 0 and blocks[at - 1].kind == "item" and parts
            if follows:
                parts[-1] += "\n" + text
            else:
                parts.append(text)
        else:
            parts.append(block.text)
    return "\n\n".join(part for part in parts if part.strip())
