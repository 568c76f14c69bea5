"""Word documents (DOCX), by python-docx. Pages are those that Word has laid out, or that breaks in the text make."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from vision.media.document_facts import Annotation, Link, Metadata, OutlineEntry
from vision.media.office_parts import NOWHERE, Block, OfficePage

_HEADING = re.compile(r"(?:heading|titre|überschrift|标题)\s*(\d)", re.IGNORECASE)
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LAID_OUT = f"{_W}lastRenderedPageBreak"
_WRITTEN = tuple(f"{_W}{name}" for name in ("t", "tab", "br", "cr", "noBreakHyphen", "footnoteReference"))
# A document without any breaks is parted before headings, at about so many characters.
_LONG = 6_000
_DEEPEST_NESTING = 20
_MOST_NOTES = 2_000


class WordContent:
    """The whole document, read at once: Word's own pages are known only from one end to the other."""

    def __init__(self, data: bytes) -> None:
        self._document: Any = docx.Document(io.BytesIO(data))
        self._numbered = self._numbered_lists()
        pages = self._pages()
        self._made = [OfficePage(tuple(blocks)) for blocks in pages]
        self.outline = tuple(
            OutlineEntry(level=block.level, title=" ".join(block.text.split())[:500], page=number)
            for number, blocks in enumerate(pages, 1)
            for block in blocks
            if block.kind == "heading"
        )
        self.links = self._links()
        self.annotations = self._comments()
        self.metadata = core_metadata(self._document.core_properties, "DOCX")

    @property
    def page_count(self) -> int:
        return len(self._made)

    def page(self, number: int) -> OfficePage:
        return self._made[number - 1]

    def _pages(self) -> list[list[Block]]:
        pages: list[list[Block]] = [[]]
        broken = False
        body = self._document.element.body
        # Where Word has laid the text out, that tells of the breaks that the text asks for too.
        laid_out = next(body.iter(_LAID_OUT), None) is not None
        for element in _children(body):
            # What goes over a break stays whole, on the page where it begins.
            before, after = _breaks(element, laid_out)
            pages += [[] for _ in range(before)]
            pages[-1] += self._blocks(element)
            pages += [[] for _ in range(after)]
            broken = broken or before + after > 0
        pages[-1] += self._footnotes()
        while len(pages) > 1 and not pages[-1]:
            pages.pop()
        return pages if broken else _parted(pages[0])

    def _blocks(self, element: Any) -> list[Block]:
        if element.tag == f"{_W}tbl":
            rows = _rows(Table(element, self._document))
            return [Block("table", rows=rows)] if rows else []
        blocks = [self._paragraph(element)]
        for box in element.iter(f"{_W}txbxContent"):
            # A box is there twice, once for programs that do not know the newer form.
            if not any(above.tag == _FALLBACK for above in _above(box, element)):
                blocks += [self._paragraph(boxed) for boxed in box.findall(f"{_W}p")]
        return [block for block in blocks if block.text.strip()]

    def _paragraph(self, element: Any) -> Block:
        text = _text(element)
        paragraph = Paragraph(element, self._document)
        style = str(getattr(paragraph.style, "name", "") or "")
        heading = _HEADING.match(style)
        if heading is not None or style == "Title":
            return Block("heading", text, level=int(heading[1]) if heading else 1)
        number = element.xpath("./w:pPr/w:numPr/w:numId/@w:val")
        level = element.xpath("./w:pPr/w:numPr/w:ilvl/@w:val")
        if (number and number[0] != "0") or style.startswith(("List Bullet", "List Number")):
            depth = int(level[0]) if level else int(style[-1]) - 1 if style[-1:].isdigit() else 0
            numbered = style.startswith("List Number") or (number[0] if number else "") in self._numbered
            return Block("item", text, level=min(max(depth, 0), 8), numbered=numbered)
        return Block("text", text)

    def _numbered_lists(self) -> frozenset[str]:
        """The ids of lists whose first level counts and is not marked by bullets."""
        try:
            root = self._document.part.numbering_part.element
        except (KeyError, NotImplementedError):
            return frozenset()
        bullets = {
            abstract.get(f"{_W}abstractNumId")
            for abstract in root.findall(f"{_W}abstractNum")
            if _first_format(abstract) == "bullet"
        }
        return frozenset(
            str(number.get(f"{_W}numId"))
            for number in root.findall(f"{_W}num")
            for of in number.findall(f"{_W}abstractNumId")
            if of.get(f"{_W}val") not in bullets
        )

    def _footnotes(self) -> list[Block]:
        found: list[Block] = []
        for relation in self._document.part.rels.values():
            if not relation.is_external and relation.reltype.endswith(("/footnotes", "/endnotes")):
                root = docx.oxml.parse_xml(relation.target_part.blob)  # type: ignore[attr-defined]
                for note in root:
                    text = " ".join(_text(paragraph) for paragraph in note.iter(f"{_W}p")).strip()
                    if text and note.get(f"{_W}type") is None:
                        found.append(Block("text", f"[^{note.get(f'{_W}id')}]: {text}"))
        return found[:_MOST_NOTES]

    def _links(self) -> tuple[Link, ...]:
        relations = self._document.part.rels.values()
        return tuple(
            Link(page=1, box=NOWHERE, uri=str(relation.target_ref)[:1000])
            for relation in relations
            if relation.is_external and relation.reltype.endswith("/hyperlink")
        )

    def _comments(self) -> tuple[Annotation, ...]:
        comments = getattr(self._document, "comments", ())
        return tuple(
            Annotation(page=1, kind="Comment", box=NOWHERE, text=comment.text or None, author=comment.author or None)
            for comment in list(comments)[:_MOST_NOTES]
        )


