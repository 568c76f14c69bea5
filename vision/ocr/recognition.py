"""From found lines to read lines: recognise each once, and the doubtful ones again, another way."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vision.ocr.lines import Line, grow, is_tall
from vision.ocr.rapid import Reading
from vision.ocr.rotation import Recogniser
from vision.ocr.scan import Scan

_DOUBTFUL = 0.9  # a mean score below this is worth a second try
_BELIEVED = 0.5  # below this a line is left out: better nothing than an invention
_MOST_AGAIN = 12  # lines read again on a page; with two or three tries each about 0.3 s
_GAIN = 0.1  # by how much a second reading must score better to be preferred
_SHORT = 2  # characters; a text this short is believed the second time only when two looks agree on it
_FAINT = 60  # grey levels between ink and paper below which contrast is stretched


def recognise(recogniser: Recogniser, scan: Scan, known: dict[int, Reading]) -> list[Line]:
    """Read the lines of scan; known holds the readings that are there already, by index into scan.quads."""
    rest = [index for index in range(len(scan.quads)) if index not in known]
    read = dict(zip(rest, recogniser.recognise([scan.crop(scan.quads[index]) for index in rest]), strict=True)) | known
    readings = [read[index] for index in range(len(scan.quads))]
    doubtful = [index for index, reading in enumerate(readings) if reading.score < _DOUBTFUL]
    doubtful.sort(key=lambda index: -cv2.contourArea(scan.quads[index]))
    for index, reading in _read_again(recogniser, scan, readings, doubtful[:_MOST_AGAIN]).items():
        readings[index] = reading
    lines = [Line(quad, reading) for quad, reading in zip(scan.quads, readings, strict=True)]
    return [line for line in lines if line.text and line.score >= _BELIEVED]


def _read_again(
    recogniser: Recogniser, scan: Scan, readings: Sequence[Reading], doubtful: Sequence[int]
) -> dict[int, Reading]:
    tries = [(index, crop) for index in doubtful for crop in _other_crops(scan, scan.quads[index], readings[index])]
    again: dict[int, list[Reading]] = {index: [] for index in doubtful}
    for (index, _), reading in zip(tries, recogniser.recognise([crop for _, crop in tries]), strict=True):
        again[index].append(reading)
    return {index: better(readings[index], others) for index, others in again.items()}


def better(first: Reading, others: Sequence[Reading]) -> Reading:
    """The reading to believe: another one only where it scores clearly better.

    Its text must not have shrunk, since the easiest way to score is to read less; and a text of one or two characters,
    which is as often an icon as a letter, must have been read twice.
    """
    texts = [first.text, *(reading.text for reading in others)]
    believed = [
        reading
        for reading in others
        if reading.score >= first.score + _GAIN
        and (len(reading.text) > _SHORT or texts.count(reading.text) > 1)
        and (len(reading.text) >= 0.75 * len(first.text) or first.score < _BELIEVED)
    ]
    return max(believed, key=lambda reading: reading.score, default=first)


def _other_crops(scan: Scan, quad: np.ndarray, reading: Reading) -> list[np.ndarray]:
    """The line with a margin (cut tops and tails), with less of one (neighbours), faint ink made dark, turned round."""
    padded = scan.crop(grow(quad, 0.15))
    crops = [padded, scan.crop(grow(quad, -0.1))]
    faint = _stretched(padded)
    if faint is not None:
        crops.append(faint)
    # Text running up the page, as beside a chart's axis, or a line upside down on an upright page.
    if is_tall(quad) or (reading.score < 0.75 and len(reading.text) >= 4):
        crops.append(np.ascontiguousarray(np.rot90(scan.crop(quad), 2)))
    return crops


def _stretched(crop: np.ndarray) -> np.ndarray | None:
    low, high = np.percentile(crop[::2, ::2], (1, 99))
    if high - low >= _FAINT or high - low < 2:
        return None
    return np.clip((crop.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
