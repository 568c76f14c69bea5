"""What of a MuPDF page only its pixels tell: pictures that may hold text, and text layers that are to be doubted."""

from __future__ import annotations

from collections.abc import Sequence

from vision.media.document_mupdf import pymupdf
from vision.media.document_order import enclosing
from vision.media.markdown import StyledLine, centre_inside
from vision.types import Box

MOST_PICTURES = 6
_LEAST_WIDTH, _LEAST_HEIGHT = 60.0, 22.0  # points; icons and rules are smaller
_LEAST_AREA = 0.012  # of the page
_LEAST_DPI = 45.0  # below it letters of a usual size have too few pixels
_LARGE = 0.5  # of the page, from which a picture may be a scan of it
_TOUCHING = 2.0  # points between strips that one picture was cut into
_FEWEST_LETTERS = 200
_VOWELS = frozenset("aeiouyAEIOUY")
_VOWEL_SHARES = (0.24, 0.55)  # of the letters, in the languages written in Latin letters


def text_pictures(page: pymupdf.Page, lines: Sequence[StyledLine]) -> list[Box]:
    """Boxes, in the page's own frame, of pictures that are large and fine enough for text and have none over them."""
    frame = page.rect
    area = abs(frame.width * frame.height) or 1.0
    found: list[Box] = []
    for image in page.get_image_info():
        box = pymupdf.Rect(image["bbox"]) & frame
        inches = max(1e-6, abs(image["bbox"][2] - image["bbox"][0]) / 72)
        if box.is_empty or image["width"] / inches < _LEAST_DPI:
            continue
        found.append((box.x0, box.y0, box.x1, box.y1))
    kept = [
        box
        for box in _joined(found)
        if box[2] - box[0] >= _LEAST_WIDTH
        and box[3] - box[1] >= _LEAST_HEIGHT
        and _LEAST_AREA * area <= (box[2] - box[0]) * (box[3] - box[1]) <= 0.9 * area
        and sum(centre_inside(line.box, box) for line in lines) <= 1
    ]
    kept.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    return kept[:MOST_PICTURES]


def _joined(boxes: list[Box]) -> list[Box]:
    """Boxes that touch or overlap as one: scanners and word processors cut pictures into strips."""
    if len(boxes) > 500:
        return []
    joined: list[Box] = []
    for box in boxes:
        merged = box
        while True:
            near = [other for other in joined if _touch(merged, other)]
            if not near:
                break
            joined = [other for other in joined if other not in near]
            merged = enclosing([merged, *near])
        joined.append(merged)
    return joined


def _touch(one: Box, two: Box) -> bool:
    across = min(one[2], two[2]) - max(one[0], two[0])
    down = min(one[3], two[3]) - max(one[1], two[1])
    return across > -_TOUCHING and down > -_TOUCHING and max(across, down) > 0


def doubt(page: pymupdf.Page, text: str) -> str | None:
    """Why the text layer is to be compared with what the page shows, or None."""
    letters = [char for char in text if char.isascii() and char.isalpha()]
    if len(letters) >= _FEWEST_LETTERS and len(letters) > 0.6 * sum(map(str.isalnum, text)):
        vowels = sum(char in _VOWELS for char in letters) / len(letters)
        if not _VOWEL_SHARES[0] <= vowels <= _VOWEL_SHARES[1]:
            return "the letters of the text layer are not those of a language"
    if any(_share(page, image["bbox"]) > _LARGE for image in page.get_image_info()) and _hidden(page) > 0.5:
        return "the text layer lies unseen under a picture"
    return None


def _hidden(page: pymupdf.Page) -> float:
    """The share of the page's pieces of text that are invisible, or drawn before a picture that covers the page."""
    log = page.get_bboxlog()
    over = max((at for at, (kind, box) in enumerate(log) if "image" in kind and _share(page, box) > _LARGE), default=-1)
    texts = [at for at, (kind, _) in enumerate(log) if kind.endswith("text")]
    unseen = sum(at < over or log[at][0] == "ignore-text" for at in texts)
    return unseen / len(texts) if texts else 0.0


def _share(page: pymupdf.Page, box: Sequence[float]) -> float:
    """The share of the page that a box in the page's own frame covers."""
    frame = page.rect * page.derotation_matrix
    return abs((pymupdf.Rect(box) & frame).get_area()) / (abs(frame.width * frame.height) or 1.0)
