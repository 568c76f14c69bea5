"""Scenes as files, for tools that are asked by path."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.nano.tasks import Scene

_FPS = 4


def write_pictures(scene: Scene, stem: Path) -> list[Path]:
    """A PNG for each picture: `stem`-1.png and so on."""
    paths = [stem.with_name(f"{stem.name}-{number}.png") for number in range(1, len(scene.pictures) + 1)]
    for path, picture in zip(paths, scene.pictures, strict=True):
        path.write_bytes(picture.png())
    return paths


def write_video(scene: Scene, stem: Path) -> tuple[Path, float]:
    """A video without loss, and how many seconds each picture of the scene is seen in it.

    Asked for as many frames as there are pictures, the server takes one of each.
    """
    held = max(2, min(6, round(_FPS * (scene.times[1] - scene.times[0]))))
    path = stem.with_suffix(".mkv")
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=_FPS)
        stream.height, stream.width, stream.pix_fmt = *scene.pictures[0].pixels.shape[:2], "bgr0"
        for number, picture in enumerate(np.repeat([picture.pixels for picture in scene.pictures], held, axis=0)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, _FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path, held / _FPS
