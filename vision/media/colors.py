"""Names for colours: the nearest of a short list of everyday names, by distance in CIELAB.

Source of the conversion: IEC 61966-2-1 (sRGB) and CIE 15, white point D65.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_NAMED: tuple[tuple[str, str], ...] = (
    ("black", "000000"),
    ("dark grey", "404040"),
    ("grey", "808080"),
    ("light grey", "c8c8c8"),
    ("white", "ffffff"),
    ("red", "e01b1b"),
    ("red", "e8504f"),
    ("dark red", "800000"),
    ("light red", "f08080"),
    ("salmon", "e9805f"),
    ("orange", "ff8c00"),
    ("light orange", "ffc78a"),
    ("brown", "8b5a2b"),
    ("dark brown", "4a2c13"),
    ("tan", "d2b48c"),
    ("beige", "f3e9d2"),
    ("yellow", "ffe000"),
    ("light yellow", "fff7a0"),
    ("gold", "c9a227"),
    ("olive", "7a7a1a"),
    ("lime", "9be21f"),
    ("green", "1fa32f"),
    ("dark green", "0b5a1e"),
    ("light green", "9fe0a0"),
    ("teal", "008080"),
    ("turquoise", "6cc0b8"),
    ("cyan", "19d3e0"),
    ("light cyan", "c8f3f5"),
    ("sky blue", "6fb7e9"),
    ("light blue", "b9d9f2"),
    ("blue", "1f6fd6"),
    ("strong blue", "1010f0"),
    ("dark blue", "10246b"),
    ("dark blue", "000080"),
    ("steel blue", "4a7db5"),
    ("slate", "5a6b7d"),
    ("dark slate", "2a3a50"),
    ("purple", "7a1fa2"),
    ("dark purple", "3d1259"),
    ("lavender", "c3b1e1"),
    ("magenta", "e81ee0"),
    ("pink", "f7b6c8"),
    ("hot pink", "f0428f"),
)


def to_lab(rgb: npt.NDArray[np.uint8] | Floats) -> Floats:
    """(N, 3) sRGB of 0–255 to (N, 3) CIELAB: L 0–100, a and b about -128 to 127."""
    unit = np.asarray(rgb, np.float32) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1).astype(np.float32)


def color_name(rgb: tuple[int, int, int]) -> str:
    """The everyday name nearest to an sRGB colour of 0–255."""
    named = np.array([tuple(bytes.fromhex(code)) for _, code in _NAMED], np.uint8)
    distances = np.linalg.norm(to_lab(named) - to_lab(np.array([rgb], np.uint8)), axis=1)
    return _NAMED[int(distances.argmin())][0]


def hex_code(rgb: tuple[int, int, int]) -> str:
    return "#" + bytes(rgb).hex()
