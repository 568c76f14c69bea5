"""Looks for words in an open document: the text layer of every page, and what was read of those that have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vision.errors import DamagedMedia, LimitExceeded, SourceNotFound
from vision.media.document_mupdf import mupdf_errors, pymupdf
from vision.media.document_reader import Document
from vision.media.document_text import distrust
from vision.media.document_whole import Looked
from vision.search.passages import Line, is_sparse, passages
from vision.search.ranking import Ranking
from vision.types import Box

# A page with so many links into the document is its table of contents.
_CONTENTS_LINKS = 15
_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP


def look_through(
    document: Document, numbers: Sequence[int], read: Mapping[int, Sequence[Line]], ranking: Ranking
) -> Iterator[Looked]:
    """See vision.media.document_whole.WholeDocument."""
    for number in numbers:
        if number in read:
            ranking.add(passages(number, read[number]))
            yield Looked(number, sparse=is_sparse(read[number]))
            continue
        try:
            yield _look(document, number, ranking)
        except (DamagedMedia, LimitExceeded, SourceNotFound) as e:
            yield Looked(number, failed=e.message)


def _look(document: Document, number: int, ranking: Ranking) -> Looked:
    with mupdf_errors(f"Reading page {number}"):
        page = document.load(number)
        lines = _lines(page)
        if not lines:
            # MuPDF takes what is no page at all for a blank one until it is read.
            document.read_page(number, format="text")
        if distrust(page, "".join(line.text for line in lines)) is not None:
            return Looked(number, unread=True)
        into = sum(link["kind"] in (pymupdf.LINK_GOTO, pymupdf.LINK_NAMED) for link in page.get_links())
        sparse = is_sparse(lines) and bool(page.get_image_info() or page.get_cdrawings())
    ranking.add(passages(number, lines), contents=into >= _CONTENTS_LINKS)
    return Looked(number, sparse=sparse)


def _lines(page: Any) -> list[Line]:
    """The page's lines in the file's order, boxes as shown; a sixth of the time that reading it in order takes."""
    words: dict[tuple[int, int], list[Any]] = {}
    for word in page.get_text("words", flags=_FLAGS, sort=False):
        words.setdefault((word[5], word[6]), []).append(word)
    # A page that is not turned, as nearly all are, is spared the matrix: it costs more than its words.
    turn = page.rotation_matrix if page.rotation else None
    return [
        Line(" ".join([word[4] for word in line]), _around(line, turn), block) for (block, _), line in words.items()
    ]


def _around(line: Sequence[Any], turn: Any) -> Box:
    """The box of the words (x1, y1, x2, y2, …) as the page is shown."""
    x1, y1 = min([word[0] for word in line]), min([word[1] for word in line])
    x2, y2 = max([word[2] for word in line]), max([word[3] for word in line])
    if turn is not None:
        x1, y1, x2, y2 = pymupdf.Rect(x1, y1, x2, y2) * turn
    return (round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1))
