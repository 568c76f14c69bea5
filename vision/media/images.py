"""Still pictures: from an open file to upright RGB pixels.

Only the decoder that the content calls for is let near it, sizes are checked from the header before anything is
decoded, and a damaged file is an error, never a partly invented picture. Runs in the decoder process.
"""

from __future__ import annotations

import importlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from vision.errors import DamagedMedia, InvalidArgument, LimitExceeded, SourceNotFound, UnsupportedMedia, VisionError
from vision.media.sniff import MediaKind, webp_size
from vision.types import Box

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

# Sniffed format -> Pillow's module and the names of its decoders. MPO: a JPEG with more pictures behind the first.
_DECODERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "png": ("PIL.PngImagePlugin", ("PNG",)),
    "jpeg": ("PIL.JpegImagePlugin", ("JPEG", "MPO")),
    "webp": ("PIL.WebPImagePlugin", ("WEBP",)),
    "gif": ("PIL.GifImagePlugin", ("GIF",)),
    "bmp": ("PIL.BmpImagePlugin", ("BMP",)),
    "tiff": ("PIL.TiffImagePlugin", ("TIFF",)),
    "ppm": ("PIL.PpmImagePlugin", ("PPM",)),
    "avif": ("PIL.AvifImagePlugin", ("AVIF",)),
    "heic": ("pillow_heif.as_plugin", ("HEIF",)),
}
# What Pillow and its plugins raise on malformed input (seen with fuzzed files), beside its own OSError.
_DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_ORIENTATION_TAG = 0x0112
# Rows converted at a time when pixels leave Pillow: bounds the extra copies to about 15 MB at 8,000 pixels a row.
_BAND_ROWS = 256
# Luminance closer than this to the background counts as invisible; 64 of 255 is a contrast of about 1.7 : 1.
_INVISIBLE = 64
# Less transparency than this is a margin or round corners; nothing is drawn on it.
_MARGIN_SHARE = 0.1
_OPAQUE_SAMPLE = 2_000_000


@dataclass(frozen=True)
class LoadedImage:
    """An upright picture.

    rgb: (H, W, 3) uint8, sRGB as stored, after region and scaling.
    width, height: of the whole original in pixels, after EXIF rotation; for SVG, of the rendering.
    pages: pages of a TIFF, frames of an animation, else 1. page: the one that was read, from 1.
    format: as sniffed. mode: the decoder's name for the stored pixels ("RGB", "P", "CMYK", "I;16" …).
    had_alpha: whether anything was transparent; it was laid over white, black or grey so that it stays visible.
    transparent_share: 0–1, how much of the picture (the region) was transparent.
    exif_rotated: whether the file said to turn or mirror it. scale: rgb pixels per original pixel, at most 1.
    region: the part of the original that rgb shows, in its pixels.
    """

    rgb: Pixels
    width: int
    height: int
    pages: int
    page: int
    format: str
    mode: str
    had_alpha: bool
    transparent_share: float
    exif_rotated: bool
    scale: float
    region: tuple[int, int, int, int]


def load_image(
    file: BinaryIO,
    kind: MediaKind,
    *,
    page: int = 1,
    region: Box | None = None,
    max_pixels: int,
    max_side: int | None = None,
) -> LoadedImage:
    """Read one picture, or one page or frame of it.

    region: (x1, y1, x2, y2) in pixels of the upright original; cropped before any scaling.
    max_pixels: most pixels (width times height) that are decoded, half of that for WebP; decoding takes up to 10 bytes
    of memory for each. max_side: scale down so that the longer side of
    what is returned fits.
    Raises DamagedMedia, UnsupportedMedia, LimitExceeded, InvalidArgument, SourceNotFound (no such page).
    """
    if kind.kind != "image":
        raise UnsupportedMedia(f"a {kind.format} file is no picture", "Use the tool for documents or for video.")
    if page < 1:
        raise InvalidArgument("pages count from 1", "Leave page out for the first one.")
    with _mapped_errors(kind.format):
        if kind.format == "svg":
            from vision.media.svg import render_svg

            if page > 1:
                raise _no_such_page(page, 1)
            drawing = render_svg(file, max_pixels)
            return _finish(_Decoded(drawing, "svg", "RGBA", 1, 1, False, drawing.size), region, max_side)
        with _limited(max_pixels):
            return _finish(_decode(file, kind.format, page, region, max_pixels, max_side), region, max_side)


@dataclass
class _Decoded:
    """The upright picture inside Pillow; `full`: the original's size, where draft mode may have made it smaller."""

    image: Image.Image
    format: str
    mode: str
    pages: int
    page: int
    exif_rotated: bool
    full: tuple[int, int]


