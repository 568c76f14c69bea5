"""What a file is, by its content. Names and declared types are not looked at: they are often wrong, sometimes a trap.

Signatures: the formats' own specifications; ISO base media brands from mp4ra.org.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO, Literal

from vision.errors import DamagedMedia, UnsupportedMedia

# Enough for an SVG with a long licence comment; every other signature sits in the first 1,100 bytes.
HEAD_BYTES = 64 << 10
# A zip's list of contents stands at its end.
TAIL_BYTES = 64 << 10

_READABLE = (
    "Readable: PNG, JPEG, WebP, GIF, BMP, TIFF, PPM, HEIC, AVIF, SVG pictures; PDF, XPS, EPUB, DOCX, PPTX, XLSX "
    "documents; "
    "MP4, MOV, WebM, MKV, AVI, TS videos."
)


@dataclass(frozen=True)
class MediaKind:
    """`kind` says which reader it needs. `format`: png, jpeg, webp, gif, bmp, tiff, ppm, heic, avif or svg; pdf, xps,
    epub, docx, pptx or xlsx; mp4, mov, webm, mkv, avi or ts. Animated pictures (gif, webp, png, avif) are "image"."""

    kind: Literal["image", "document", "video"]
    format: str


# Read by the extra [office].
OFFICE_FORMATS = ("docx", "pptx", "xlsx")

_PREFIXES: tuple[tuple[bytes, MediaKind], ...] = (
    (b"\x89PNG\r\n\x1a\n", MediaKind("image", "png")),
    (b"\xff\xd8\xff", MediaKind("image", "jpeg")),
    (b"GIF87a", MediaKind("image", "gif")),
    (b"GIF89a", MediaKind("image", "gif")),
    (b"II*\x00", MediaKind("image", "tiff")),
    (b"MM\x00*", MediaKind("image", "tiff")),
    (b"II+\x00", MediaKind("image", "tiff")),
    (b"MM\x00+", MediaKind("image", "tiff")),
)

_TO_PDF = "Convert it to PDF first (for example with LibreOffice), then pass the PDF."
_TO_PNG = "Convert it to PNG first, then pass the PNG."
_TO_MP4 = "Convert it to MP4 first (for example with ffmpeg), then pass the MP4."
_UNPACK = "Unpack it and pass a file from it."
_PLAIN = "Read it as text instead."

# What is recognised and refused: signature, at which offset, what it is, what to do.
_REFUSED: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\x7fELF", 0, "a program (ELF)", _READABLE),
    (b"MZ", 0, "a Windows program", _READABLE),
    (b"\xcf\xfa\xed\xfe", 0, "a macOS program", _READABLE),
    (b"\xca\xfe\xba\xbe", 0, "a program (Mach-O or Java)", _READABLE),
    (b"\x00asm", 0, "a WebAssembly program", _READABLE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an old Office document", _TO_PDF),
    (b"{\\rtf", 0, "a Rich Text document", _TO_PDF),
    (b"%!PS", 0, "a PostScript document", _TO_PDF),
    (b"\xc5\xd0\xd3\xc6", 0, "an EPS drawing", _TO_PDF),
    (b"AT&TFORM", 0, "a DjVu document", _TO_PDF),
    (b"8BPS", 0, "a Photoshop document", _TO_PNG),
    (b"\x00\x00\x00\x0cjP  ", 0, "a JPEG 2000 picture", _TO_PNG),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 picture", _TO_PNG),
    (b"\xff\x0a", 0, "a JPEG XL picture", _TO_PNG),
    (b"\x00\x00\x00\x0cJXL ", 0, "a JPEG XL picture", _TO_PNG),
    (b"\x00\x00\x01\x00", 0, "an icon (ICO)", _TO_PNG),
    (b"DDS ", 0, "a DDS texture", _TO_PNG),
    (b"\x01\xda", 0, "an SGI picture", _TO_PNG),
    (b"icns", 0, "a macOS icon", _TO_PNG),
    (b"gimp xcf", 0, "a GIMP picture", _TO_PNG),
    (b"v/1\x01", 0, "an OpenEXR picture", _TO_PNG),
    (b"DICM", 128, "a DICOM picture", _TO_PNG),
    (b"IIRO", 0, "a camera's raw picture", _TO_PNG),
    (b"FUJIFILM", 0, "a camera's raw picture", _TO_PNG),
    (b"FLV\x01", 0, "a Flash video", _TO_MP4),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "a Windows Media file", _TO_MP4),
    (b"OggS", 0, "an Ogg file", _TO_MP4),
    (b"\x00\x00\x01\xba", 0, "an MPEG program stream", _TO_MP4),
    (b"\x00\x00\x01\xb3", 0, "a bare MPEG video stream", _TO_MP4),
    (b"ID3", 0, "an MP3 audio file", "Only pictures, documents and video are read, no sound."),
    (b"fLaC", 0, "a FLAC audio file", "Only pictures, documents and video are read, no sound."),
    (b"\x1f\x8b", 0, "a gzip archive", _UNPACK),
    (b"BZh", 0, "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", 0, "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", _UNPACK),
    (b"Rar!", 0, "a RAR archive", _UNPACK),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"SQLite format 3\x00", 0, "an SQLite database", _READABLE),
    (b"-----BEGIN ", 0, "a key or certificate", _READABLE),
)

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_SVG_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg[\s>/]")
_XML_PREAMBLE = re.compile(rb"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>)", re.DOTALL)


def sniff_file(file: BinaryIO) -> MediaKind:
    """`sniff` on a seekable file; the position is put back to the start. Raises as sniff does."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    tail = b""
    if head.startswith(b"PK"):
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        tail = file.read(TAIL_BYTES)
    file.seek(0)
    return sniff(head, tail)


