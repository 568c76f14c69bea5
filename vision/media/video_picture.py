"""From a decoded frame to pictures: upright RGB for reading, and a small YUV one for comparing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

SMALL_SIDE = 160
UNSPECIFIED = 2
"""AVCOL_SPC_UNSPECIFIED."""
HD_HEIGHT = 720
REFERENCE_WHITE_NITS = 203.0
"""Diffuse white in HDR (ITU-R BT.2408)."""
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
"""ITU-R BT.2087, on linear light."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the stored picture becomes the shown one: first transposed, then mirrored."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def rotation(self) -> Literal[0, 90, 180, 270]:
        """Degrees clockwise; a mirror image counts as its nearest rotation."""
        if self.transpose:
            return 270 if self.flip_y and not self.flip_x else 90
        return 180 if self.flip_y else 0

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_x:
            image = image[:, ::-1]
        if self.flip_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def orientation(frame: VideoFrame) -> Orientation:
    """Read from the display matrix: x' = a·x + c·y and y' = b·x + d·y, nine 32-bit numbers a b u c d v x y w."""
    matrix = cast("Mapping[SideDataType, SideData]", frame.side_data).get(SideDataType.DISPLAYMATRIX)
    if matrix is None or matrix.buffer_size < 36:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)


def shown_size(width: int, height: int, aspect: Fraction | None, turned: Orientation) -> tuple[int, int]:
    """Width and height as a player shows them; `aspect` is the shape of one stored pixel (None or 0: square)."""
    if aspect and Fraction(1, 8) <= aspect <= 8:
        width = max(1, round(width * aspect))
    return (height, width) if turned.transpose else (width, height)


class Pictures:
    """Converts the frames of one stream. Keeps the scalers, which are costly to set up."""

    def __init__(self, turned: Orientation, aspect: Fraction | None, max_side: int) -> None:
        self.turned = turned
        self.aspect = aspect
        self.max_side = max_side
        self._small = VideoReformatter()
        self._large = VideoReformatter()

    def small(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(3, height, width) uint8 YUV in video range (black 16, white 235), longer side 160; not turned upright."""
        scale = SMALL_SIDE / max(frame.width, frame.height)
        # Nearly point sampling: a fifth of the time of area averaging, and enough to compare.
        out = self._small.reformat(
            frame,
            width=max(2, round(frame.width * scale)),
            height=max(2, round(frame.height * scale)),
            format="yuv444p",
            interpolation=Interpolation.FAST_BILINEAR,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        return cast("NDArray[np.uint8]", out.to_ndarray())

    def rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """uint8 RGB (height, width, 3) in sRGB, upright, longer side at most `max_side`."""
        width, height = shown_size(frame.width, frame.height, self.aspect, Orientation())
        scale = min(1.0, self.max_side / max(width, height))
        hdr = hdr_of(frame.color_trc)
        unknown = frame.colorspace == UNSPECIFIED
        out = self._large.reformat(
            frame,
            width=max(1, round(width * scale)),
            height=max(1, round(height * scale)),
            format="rgb48le" if hdr else "rgb24",
            # FFmpeg takes BT.601 where nothing is said; players take BT.709 from HD upwards.
            src_colorspace=Colorspace.ITU709 if unknown and frame.height >= HD_HEIGHT else None,
            interpolation=Interpolation.AREA if scale < 1 else Interpolation.BICUBIC,
            threads=1,
        )
        image = out.to_ndarray()
        return self.turned.apply(cast("NDArray[np.uint8]", to_sdr(image, hdr) if hdr else image))


def hdr_of(transfer: int) -> Literal["PQ", "HLG"] | None:
    """Which HDR transfer function an AVColorTransferCharacteristic is, if any."""
    if transfer == ColorTrc.SMPTE2084:
        return "PQ"
    return "HLG" if transfer == ColorTrc.ARIB_STD_B67 else None


@functools.cache
def _light(kind: Literal["PQ", "HLG"]) -> NDArray[np.float32]:
    """Linear light of each 12-bit code, 1.0 = reference white (SMPTE ST 2084; ARIB STD-B67, 1000 nits, gamma 1.2)."""
    code = np.arange(4096) / 4095
    if kind == "PQ":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        nits = 1000 * scene**1.2
    return (nits / REFERENCE_WHITE_NITS).astype(np.float32)


@functools.cache
def _srgb() -> NDArray[np.uint8]:
    """sRGB codes of linear light in 4,096 steps from 0 to 1 (IEC 61966-2-1)."""
    light = np.arange(4096) / 4095
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(code * 255).astype(np.uint8)


def to_sdr(image: NDArray[np.generic], kind: Literal["PQ", "HLG"]) -> NDArray[np.uint8]:
    """uint16 RGB in BT.2020 with an HDR transfer → uint8 sRGB: mid-tones stay, highlights are rolled off."""
    light = _light(kind)[np.asarray(image, dtype=np.uint16) >> 4] @ BT2020_TO_BT709.T
    # Eight times as fast as max(axis=2).
    peak = np.maximum(np.maximum(light[..., :1], light[..., 1:2]), light[..., 2:])
    # Linear up to 0.7 of reference white, then a shoulder that reaches 1 only at infinity; hue is kept.
    over = np.maximum(peak - 0.7, 0)
    rolled = np.where(peak > 0.7, 0.7 + 0.3 * over / (over + 0.3), peak)
    light *= rolled / np.maximum(peak, 1e-6)
    return _srgb()[(np.clip(light, 0, 1) * 4095).astype(np.uint16)]
