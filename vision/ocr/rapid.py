"""PP-OCR's detector and recogniser as RapidOCR's wheel ships them: the only module that imports rapidocr.

RapidOCR's own call shrinks the picture, crops from the shrunk copy and leaves no room to look at the boxes before the
lines are recognised, so its two stages are driven here one by one. Its line-orientation classifier is never loaded: it
turns long English lines upside down (17 % of the characters wrong instead of 0).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.errors import EngineUnavailable

_MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
_LINE_HEIGHT = 48  # the recogniser's input height in pixels
_STRIDE = 32  # the detector wants multiples of this
_BATCH = 6
_MAX_LINE_RATIO = 80.0  # width : height; a longer line would ask for gigabytes, and no text is that long


@dataclass(frozen=True)
class Word:
    """A word of a line; start and end are fractions of the line's length."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Reading:
    """What the recogniser made of one crop; score is the mean over the characters, 0 … 1."""

    text: str
    score: float
    words: tuple[Word, ...] = ()


class RapidEngine:
    """Detector and recogniser with the picture in BGR, which is what their training pictures were read as."""

    def __init__(self, threads: int | None = None) -> None:
        """Load both models (about 0.8 s). threads: per model run; None lets ONNX Runtime take every core.

        Raises EngineUnavailable when rapidocr or its model files are missing or do not load.
        """
        try:
            import onnxruntime
            import rapidocr
            from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError
        except ImportError as error:
            raise EngineUnavailable("The text reader is not installed.", "Install rapidocr and onnxruntime.") from error
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        onnxruntime.set_default_logger_severity(4)
        self._run_error: type[Exception] = ONNXRuntimeError
        self._detector, self._recogniser = _load(rapidocr, threads)

    def detect(self, bgr: np.ndarray) -> np.ndarray:
        """Quadrilaterals (n, 4, 2) float32, corners clockwise from the top left, in pixels of bgr (h, w, 3) uint8.

        The picture is looked at in its own size, rounded to what the network takes; scaling is the caller's decision.
        """
        height, width = bgr.shape[:2]
        size = (max(_STRIDE, round(width / _STRIDE) * _STRIDE), max(_STRIDE, round(height / _STRIDE) * _STRIDE))
        fitted = bgr if size == (width, height) else cv2.resize(bgr, size)
        # One pass in float32; RapidOCR's own preparation goes through float64 and costs four times as much.
        blob = cv2.dnn.blobFromImage(fitted, 1 / 127.5, size, (127.5, 127.5, 127.5))
        quads, _ = self._detector.postprocess_op(self._run(self._detector.session, blob), (height, width))
        if len(quads) == 0:
            return np.zeros((0, 4, 2), dtype=np.float32)
        return np.asarray(quads, dtype=np.float32)

    def recognise(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """Read crops (h, w, 3) uint8 BGR of one line each, in any sizes; the answers keep the order of the crops."""
        readings = [Reading("", 0.0)] * len(crops)
        ratios = [min(_MAX_LINE_RATIO, crop.shape[1] / crop.shape[0]) for crop in crops]
        order = sorted(range(len(crops)), key=ratios.__getitem__)  # similar widths together: less padding
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            widest = max(320 / _LINE_HEIGHT, ratios[batch[-1]])
            blob = np.stack([_line_blob(crops[index], ratios[index], widest) for index in batch])
            scores = self._run(self._recogniser.session, blob)
            lines, words = self._recogniser.postprocess_op(
                scores, True, wh_ratio_list=[ratios[index] for index in batch], max_wh_ratio=widest
            )
            for index, (text, score), info in zip(batch, lines, words, strict=True):
                readings[index] = Reading(text.strip(), float(score), _words(info))
        return readings

    def _run(self, session: Any, blob: np.ndarray) -> np.ndarray:
        try:
            return session(blob)
        except self._run_error as error:
            raise EngineUnavailable(
                "The text reader ran out of memory or failed.", "Try a smaller region or picture."
            ) from error


def _load(rapidocr: Any, threads: int | None) -> tuple[Any, Any]:
    folder = Path(rapidocr.__file__).parent / "models"
    params: dict[str, Any] = {
        "Global.use_cls": False,
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": -1 if threads is None else threads,
    }
    for stage, name in _MODELS.items():
        path = folder / name
        if not path.is_file():  # without a path RapidOCR would fetch it from the network
            raise EngineUnavailable(f"The text reader's model {name} is missing.", "Reinstall rapidocr 3.10 or later.")
        params[f"{stage}.model_path"] = str(path)
    engine = rapidocr.RapidOCR(params=params)
    # RapidOCR loads each stage at its first use and offers no public way to ask for one.
    return engine._load_det_model(), engine._load_rec_model()


def _line_blob(crop: np.ndarray, ratio: float, widest: float) -> np.ndarray:
    """A crop as (3, 48, 48 × widest) float32 in -1 … 1, zeros to its right."""
    full = int(_LINE_HEIGHT * widest)
    width = max(1, min(full, int(np.ceil(_LINE_HEIGHT * ratio))))
    resized = cv2.resize(crop, (width, _LINE_HEIGHT))
    blob = np.zeros((3, _LINE_HEIGHT, full), dtype=np.float32)
    blob[:, :, :width] = resized.transpose(2, 0, 1)
    blob[:, :, :width] /= 127.5
    blob[:, :, :width] -= 1.0
    return blob


def _words(info: Any) -> tuple[Word, ...]:
    """RapidOCR's words carry the recogniser's time step of every character; the line is line_txt_len steps long."""
    if not info.words or info.line_txt_len <= 0:
        return ()
    length = float(info.line_txt_len)
    found = []
    for chars, steps in zip(info.words, info.word_cols, strict=True):
        start, end = max(0.0, (steps[0] - 0.5) / length), min(1.0, (steps[-1] + 1.5) / length)
        found.append(Word("".join(chars), min(start, end), end))
    return tuple(found)