def sniff(head: bytes, tail: bytes = b"") -> MediaKind:
    """The kind and format of a file from its first bytes (up to HEAD_BYTES), for a zip also from its last.

    Raises UnsupportedMedia, naming what it seems to be, or DamagedMedia where there is nothing to look at. Neither
    ever repeats what the file says.
    """
    if not head.strip(b"\x00"):
        raise DamagedMedia("the file is empty or holds only zero bytes", "Check that it was written completely.")
    kind = _by_signature(head)
    if kind is not None:
        return kind
    if head.startswith(b"PK"):
        return _zip(head, tail)
    what, hint = _refused(head)
    raise UnsupportedMedia(f"the file seems to be {what}, which cannot be read", hint)


def _by_signature(head: bytes) -> MediaKind | None:
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124)
    ):
        return MediaKind("image", "bmp")
    if re.match(rb"P[1-6][\s#]", head) and head[2:3]:
        return MediaKind("image", "ppm")
    return _riff(head) or _iso_media(head) or _matroska(head) or _transport_stream(head) or _pdf(head) or _svg(head)


def _riff(head: bytes) -> MediaKind | None:
    if head[:4] != b"RIFF":
        return None
    return {b"WEBP": MediaKind("image", "webp"), b"AVI ": MediaKind("video", "avi")}.get(head[8:12])


def webp_size(head: bytes) -> tuple[int, int]:
    """Width and height from a WebP file's first 30 bytes (RFC 9649). Raises DamagedMedia."""
    chunk, body = head[12:16], head[20:30]
    if chunk == b"VP8X" and len(body) == 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and len(body) == 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise DamagedMedia("the webp picture is damaged or incomplete", "Get the file again.")


def _iso_media(head: bytes) -> MediaKind | None:
    """HEIC, AVIF, MP4 and MOV share one container: the brands in its first box tell them apart."""
    box = head[4:8]
    if box in (b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free"):
        return MediaKind("video", "mov")
    if box != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), 512)
    major, compatible = head[8:12], {head[at : at + 4] for at in range(16, size, 4)}
    brands = compatible | {major}
    if major in _AVIF_BRANDS or (major in (b"mif1", b"msf1") and brands & _AVIF_BRANDS):
        return MediaKind("image", "avif")
    if major in _HEIC_BRANDS:
        return MediaKind("image", "heic")
    if major == b"crx " or major[:3] == b"M4A":
        return None
    return MediaKind("video", "mov" if major == b"qt  " else "mp4")


