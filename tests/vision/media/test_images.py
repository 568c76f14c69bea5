from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageDraw

from vision.errors import (
    DamagedMedia,
    InvalidArgument,
    LimitExceeded,
    SourceNotFound,
    UnsupportedMedia,
    VisionError,
)
from vision.media.images import LoadedImage, load_image
from vision.media.sniff import MediaKind, sniff_file
from vision.types import Box

needs_media = pytest.mark.skipif("INTERNVL_MCP_MEDIA" not in os.environ, reason="INTERNVL_MCP_MEDIA is not set")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def load(data: bytes, **options: object) -> LoadedImage:
    file = io.BytesIO(data)
    return load_image(file, sniff_file(file), **({"max_pixels": 10_000_000} | options))  # pyright: ignore


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green over blue, white."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2 - 1), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill=BLUE)
    draw.rectangle((width // 2, height // 2, width, height), fill=WHITE)
    return image


def corners(rgb: np.ndarray) -> list[tuple[int, ...]]:
    """The colours well inside the four quadrants, rounded to full or nothing."""
    height, width = rgb.shape[:2]
    places = [(height // 4, width // 4), (height // 4, width * 3 // 4), (height * 3 // 4, width // 4)]
    places.append((height * 3 // 4, width * 3 // 4))
    return [tuple(int(value > 127) * 255 for value in rgb[place]) for place in places]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "HEIF"])
def test_every_format_gives_the_same_picture(kind):
    loaded = load(saved(quadrants(), kind))
    assert loaded.rgb.shape == (48, 64, 3) and loaded.rgb.dtype == np.uint8
    assert corners(loaded.rgb) == [RED, GREEN, BLUE, WHITE]
    assert (loaded.width, loaded.height, loaded.pages, loaded.scale, loaded.had_alpha) == (64, 48, 1, 1.0, False)
    assert loaded.format == {"HEIF": "heic"}.get(kind, kind.lower())


def test_gif_gives_its_first_frame_and_their_number():
    frames = [Image.new("RGB", (20, 10), color) for color in (RED, GREEN, BLUE)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert corners(load(data).rgb)[0] == RED
    assert load(data).pages == 3
    assert corners(load(data, page=3).rgb)[0] == BLUE


def test_tiff_pages_of_different_size_are_read_one_by_one():
    first, second = quadrants(), Image.new("L", (30, 20), 255)
    data = saved(first, "TIFF", save_all=True, append_images=[second])
    assert load(data).pages == 2
    loaded = load(data, page=2)
    assert (loaded.width, loaded.height, loaded.page, loaded.mode) == (30, 20, 2, "L")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that turns upright into stored
    stored = quadrants() if orientation == 1 else quadrants().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load(saved(stored, kind, exif=exif))
    assert corners(loaded.rgb) == [RED, GREEN, BLUE, WHITE]
    assert (loaded.width, loaded.height) == (64, 48)
    assert loaded.exif_rotated == (orientation != 1)


def test_a_rotated_region_is_in_upright_pixels_also_when_scaled():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(quadrants(640, 480).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    loaded = load(data, region=(320, 0, 640, 240), max_side=100)
    assert {tuple(c) for c in corners(loaded.rgb)} == {GREEN}
    assert (loaded.rgb.shape, loaded.scale, loaded.region) == ((75, 100, 3), 0.3125, (320, 0, 640, 240))
    assert (loaded.width, loaded.height) == (640, 480)


def test_max_side_scales_down_and_never_up():
    data = saved(quadrants(1600, 1200), "JPEG")
    loaded = load(data, max_side=200)
    assert (loaded.rgb.shape, loaded.scale, loaded.width, loaded.height) == ((150, 200, 3), 0.125, 1600, 1200)
    assert corners(loaded.rgb) == [RED, GREEN, BLUE, WHITE]
    assert load(data, max_side=5000).scale == 1.0


def test_draft_mode_keeps_the_originals_size_when_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(quadrants(1600, 1200).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    loaded = load(data, max_side=100)
    assert (loaded.width, loaded.height, loaded.rgb.shape) == (1600, 1200, (75, 100, 3))
    assert corners(loaded.rgb) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    "region",
    [(0, 0, 65, 48.5), (-2, 0, 10, 10), (10, 10, 10, 20), (20, 20, 10, 10), (64, 0, 70, 10), (0, 0, float("nan"), 9)],
)
def test_a_region_outside_names_the_pictures_size(region):
    with pytest.raises(InvalidArgument, match="64 x 48"):
        load(saved(quadrants(), "PNG"), region=region)


@pytest.mark.parametrize(
    ("region", "pixels"),
    [((0.2, 0.7, 1.1, 2.0), (0, 0, 2, 2)), ((63.5, 47.5, 64.4, 48.4), (63, 47, 64, 48)), ((5, 6, 7, 9), (5, 6, 7, 9))],
)
def test_a_region_covers_every_pixel_it_touches(region: Box, pixels):
    loaded = load(saved(quadrants(), "PNG"), region=region)
    assert loaded.region == pixels
    assert loaded.rgb.shape == (pixels[3] - pixels[1], pixels[2] - pixels[0], 3)


def lettering(mode: str, background: object, ink: object) -> Image.Image:
    image = Image.new(mode, (200, 60), background)  # pyright: ignore
    ImageDraw.Draw(image).text((10, 10), "Visible", fill=ink, font_size=36)  # pyright: ignore
    return image


@pytest.mark.parametrize(
    ("ink", "paper"), [((255, 255, 255, 255), 0), ((0, 0, 0, 255), 255), ((200, 30, 30, 255), 255)]
)
def test_text_on_transparency_stays_visible(ink, paper):
    loaded = load(saved(lettering("RGBA", (0, 0, 0, 0), ink), "PNG"))
    assert loaded.had_alpha and 0.5 < loaded.transparent_share < 1
    assert tuple(loaded.rgb[0, 0]) == (paper,) * 3
    assert (loaded.rgb == ink[:3]).all(axis=2).sum() > 200


def test_a_transparent_margin_of_a_white_page_is_white():
    image = Image.new("RGBA", (100, 100), (255, 255, 255, 255))
    image.paste((0, 0, 0, 0), (0, 0, 100, 5))
    loaded = load(saved(image, "PNG"))
    assert loaded.had_alpha and loaded.rgb.min() == 255


def test_white_and_black_lettering_together_gets_grey():
    image = lettering("RGBA", (0, 0, 0, 0), (255, 255, 255, 255))
    ImageDraw.Draw(image).text((110, 10), "Both", fill=(0, 0, 0, 255), font_size=36)
    assert tuple(load(saved(image, "PNG")).rgb[0, 0]) == (128, 128, 128)


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (lettering("LA", (0, 0), (255, 255)), {}),
        (lettering("RGB", (1, 2, 3), (255, 255, 255)), {"transparency": (1, 2, 3)}),
        (lettering("L", 7, 255), {"transparency": 7}),
        (lettering("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)).quantize(8), {}),
    ],
)
def test_every_way_to_store_transparency_is_understood(image, options):
    whole = load(saved(image, "PNG", **options))
    part = load(saved(image, "PNG", **options), region=(0, 0, 100, 60))
    for loaded in (whole, part):
        assert loaded.had_alpha
        assert loaded.rgb[0, 0].max() < 20 and loaded.rgb.max() > 250


def test_an_opaque_alpha_channel_is_no_transparency():
    loaded = load(saved(quadrants().convert("RGBA"), "PNG"))
    assert (loaded.had_alpha, loaded.transparent_share, loaded.mode) == (False, 0.0, "RGBA")


def test_a_fully_transparent_picture_is_white():
    loaded = load(saved(Image.new("RGBA", (10, 10), (9, 9, 9, 0)), "PNG"))
    assert loaded.rgb.min() == 255 and loaded.transparent_share == 1.0


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_every_pixel_mode_comes_out_as_rgb(mode):
    grey = Image.linear_gradient("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    else:
        image = grey.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "P") else grey.convert(mode)
    loaded = load(saved(image, "TIFF"))
    assert loaded.rgb.shape == (256, 256, 3)
    assert loaded.rgb[:16].mean() < 40 and loaded.rgb[-16:].mean() > 215


@pytest.mark.parametrize(("bits", "brightest"), [(8, 255), (10, 255), (12, 255), (16, 255)])
def test_deep_grey_values_use_the_whole_range(bits, brightest):
    values = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
    rgb = load(saved(Image.fromarray(values), "PNG")).rgb
    assert rgb.max() == brightest and rgb.min() == 0
    assert (np.diff(rgb[..., 0].ravel().astype(int)) >= 0).all()


def test_floats_with_holes_are_stretched():
    values = np.array([[np.nan, -5.0], [np.inf, 15.0]], np.float32)
    rgb = load(saved(Image.fromarray(values), "TIFF")).rgb[..., 0]
    assert rgb.tolist() == [[0, 0], [255, 255]]


def test_pages_that_are_not_there_are_not_found():
    with pytest.raises(SourceNotFound, match="no page 2"):
        load(saved(quadrants(), "PNG"), page=2)
    with pytest.raises(InvalidArgument):
        load(saved(quadrants(), "PNG"), page=0)


def test_a_kind_that_is_no_picture_is_refused():
    with pytest.raises(UnsupportedMedia):
        load_image(io.BytesIO(b"%PDF-1.7"), MediaKind("document", "pdf"), max_pixels=1000)


def header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1001, 1000), (100_000, 100_000), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_from_the_header(size):
    with pytest.raises(LimitExceeded) as caught:
        load(header_only_png(*size), max_pixels=1_000_000)
    assert "INTERNVL_MCP_MAX_PIXELS" in caught.value.hint


def test_the_pixel_limit_is_inclusive_and_leaves_pillow_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    assert load(saved(quadrants(), "PNG"), max_pixels=64 * 48).width == 64
    with pytest.raises(LimitExceeded):
        load(saved(quadrants(), "PNG"), max_pixels=64 * 48 - 1)
    assert before == Image.MAX_IMAGE_PIXELS


def test_webp_may_have_half_the_pixels_because_its_decoder_takes_twice_the_memory():
    data = saved(quadrants(), "WEBP")
    assert load(data, max_pixels=2 * 64 * 48).width == 64
    with pytest.raises(LimitExceeded, match="64 x 48"):
        load(data, max_pixels=2 * 64 * 48 - 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_damaged_never_half_invented(kind, kept):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(DamagedMedia):
        load(data[: int(len(data) * kept)])


def test_mutated_files_give_a_picture_or_one_error():
    random = np.random.default_rng(7)
    kinds = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"]
    originals = {kind: saved(quadrants(), kind) for kind in kinds}
    outcomes = {"picture": 0, "error": 0}
    for round_ in range(400):
        data = bytearray(originals[kinds[round_ % len(kinds)]])
        for _ in range(int(random.integers(1, 8))):
            data[int(random.integers(8, len(data)))] = int(random.integers(0, 256))
        try:
            load(bytes(data), max_pixels=1_000_000)
            outcomes["picture"] += 1
        except VisionError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 20


SWEEP = """
import json, resource, sys, pathlib
from vision.errors import VisionError
from vision.media.images import load_image
from vision.media.sniff import sniff_file
outcomes = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    with path.open("rb") as file:
        try:
            kind = sniff_file(file)
            if kind.kind == "image":
                loaded = load_image(file, kind, max_pixels=80_000_000)
                outcomes[path.name] = list(loaded.rgb.shape)
        except VisionError as error:
            outcomes[path.name] = error.code
# Not ru_maxrss where there is a choice: it starts at the size of the process that started this one.
status = pathlib.Path("/proc/self/status")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if status.exists():
    peak = int(status.read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([outcomes, peak]))
"""


@needs_media
def test_hostile_pictures_give_a_picture_or_one_error_in_little_memory():
    folder = Path(os.environ["INTERNVL_MCP_MEDIA"]) / "hostile"
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    outcomes, peak = json.loads(done.stdout.splitlines()[-1])
    facts = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    must_fail = {
        Path(fact["file"]).name
        for fact in facts
        if fact["kind"] == "hostile-image" and "names the file problem" in fact["truth"]["expect"]
    }
    assert len(must_fail) >= 20
    assert {name for name in must_fail if isinstance(outcomes[name], list)} == set()
    assert peak < 300 * (1 << 10 if sys.platform == "linux" else 1 << 20)


@needs_media
def test_real_photos_stand_upright():
    media = Path(os.environ["INTERNVL_MCP_MEDIA"])
    sizes = {
        "photos/exif_orientation_6_waterfall.jpg": (1800, 1200),
        "photos/heic_floor.heic": (1080, 1920),
        "photos/fox_statue.avif": (1204, 800),
        "text/zh_exif_orientation.jpg": (752, 306),
    }
    for name, size in sizes.items():
        loaded = load((media / name).read_bytes())
        assert (loaded.width, loaded.height) == size, name


@needs_media
def test_white_chinese_text_on_transparency_stays_visible():
    path = Path(os.environ["INTERNVL_MCP_MEDIA"]) / "text" / "zh_white_text_transparent.png"
    rgb = load(path.read_bytes()).rgb
    assert rgb[0, 0].max() == 0 and 0.05 < (rgb > 200).all(axis=2).mean() < 0.2