@contextmanager
def _mapped_errors(name: str) -> Iterator[None]:
    try:
        yield
    except VisionError:
        raise
    except MemoryError as error:
        raise LimitExceeded(f"the {name} picture needs more memory than is allowed", _SMALLER) from error
    except NotImplementedError as error:
        raise UnsupportedMedia(f"this variety of {name} cannot be read", "Convert it to PNG first.") from error
    except _DECODER_ERRORS as error:
        raise DamagedMedia(
            f"the {name} picture is damaged or incomplete", "Get the file again, or save it anew from another program."
        ) from error


_SMALLER = "Scale it down first, or raise INTERNVL_MCP_MAX_PIXELS."


@contextmanager
def _limited(max_pixels: int) -> Iterator[None]:
    """Pillow's own guards, set to our limit: they also watch frames and tiles that its header does not announce."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LimitExceeded(f"the picture has more than {max_pixels} pixels", _SMALLER) from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(
    file: BinaryIO, name: str, page: int, region: Box | None, max_pixels: int, max_side: int | None
) -> _Decoded:
    from PIL import Image

    module, formats = _DECODERS[name]
    plugin = importlib.import_module(module)
    if name == "heic":
        plugin.register_heif_opener()
    if name == "webp":
        # Its decoder takes 16 bytes a pixel, the others 8 to 10 (measured at 24 megapixels), and takes them on opening.
        max_pixels //= 2
        file.seek(0)
        _require_pixels(webp_size(file.read(30)), max_pixels)
    file.seek(0)
    image = Image.open(file, formats=formats)
    _require_pixels(image.size, max_pixels)
    # A JPEG's further pictures are previews, depth and gain maps, not pages.
    pages = 1 if name == "jpeg" else int(getattr(image, "n_frames", 1))
    if page > pages:
        raise _no_such_page(page, pages)
    if page > 1:
        image.seek(page - 1)
        _require_pixels(image.size, max_pixels)
    full, mode = image.size, image.mode
    rotated = _orientation(image) > 1
    if max_side and region is None and name == "jpeg":
        # Lets the JPEG decoder skip detail that scaling would throw away; it never goes below what was asked for.
        image.draft(None, (max_side, max_side))
    image.load()
    # TIFF is turned by Pillow while it loads; the others say here what remains to be done. PNG says it only now.
    orientation = _orientation(image)
    upright, turned = _upright(image, orientation), orientation >= 5
    # After draft mode the picture is smaller than the file says; TIFF already has its sides swapped.
    full = (full[1], full[0]) if turned else full
    drafted = name == "jpeg" and upright.size != full
    return _Decoded(upright, name, mode, pages, page, rotated or orientation > 1, full if drafted else upright.size)


def _require_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise DamagedMedia("the picture has no pixels", "Get the file again.")
    if width * height > max_pixels:
        raise LimitExceeded(f"the picture has {width} x {height} pixels, more than {max_pixels}", _SMALLER)


def _no_such_page(page: int, pages: int) -> SourceNotFound:
    return SourceNotFound(f"there is no page {page}: the picture has {pages}", f"Give a page from 1 to {pages}.")


def _orientation(image: Image.Image) -> int:
    """EXIF's value, 1–8. Broken EXIF says nothing about the pixels, so it counts as upright."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    steps = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if orientation == 1:
        return image
    transparency = image.info.get("transparency")
    turned = image.transpose(steps[orientation])
    if transparency is not None:
        turned.info["transparency"] = transparency
    return turned


def _finish(decoded: _Decoded, region: Box | None, max_side: int | None) -> LoadedImage:
    """Crop, scale, flatten and hand over, each step letting go of the picture before it."""
    from PIL.Image import Resampling

    image = decoded.image
    width, height = decoded.full
    box = _whole_pixels(region, width, height)
    if region is not None:
        # Colours that mean "transparent" are kept beside the pixels, and crop leaves them behind.
        info = image.info
        image = image.crop(box)
        image.info.update({key: info[key] for key in ("transparency",) if key in info})
    decoded.image = image = _eight_bit(image)
    share, background = _transparency(image)
    crop_width, crop_height = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, max_side / max(crop_width, crop_height)) if max_side else 1.0
    target = (max(1, round(crop_width * scale)), max(1, round(crop_height * scale)))
    if image.size != target:
        if image.mode not in ("L", "RGB", "RGBA"):
            decoded.image = image = image.convert("RGB")
        # Pillow weighs colours by alpha here, so nothing hidden shines through.
        decoded.image = image = image.resize(target, resample=Resampling.LANCZOS, reducing_gap=3.0)
    return LoadedImage(
        rgb=_pixels(image, background),
        width=width,
        height=height,
        pages=decoded.pages,
        page=decoded.page,
        format=decoded.format,
        mode=decoded.mode,
        had_alpha=share > 0,
        transparent_share=share,
        exif_rotated=decoded.exif_rotated,
        scale=scale,
        region=box,
    )