def core_metadata(core: Any, format: str) -> Metadata:
    """From the properties that all three kinds have alike."""

    def text(name: str) -> str | None:
        return str(getattr(core, name, None) or "").strip()[:1000] or None

    def time(name: str) -> str | None:
        value = getattr(core, name, None)
        return value.isoformat() if value is not None else None

    return Metadata(
        format=format, title=text("title"), author=text("author"), subject=text("subject"), keywords=text("keywords"),
        created=time("created"), modified=time("modified"),
    )  # fmt: skip


def _children(parent: Any, depth: int = 0) -> Iterator[Any]:
    """Paragraphs and tables in their order, those inside content controls and tracked insertions too."""
    for element in parent.iterchildren():
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}smartTag") and depth < _DEEPEST_NESTING:
            yield from _children(element, depth + 1)


def _first_format(abstract: Any) -> str | None:
    """How the first level of a list is marked: bullet, decimal, …"""
    marked = abstract.find(f"{_W}lvl/{_W}numFmt")
    return None if marked is None else marked.get(f"{_W}val")


def _text(element: Any) -> str:
    """All that is written in a paragraph but what was deleted, and but text boxes that stand beside it."""
    parts: list[str] = []
    for node in element.iter(*_WRITTEN):
        if any(above.tag == f"{_W}txbxContent" for above in _above(node, element)):
            continue
        name = node.tag.removeprefix(_W)
        if name == "t":
            parts.append(node.text or "")
        elif name == "tab" and node.getparent().tag == f"{_W}r":
            parts.append("\t")
        elif (name == "br" and node.get(f"{_W}type") is None) or name == "cr":
            parts.append("\n")
        elif name == "noBreakHyphen":
            parts.append("-")
        elif name == "footnoteReference":
            parts.append(f"[^{node.get(f'{_W}id')}]")
    return "".join(parts).strip()


def _above(node: Any, top: Any) -> Iterator[Any]:
    node = node.getparent()
    while node is not None and node is not top:
        yield node
        node = node.getparent()


def _rows(table: Table) -> tuple[tuple[str, ...], ...]:
    """A cell over several columns or rows has its text in the first of its places."""
    seen: set[Any] = set()
    rows: list[tuple[str, ...]] = []
    for row in table.rows:
        cells: list[str] = []
        for cell in row.cells:
            element = cell._tc
            cells.append("" if element in seen else "\n".join(filter(None, map(_text, element.iter(f"{_W}p")))))
            seen.add(element)
        rows.append(tuple(cells))
    return tuple(rows) if any(any(row) for row in rows) else ()


def _breaks(element: Any, laid_out: bool) -> tuple[int, int]:
    """Page breaks before its first word, and after that: where Word began a page when it last laid the text out, or
    (not `laid_out`) where the text asks for one.
    """
    counts = [0, 0]
    if not laid_out and element.find(f"{_W}pPr/{_W}pageBreakBefore") is not None:
        counts[0] = 1
    begun = 0
    for node in element.iter(f"{_W}t", _LAID_OUT if laid_out else f"{_W}br"):
        if node.tag == f"{_W}t":
            begun = 1 if (node.text or "").strip() else begun
        elif laid_out or node.get(f"{_W}type") == "page":
            counts[begun] += 1
    return counts[0], counts[1]


def _parted(blocks: list[Block]) -> list[list[Block]]:
    """Text without any breaks, parted before headings."""
    pages: list[list[Block]] = [[]]
    length = 0
    for block in blocks:
        if (block.kind == "heading" and length >= _LONG / 2) or length >= 2 * _LONG:
            pages.append([])
            length = 0
        pages[-1].append(block)
        length += len(block.text) + sum(len(cell) for row in block.rows for cell in row)
    return pages
