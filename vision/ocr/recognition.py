"""From found lines to read lines: recognise each once, the doubtful ones again another way, and keep what is text."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vision.ocr.belief import SHORT, believed, company, length, needs_witness, voted
from vision.ocr.lines import Line, grow, is_tall, quad_size, upright_crop
from vision.ocr.rapid import Reading
from vision.ocr.rotation import Recogniser
from vision.ocr.scan import Scan

_DOUBTFUL = 0.9  # a mean score below this is worth a second try
_GIVEN_UP = 0.5  # below this a first reading may be replaced by a shorter one
_MOST_AGAIN = 12  # lines read again on a page; with three or four tries each about 0.5 s
_GAIN = 0.1  # by how much a second reading must score better to be preferred
_FAINT = 60  # grey levels between ink and paper below which contrast is stretched
_STROKE = 2.5  # height : width up to which a tall box may hold one narrow character


def recognise(recogniser: Recogniser, scan: Scan, known: dict[int, Reading]) -> list[Line]:
    """Read the lines of scan; known holds the readings that are there already, by index into scan.quads."""
    quads = scan.quads
    rest = [index for index in range(len(quads)) if index not in known]
    read = dict(zip(rest, recogniser.recognise([scan.crop(quads[index]) for index in rest]), strict=True)) | known
    readings = [read[index] for index in range(len(quads))]
    known_text = company(quads, readings)
    alone = [not known_text.near(quad) for quad in quads]
    doubtful = [i for i, r in enumerate(readings) if r.score < _DOUBTFUL or needs_witness(r, alone[i])]
    doubtful.sort(key=lambda index: -cv2.contourArea(quads[index]))
    for index, reading in _read_again(recogniser, scan, readings, alone, doubtful[:_MOST_AGAIN]).items():
        readings[index] = reading
    for index in doubtful[_MOST_AGAIN:]:
        if needs_witness(readings[index], alone[index]):
            readings[index] = voted([readings[index]])
    known_text = company(quads, readings)
    lines = [Line(quad, reading) for quad, reading in zip(quads, readings, strict=True)]
    return [line for line in lines if believed(line.quad, line.reading, not known_text.near(line.quad), scan)]


def _read_again(
    recogniser: Recogniser, scan: Scan, readings: Sequence[Reading], alone: Sequence[bool], doubtful: Sequence[int]
) -> dict[int, Reading]:
    tries = [(index, crop) for index in doubtful for crop in _other_crops(scan, scan.quads[index], readings[index])]
    again: dict[int, list[Reading]] = {index: [] for index in doubtful}
    for (index, _), reading in zip(tries, recogniser.recognise([crop for _, crop in tries]), strict=True):
        again[index].append(reading)
    return {index: _settled(readings[index], others, alone[index]) for index, others in again.items()}


def _settled(first: Reading, others: Sequence[Reading], lone: bool) -> Reading:
    if length(first.text) <= SHORT or needs_witness(first, lone):
        return voted([first, *others])
    return better(first, others)


def better(first: Reading, others: Sequence[Reading]) -> Reading:
    """The reading of a line of several characters to believe: another one only where it scores clearly better.

    Its text must not have shrunk, since the easiest way to score is to read less.
    """
    clearly = [
        reading
        for reading in others
        if reading.score >= first.score + _GAIN
        and length(reading.text) > SHORT
        and (len(reading.text) >= 0.75 * len(first.text) or first.score < _GIVEN_UP)
    ]
    return max(clearly, key=lambda reading: reading.score, default=first)


def _other_crops(scan: Scan, quad: np.ndarray, reading: Reading) -> list[np.ndarray]:
    """The line with a margin (cut tops and tails), with less of one (neighbours), faint ink made dark, turned round."""
    padded = scan.crop(grow(quad, 0.15))
    crops = [padded, scan.crop(grow(quad, -0.1))]
    faint = _stretched(padded)
    if faint is not None:
        crops.append(faint)
    if length(reading.text) <= SHORT:
        crops.append(scan.crop(grow(quad, 0.3)))
        width, height = quad_size(quad)
        if is_tall(quad) and height <= _STROKE * width:
            crops += [upright_crop(scan.bgr, grow(quad, share)) for share in (0.05, 0.2)]
    # Text running up the page, as beside a chart's axis, or a line upside down on an upright page.
    if is_tall(quad) or (reading.score < 0.75 and len(reading.text) >= 4):
        crops.append(np.ascontiguousarray(np.rot90(scan.crop(quad), 2)))
    return crops


def _stretched(crop: np.ndarray) -> np.ndarray | None:
    low, high = np.percentile(crop[::2, ::2], (1, 99))
    if high - low >= _FAINT or high - low < 2:
        return None
    return np.clip((crop.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
