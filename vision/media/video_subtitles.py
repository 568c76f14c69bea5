"""Embedded subtitles: decoding a packet, and taking the markup out of the text."""

from __future__ import annotations

import html
import re

from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle

from vision.media.video_container import DECODE_ERRORS, Clock
from vision.media.video_types import Subtitle

ASS_FIELDS_BEFORE_TEXT = 8
"""ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect: FFmpeg's form of an event, without times."""
DEFAULT_S = 4.0
"""How long an entry stands whose end is not said."""
LONGEST_S = 60.0

_DRAWING = re.compile(r"\{[^}]*\\p[1-9][^}]*\}.*?(?:\{[^}]*\\p0[^}]*\}|$)", re.DOTALL)
_OVERRIDE = re.compile(r"\{[^}]*\}")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def plain(text: str) -> str:
    """The words of an ASS, SRT or WebVTT entry: no override blocks, drawings or tags; lines by line feeds."""
    text = _OVERRIDE.sub("", _DRAWING.sub("", text))
    text = text.replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ")
    text = html.unescape(_TAG.sub("", text))
    return "\n".join(line for line in (part.strip() for part in text.splitlines()) if line)


def decode(packet: Packet[SubtitleStream], clock: Clock) -> list[Subtitle]:
    """The entries in one packet; pictures of text (DVD, Blu-ray) and damaged packets give none."""
    if packet.pts is None or packet.size == 0:
        return []
    stream = packet.stream
    try:
        entries = stream.codec_context.decode2(packet)
    except DECODE_ERRORS:
        return []
    if entries is None:
        return []
    start = clock.at(packet.pts, packet.time_base)
    shown_ms = entries.end_display_time - entries.start_display_time
    length = float(packet.duration * packet.time_base) if packet.duration else shown_ms / 1000
    end = start + (length if 0 < length <= LONGEST_S else DEFAULT_S)
    texts = [plain(_event_text(rect)) for rect in entries if isinstance(rect, AssSubtitle)]
    return [Subtitle(max(0.0, start), end, text, stream.language) for text in texts if text]


def _event_text(rect: AssSubtitle) -> str:
    event = rect.ass.decode("utf-8", "replace")
    if not event:
        return rect.text.decode("utf-8", "replace")
    return event.split(",", ASS_FIELDS_BEFORE_TEXT)[-1]
