"""Draws manifests/icon.svg as the icon that plugins and bundles need: a PNG of 512 by 512 pixels.

Not a part of scripts/render, because a PNG's bytes differ between versions of what packs it; a test compares pixels.

Usage: .venv/bin/python scripts/draw_icon.py
"""

from __future__ import annotations

from pathlib import Path

import pymupdf

MANIFESTS = Path(__file__).resolve().parents[1] / "manifests"
ICONS = (MANIFESTS / "plugins" / "internvl-mcp" / "assets" / "icon.png", MANIFESTS / "mcpb" / "icon.png")


def drawn() -> pymupdf.Pixmap:
    """The icon: 512 by 512 pixels, transparent around its corners."""
    with pymupdf.open(MANIFESTS / "icon.svg") as picture:
        page = picture[0]
        scale = 512 / page.rect.width
        return page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=True)


def main() -> None:
    for path in ICONS:
        drawn().save(path)


if __name__ == "__main__":
    main()
