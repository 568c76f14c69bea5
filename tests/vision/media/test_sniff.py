from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from vision.errors import DamagedMedia, UnsupportedMedia, VisionError
from vision.media.sniff import HEAD_BYTES, sniff, sniff_file, webp_size

needs_media = pytest.mark.skipif("INTERNVL_MCP_MEDIA" not in os.environ, reason="INTERNVL_MCP_MEDIA is not set")
TS = bytes([0x47]) + bytes(187)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\x00\x00\x00\x08mdat"


def zipped(*names: str, first: tuple[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if first:
            archive.writestr(*first)
        for name in names:
            archive.writestr(name, "x" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("head", "kind", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "image", "png"),
        (b"\xff\xd8\xff\xe0JFIF", "image", "jpeg"),
        (b"GIF89a", "image", "gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image", "webp"),
        (b"BM" + bytes(12) + b"\x28\x00\x00\x00", "image", "bmp"),
        (b"II*\x00\x08\x00", "image", "tiff"),
        (b"MM\x00*\x00\x00", "image", "tiff"),
        (b"P6\n2 2\n255\n", "image", "ppm"),
        (b"P1 # comment\n", "image", "ppm"),
        (ftyp(b"heic", b"mif1", b"heic"), "image", "heic"),
        (ftyp(b"mif1", b"heic"), "image", "heic"),
        (ftyp(b"mif1", b"avif", b"miaf"), "image", "avif"),
        (ftyp(b"avif", b"mif1"), "image", "avif"),
        (ftyp(b"isom", b"avc1"), "video", "mp4"),
        (ftyp(b"mp42", b"isom"), "video", "mp4"),
        (ftyp(b"qt  "), "video", "mov"),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x10mdat", "video", "mov"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01\x42\x82\x84webm", "video", "webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01\x42\x82\x88matroska", "video", "mkv"),
        (b"RIFF\x10\x00\x00\x00AVI LIST", "video", "avi"),
        (TS * 5, "video", "ts"),
        ((bytes(4) + TS) * 5, "video", "ts"),
        (b"%PDF-1.7\n", "document", "pdf"),
        (b"\xef\xbb\xbf%PDF-1.4", "document", "pdf"),
        (b"junk\r\n" * 100 + b"%PDF-1.4", "document", "pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- <html> -->\n<svg/>", "image", "svg"),
        ("<?xml version='1.0' encoding='UTF-16'?><svg>".encode("utf-16"), "image", "svg"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x'>\n<svg:svg xmlns:svg='x'>", "image", "svg"),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>", "image", "svg"),
        (b"<?xml version='1.0'?><!--" + b"licence " * 4000 + b"--><svg>", "image", "svg"),
    ],
)
def test_a_format_is_recognised_by_its_content(head, kind, name):
    found = sniff(head[:HEAD_BYTES])
    assert (found.kind, found.format) == (kind, name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (zipped("META-INF/container.xml", first=("mimetype", "application/epub+zip")), "epub"),
        (zipped("[Content_Types].xml", *(f"Resources/{i}.odttf" for i in range(2000)), "Documents/1/1.fpage"), "xps"),
        (zipped("[Content_Types].xml", "word/document.xml"), "docx"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
        (zipped("[Content_Types].xml", "ppt/presentation.xml", "ppt/embeddings/1.xlsx"), "pptx"),
    ],
)
def test_documents_inside_zip_are_told_apart_also_by_their_end(data, name):
    file = io.BytesIO(data)
    assert sniff_file(file).format == name
    assert file.tell() == 0


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (zipped("a.txt"), "zip", "Unpack"),
        (zipped(first=("mimetype", "application/vnd.oasis.opendocument.text")), "OpenDocument", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office", "PDF"),
        (b"<!DOCTYPE html><p>secret", "HTML", "text"),
        (b"  <html><body>secret", "HTML", "text"),
        (b'{"secret": 1}', "JSON", "text"),
        (b"#!/bin/sh\necho secret", "script", "text"),
        (b"DB_PASSWORD=secret\n", "plain text", "text"),
        ("秘密 secret".encode(), "plain text", "text"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nsecret", "key", "Readable"),
        (b"<?xml version='1.0'?><note>secret</note>", "XML", "text"),
        (b"push graphic-context\nimage over 0,0 0,0 'secret'", "plain text", "text"),
        (b"\x7fELF\x02secret", "program", "Readable"),
        (b"\x1f\x8b\x08secret", "gzip", "Unpack"),
        (b"%!PS-Adobe-3.0", "PostScript", "PDF"),
        (b"8BPS\x00\x01", "Photoshop", "PNG"),
        (b"\x00\x00\x01\x00\x01\x00", "icon", "PNG"),
        (ftyp(b"M4A ", b"isom"), "audio", "sound"),
        (ftyp(b"crx "), "raw", "PNG"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio", "sound"),
        (b"ID3\x03", "audio", "sound"),
        (bytes(range(128, 256)) * 4, "no known kind", "Readable"),
        (b"BMW is a car", "plain text", "text"),
        (b"P6332 358", "plain text", "text"),
        (b"GIF of a cat", "plain text", "text"),
    ],
)
def test_anything_else_is_named_with_what_to_do_and_never_quoted(data, said, hint):
    with pytest.raises(UnsupportedMedia) as caught:
        sniff_file(io.BytesIO(data))
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(5000)])
def test_nothing_at_all_is_damaged(data):
    with pytest.raises(DamagedMedia):
        sniff(data)


def test_an_opening_comment_without_end_takes_no_time():
    for head in (b"<!--" * 16000, b"<?" * 30000, b"<!DOCTYPE [" * 6000, b" " * HEAD_BYTES + b"<"):
        with pytest.raises(VisionError):
            sniff(head)


@pytest.mark.parametrize(
    ("mode", "options"), [("RGB", {}), ("RGB", {"lossless": True}), ("RGBA", {}), ("RGB", {"exif": b"Exif\0\0"})]
)
def test_a_webp_tells_its_size_in_every_variety(mode, options):
    buffer = io.BytesIO()
    Image.new(mode, (321, 45), (1, 2, 3, 4)[: len(mode)]).save(buffer, "WEBP", **options)
    assert webp_size(buffer.getvalue()[:30]) == (321, 45)
    with pytest.raises(DamagedMedia):
        webp_size(buffer.getvalue()[:24])


@needs_media
def test_every_real_file_is_what_its_manifest_says():
    media = Path(os.environ["INTERNVL_MCP_MEDIA"])
    kinds = {"photos": "image", "text": "image", "charts": "image", "documents": "document", "videos": "video"}
    checked = 0
    for folder, kind in kinds.items():
        for line in (media / folder / "manifest.jsonl").read_text().splitlines():
            name = json.loads(line)["file"]
            with (media / folder / Path(name).name).open("rb") as file:
                assert sniff_file(file).kind == kind, name
            checked += 1
    assert checked >= 50
