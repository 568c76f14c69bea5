"""Values that cross the layers. Boxes are (x1, y1, x2, y2), x to the right and y down, x1 < x2 and y1 < y2.

Units: pixels of the original picture (after EXIF rotation), or for documents points (1/72 inch) of the page as a
viewer shows it. Pages count from 1. Times are seconds from the start of the video.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class Frozen(BaseModel):
    """Base of every value: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextLine(Frozen):
    """One line of text that stands in the picture."""

    text: str
    box: Box
    confidence: float = Field(ge=0, le=1, description="1.0 for a text layer, the recogniser's mean score for OCR")
    page: int = 1


class TextTable(Frozen):
    """A table: every row has the same number of cells; an empty cell is an empty string."""

    box: Box
    rows: tuple[tuple[str, ...], ...]
    page: int = 1


T = TypeVar("T", TextLine, TextTable)


class PageText(Frozen):
    """What was read on one picture or page, in reading order."""

    lines: tuple[TextLine, ...] = ()
    tables: tuple[TextTable, ...] = ()
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="degrees clockwise by which the picture was turned to stand upright before reading"
    )
    slope: float = Field(default=0, description="degrees clockwise by which lines slope in the picture that stands so")

    def moved(self, factor: float, origin: tuple[float, float], page: int) -> PageText:
        """The same text, of page `page`, with its boxes scaled by `factor`, then shifted by `origin`."""

        def place(box: Box) -> Box:
            x, y = origin
            x1, y1, x2, y2 = (round(v * factor, 1) for v in box)
            return (x1 + x, y1 + y, x2 + x, y2 + y)

        def there(part: T) -> T:
            return part.model_copy(update={"box": place(part.box), "page": page})

        return self.model_copy(
            update={"lines": tuple(map(there, self.lines)), "tables": tuple(map(there, self.tables))}
        )