def _whole_pixels(region: Box | None, width: int, height: int) -> tuple[int, int, int, int]:
    """The region in whole pixels, clipped where it overshoots by less than a pixel. Raises InvalidArgument."""
    if region is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = region
    inside = -1 < x1 < x2 < width + 1 and -1 < y1 < y2 < height + 1  # false for NaN, too
    if not inside:
        raise InvalidArgument(
            f"region does not lie within the picture, which is {width} x {height} pixels",
            f"Give [x1, y1, x2, y2] with 0 <= x1 < x2 <= {width} and 0 <= y1 < y2 <= {height}.",
        )
    left, top = min(max(0, int(x1)), width - 1), min(max(0, int(y1)), height - 1)
    return left, top, max(left + 1, min(width, -int(-x2 // 1))), max(top + 1, min(height, -int(-y2 // 1)))


def _eight_bit(image: Image.Image) -> Image.Image:
    """RGBA where something may be transparent; else a mode of 8 bits or less that converts to RGB as it is."""
    from PIL import Image as PillowImage

    if image.mode.startswith("I") or image.mode == "F":
        # One deep grey value may be declared transparent; nothing that is drawn depends on it.
        return PillowImage.fromarray(_to_bytes(np.asarray(image), image.mode))
    if image.mode == "LAB":
        raise UnsupportedMedia("pictures in CIELAB colours cannot be read", "Convert it to PNG first.")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBa", "La"):
        return image.convert("RGBA")
    return image


def _to_bytes(values: npt.NDArray[np.generic], mode: str) -> Pixels:
    """Deep grey values to 8 bits, keeping as much of what is there as 8 bits hold.

    16-bit integers are shifted so that the highest bit in use becomes the highest of 8: camera and scanner data often
    fill only 10 or 12 bits. 32-bit integers and floats are stretched from lowest to highest, unless they are 0–255
    (or floats 0–1) already.
    """
    if mode.startswith("I;16"):
        shift = max(0, int(values.max()).bit_length() - 8)
        return (values.astype(np.uint16) >> shift).astype(np.uint8)
    numbers = values.astype(np.float32)
    finite = np.isfinite(numbers)
    if not finite.any():
        return np.zeros(numbers.shape, np.uint8)
    low, high = float(numbers[finite].min()), float(numbers[finite].max())
    if low >= 0 and high <= 1 and mode == "F":
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    elif mode == "I" and low >= 0 and high <= 65535:
        low, high = 0.0, float((1 << int(high).bit_length()) - 1)
    span = high - low or 1.0
    numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    return ((numbers - low) * (255.0 / span) + 0.5).clip(0, 255).astype(np.uint8)


def _transparency(image: Image.Image) -> tuple[float, tuple[int, int, int]]:
    """How much of the picture is transparent (0–1), and the colour to lay it over so that least of it is hidden."""
    if image.mode != "RGBA":
        return 0.0, (255, 255, 255)
    counts = np.asarray(image.getchannel("A").histogram(), dtype=np.float64)
    share = max(0.0, 1.0 - float(np.dot(counts, np.arange(256)) / (255.0 * counts.sum())))
    return share, _background(image) if share > _MARGIN_SHARE else (255, 255, 255)


def _background(image: Image.Image) -> tuple[int, int, int]:
    """White, unless the visible pixels would vanish on it; grey where both white and black would hide a good part."""
    from PIL.Image import Resampling

    step = max(1, int((image.width * image.height / _OPAQUE_SAMPLE) ** 0.5))
    # Every step-th pixel as it is: averaging would mix in the colours under full transparency.
    size = (max(1, image.width // step), max(1, image.height // step))
    sample = np.asarray(image.resize(size, resample=Resampling.NEAREST) if step > 1 else image).reshape(-1, 4)
    luminance = (sample[:, :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    weights = np.bincount(luminance, weights=sample[:, 3], minlength=256)
    total = weights.sum()
    if total == 0:
        return 255, 255, 255
    on_white, on_black = weights[256 - _INVISIBLE :].sum() / total, weights[:_INVISIBLE].sum() / total
    middle = weights[128 - _INVISIBLE // 2 : 128 + _INVISIBLE // 2].sum() / total
    if min(on_white, on_black) > 0.2 and middle < 0.1:
        return 128, 128, 128
    return (255, 255, 255) if on_white <= on_black else (0, 0, 0)


def _pixels(image: Image.Image, background: tuple[int, int, int]) -> Pixels:
    """(H, W, 3) uint8, converted in bands: whole conversions would hold two more copies of the picture."""
    from PIL import Image as PillowImage

    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        bottom = min(height, top + _BAND_ROWS)
        band = image.crop((0, top, width, bottom))
        if band.mode == "RGBA":
            flat = PillowImage.new("RGB", band.size, background)
            flat.paste(band, mask=band.getchannel("A"))
            band = flat
        rgb[top:bottom] = np.asarray(band.convert("RGB"))
    return rgb
