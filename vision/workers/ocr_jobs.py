"""The recogniser's side of the `text` job: one reader, loaded with the first picture and kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vision.ocr.reader import TextReader
from vision.workers import jobs
from vision.workers.child import Handler, Input, Output


def handlers(threads: int) -> dict[str, Handler]:
    reader = TextReader(threads=threads or None)

    def read(work: Input) -> Iterator[Output]:
        params: jobs.TextParams = work.params
        rgb = np.frombuffer(work.blob, np.uint8).reshape(params.raster.height, params.raster.width, 3)
        yield Output(reader.read(rgb, tables=params.tables))

    return {jobs.TEXT.name: read}
