"""Pictures that hold no text, or hardly any: photos and film frames, to count the characters that a reader invents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from benchmarks.scoring import infix_distance, normalise

FRAMES = 20  # of each film, evenly over its length
_LONG_S = 60.0  # films longer than this are sampled at their key frames
# Text that is really there, beside what the manifest says.
_SEEN = {"bbb_30s.mp4": ["THE PEACH OPEN MOVIE PROJECT", "PRESENTS", "BIG BUCK BUNNY"]}


def pictures(media: Path) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    """Name, (h, w, 3) uint8 RGB, and the text that stands there, of every photo and of frames of every film."""
    pillow_heif.register_heif_opener()
    for folder in ("photos", "videos"):
        for line in (media / folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            name = entry["file"]
            there = entry["truth"].get("transcription_words", []) + _SEEN.get(name, [])
            if folder == "photos":
                with Image.open(media / folder / name) as image:
                    yield name, np.asarray(ImageOps.exif_transpose(image).convert("RGB")), there
            else:
                for index, frame in enumerate(frames(media / folder / name)):
                    yield f"{name} #{index}", frame, there


def frames(path: Path, count: int = FRAMES) -> Iterator[np.ndarray]:
    """count frames of the first video stream, upright, (h, w, 3) uint8 RGB."""
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        length = float(container.duration or 0) / 1e6
        if length > _LONG_S:
            for index in range(count):
                container.seek(round(1e6 * length * index / count))
                yield _upright(next(container.decode(stream)))
            return
        due, done = 0.0, 0
        for frame in container.decode(stream):
            if (frame.time or 0.0) >= due and done < count:
                yield _upright(frame)
                due, done = due + length / count, done + 1


def _upright(frame: Any) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def invented(lines: Iterable[str], there: Iterable[str]) -> int:
    """Characters of lines that stand nowhere in the picture."""
    truth = "\n".join(_folded(text) for text in there)
    return sum(infix_distance(_folded(line), truth) for line in lines)


def _folded(text: str) -> str:
    return normalise(text).replace(" ", "").casefold()