def _matroska(head: bytes) -> MediaKind | None:
    if head[:4] != b"\x1aE\xdf\xa3":
        return None
    return MediaKind("video", "webm" if b"\x42\x82\x84webm" in head[:256] else "mkv")


def _transport_stream(head: bytes) -> MediaKind | None:
    """A sync byte 0x47 starts every packet of 188 bytes, or of 192 where a timestamp precedes it (M2TS)."""
    for start, step in ((0, 188), (4, 192)):
        packets = head[start : start + 8 * step : step]
        if len(packets) >= 3 and set(packets) == {0x47}:
            return MediaKind("video", "ts")
    return None


def _pdf(head: bytes) -> MediaKind | None:
    # Viewers accept junk before the header, up to 1,024 bytes (PDF 1.7, implementation note 13).
    return MediaKind("document", "pdf") if b"%PDF-" in head[:1029] else None


def _svg(head: bytes) -> MediaKind | None:
    text = _as_ascii(head)
    while match := _XML_PREAMBLE.match(text):
        text = text[match.end() :]
    return MediaKind("image", "svg") if _SVG_ROOT.match(text.lstrip()) else None


def _as_ascii(head: bytes) -> bytes:
    """UTF-16 and byte order marks folded away, as far as markup needs it."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head[2:].replace(b"\x00", b"")
    return head.removeprefix(b"\xef\xbb\xbf")


def _zip(head: bytes, tail: bytes) -> MediaKind:
    seen = head + tail
    if b"mimetypeapplication/epub+zip" in head[:256] or b"META-INF/container.xml" in seen:
        return MediaKind("document", "epub")
    if b"FixedDocumentSequence.fdseq" in seen or b"FixedDocSeq.fdseq" in seen or b".fpage" in seen:
        return MediaKind("document", "xps")
    # The main part of each: a presentation may hold a workbook, whose own parts are packed once more.
    office = ((b"word/document", "docx"), (b"ppt/presentation", "pptx"), (b"xl/workbook", "xlsx"))
    for mark, name in office:
        if mark in seen:
            return MediaKind("document", name)
    parts = (
        (b"mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument file"),
        (b"Index/Document.iwa", "an Apple iWork document"),
    )
    for mark, what in parts:
        if mark in seen:
            raise UnsupportedMedia(f"the file seems to be {what}, which cannot be read", _TO_PDF)
    raise UnsupportedMedia("the file seems to be a zip archive, which cannot be read", _UNPACK)


def _refused(head: bytes) -> tuple[str, str]:
    for signature, offset, what, hint in _REFUSED:
        if head[offset : offset + len(signature)] == signature:
            return what, hint
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "a WAV audio file", "Only pictures, documents and video are read, no sound."
    if head[4:8] == b"ftyp":
        what = "a camera's raw picture" if head[8:12] == b"crx " else "an audio file"
        return what, _TO_PNG if head[8:12] == b"crx " else "Only pictures, documents and video are read, no sound."
    return (_text(head), f"{_PLAIN} {_READABLE}") if _is_text(head) else ("of no known kind", _READABLE)


def _is_text(head: bytes) -> bool:
    text = _as_ascii(head)[:4096]
    # A few bytes of slack: the cut may split a character.
    try:
        text[:-4].decode("utf-8") if len(text) > 4 else text.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(text) - 8:
            return False
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in text)


def _text(head: bytes) -> str:
    start = _as_ascii(head).lstrip()[:512].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in start:
        return "an HTML page"
    if start.startswith((b"{", b"[")):
        return "JSON or similar text"
    if start.startswith(b"<"):
        return "XML"
    if start.startswith(b"#!"):
        return "a script"
    return "plain text"
