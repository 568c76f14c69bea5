"""Small media files of every kind, and seeded ways to damage them. The same seed gives the same files."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import pillow_heif
import pymupdf
from PIL import Image

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="320" height="200" viewBox="0 0 320 200">
<rect width="320" height="200" fill="#eef"/><circle cx="250" cy="120" r="50" fill="#c33"/>
<text x="20" y="60" font-size="28">Invoice 4711</text><path d="M20 150 L120 90 L200 170 Z" fill="#393"/></svg>"""
PICTURES = ("png", "jpeg", "webp", "gif", "tiff", "bmp", "avif", "heic", "svg")
VIDEOS = ("mp4", "mkv", "ts")


class Specimen(NamedTuple):
    """A file's name, whose ending tells the kind it was made from, and its content."""

    name: str
    content: bytes

    @property
    def kind(self) -> str:
        return self.name.rsplit(".", 1)[1]


def _pages() -> pymupdf.Document:
    document = pymupdf.open()
    for number in (1, 2):
        page = document.new_page(width=320, height=200)
        page.draw_rect(pymupdf.Rect(20, 90, 300, 180), color=(0, 0, 0), fill=(0.8, 0.9, 1))
        page.insert_text((24, 60), f"Invoice 4711, page {number}", fontsize=22)
        page.insert_text((40, 140), "Total 1,548.00 EUR", fontsize=18)
    return document


def _video(container_format: str) -> bytes:
    file = io.BytesIO()
    # Else Matroska writes random identifiers. MPEG-4, as x264's choices differ by a bit from one run to the next.
    with av.open(file, "w", format=container_format, container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=10, options={"threads": "1", "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(20):
            # Planes of YUV as they are stored (luma over both chromas): converting from RGB rounds by memory layout.
            planes = np.full((96 * 3 // 2, 160), 128, np.uint8)
            planes[:96] = 40 if number < 10 else 200
            planes[20:60, number * 6 : number * 6 + 30] = 120
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "tiff":
        picture.save(file, "TIFF", compression="tiff_lzw", save_all=True, append_images=[picture.convert("L")])
    elif kind == "gif":
        picture.save(file, "GIF", save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)])
    elif kind == "heic":
        pillow_heif.from_pillow(picture).save(file, quality=60)
    else:
        picture.save(file, kind.upper())
    return file.getvalue()


def specimens() -> tuple[Specimen, ...]:
    """One sound file of each kind: pictures of 320 by 200 with a line of text, a PDF of two pages, videos of 2 s."""
    document = _pages()
    pixels = document[0].get_pixmap()
    picture = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)
    sound = {kind: _encoded(picture, kind) for kind in PICTURES if kind != "svg"}
    sound["svg"] = SVG.encode()
    sound["pdf"] = document.tobytes(no_new_id=True)
    document.close()
    sound |= {kind: _video({"mkv": "matroska", "ts": "mpegts"}.get(kind, kind)) for kind in VIDEOS}
    return tuple(Specimen(f"sound.{kind}", content) for kind, content in sound.items())


def _flip(data: bytearray, chance: random.Random, _: bytes) -> bytearray:
    for _flips in range(chance.choice((1, 4, 32, 200))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _truncate(data: bytearray, chance: random.Random, _: bytes) -> bytearray:
    return data[: chance.randrange(1, len(data))]


def _splice(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """A piece of another file in place of a piece of this one."""
    length = chance.randrange(1, min(len(data), len(other), 2048))
    at, start = chance.randrange(len(data) - length + 1), chance.randrange(len(other) - length + 1)
    data[at : at + length] = other[start : start + length]
    return data


def _swap_header(data: bytearray, chance: random.Random, other: bytes) -> bytearray:
    """The first bytes of another kind, by which its content is recognised, before this one's body."""
    length = chance.choice((4, 8, 16, 64))
    return bytearray(other[:length]) + data[length:]


def _blow_up(data: bytearray, chance: random.Random, _: bytes) -> bytearray:
    """Huge or tiny numbers where sizes and counts stand: in the first kilobyte."""
    for _times in range(chance.choice((1, 2, 6))):
        at = chance.randrange(max(1, min(len(data), 1024) - 4))
        data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
    return data


def _repeat(data: bytearray, chance: random.Random, _: bytes) -> bytearray:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.randrange(1, 4096)]
    return data[:start] + piece * chance.choice((2, 8, 64)) + data[start:]


DAMAGES: tuple[Callable[[bytearray, random.Random, bytes], bytearray], ...] = (
    _flip, _truncate, _splice, _swap_header, _blow_up, _repeat,
)  # fmt: skip


def mutated(count: int, seed: int = 4711) -> Iterator[Specimen]:
    """`count` damaged files, every kind and every damage in turn, sometimes two damages at once."""
    chance = random.Random(seed)
    sound = specimens()
    for number in range(count):
        base = sound[number % len(sound)]
        data = bytearray(base.content)
        names = []
        for _step in range(chance.choice((1, 1, 2))):
            damage = chance.choice(DAMAGES)
            names.append(damage.__name__.strip("_"))
            data = damage(data, chance, chance.choice(sound).content)
        yield Specimen(f"{number:04d}-{'-'.join(names)}.{base.kind}", bytes(data))
