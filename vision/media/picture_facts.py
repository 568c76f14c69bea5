"""What is measured of a picture. Light: imports no NumPy, so any layer may use these values."""

from __future__ import annotations

from pydantic import Field

from vision.types import Box, Frozen


class ColorShare(Frozen):
    """One of the main colours, with all that looks like it."""

    name: str
    hex: str = Field(description="#rrggbb, the most common exact colour of the group")
    share: float = Field(ge=0, le=1, description="Part of the picture's pixels")


class Cell(Frozen):
    """One ninth of the picture: rows 0-2 from the top, columns 0-2 from the left."""

    row: int
    column: int
    color: str = Field(description="Name of the mean colour")
    brightness: float = Field(ge=0, le=1)
    detail: float = Field(ge=0, le=1, description="Part of the pixels that stand on an edge")


class PictureFacts(Frozen):
    """Measured, not interpreted. Boxes are in pixels of the original picture."""

    dominant_colors: tuple[ColorShare, ...] = Field(description="Up to eight, largest first; groups under 1 % left out")
    brightness: float = Field(ge=0, le=1, description="Mean luma; 0 black, 1 white")
    contrast: float = Field(ge=0, le=1, description="Luma between the darkest and the brightest 1 % of the pixels")
    greyscale: bool = Field(description="No pixel to speak of (99.9 %) has a visible tint")
    blank: bool = Field(description="One colour throughout, within what the eye tells apart")
    transparent_share: float = Field(ge=0, le=1)
    sharpness: float = Field(
        ge=0, description="Standard deviation of the Laplacian of luma (0-255); under 5 is blurred or flat"
    )
    edge_share: float = Field(ge=0, le=1, description="Part of the pixels that stand on an edge")
    background: ColorShare | None = Field(description="The colour of the border where it is one, else null")
    content_box: Box | None = Field(description="Around all that differs from the background; null without either")
    cells: tuple[Cell, ...] = Field(description="Nine equal parts, row by row")
