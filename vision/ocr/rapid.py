"""PP-OCR's detector and recogniser as RapidOCR's wheel ships them: the only module that imports rapidocr.

RapidOCR's own call shrinks the picture, crops from the shrunk copy and leaves no room to look at the boxes before the
lines are recognised, so its two models are run here one by one, and only its decoding of their outputs is used. Its
line-orientation classifier is never loaded: it turns long English lines upside down (17 % of the characters wrong
instead of 0).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.errors import EngineUnavailable

_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LINE_HEIGHT = 48  # the recogniser's input height in pixels
_NARROWEST = 320 / _LINE_HEIGHT  # width : height that narrower lines are padded to
_STRIDE = 32  # the detector wants multiples of this
_BATCH = 6
_BATCH_RATIO = 120.0  # width : height of all lines of a batch; the memory of a run grows with it (150 MB at this one)
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
            from rapidocr.ch_ppocr_det.utils import DBPostProcess
            from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode

            states: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        except ImportError as error:
            raise EngineUnavailable("The text reader is not installed.", "Install rapidocr and onnxruntime.") from error
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
        onnxruntime.set_default_logger_severity(4)
        self._run_errors: tuple[type[Exception], ...] = (
            states.Fail,
            states.RuntimeException,
            states.InvalidArgument,
            states.InvalidProtobuf,
        )
        folder = Path(rapidocr.__file__).parent / "models"
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        options = _options(onnxruntime, threads)
        self._detector = _session(onnxruntime, folder / _DETECTOR, options, self._run_errors)
        self._recogniser = _session(onnxruntime, folder / _RECOGNISER, options, self._run_errors)
        # The thresholds of RapidOCR's own configuration.
        self._boxes = DBPostProcess(thresh=0.3, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)
        alphabet = self._recogniser.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._letters: Any = CTCLabelDecode(alphabet)

    def detect(self, bgr: np.ndarray) -> np.ndarray:
        """Quadrilaterals (n, 4, 2) float32, corners clockwise from the top left, in pixels of bgr (h, w, 3) uint8.

        The picture is looked at in its own size, rounded to what the network takes; scaling is the caller's decision.
        """
        height, width = bgr.shape[:2]
        size = (max(_STRIDE, round(width / _STRIDE) * _STRIDE), max(_STRIDE, round(height / _STRIDE) * _STRIDE))
        fitted = bgr if size == (width, height) else cv2.resize(bgr, size)
        # One pass in float32; RapidOCR's own preparation goes through float64 and costs four times as much.
        blob = cv2.dnn.blobFromImage(fitted, 1 / 127.5, size, (127.5, 127.5, 127.5))
        quads, _ = self._boxes(self._run(self._detector, blob), (height, width))
        if len(quads) == 0:
            return np.zeros((0, 4, 2), dtype=np.float32)
        return np.asarray(quads, dtype=np.float32)

    def recognise(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """Read crops (h, w, 3) uint8 BGR of one line each, in any sizes; the answers keep the order of the crops."""
        readings = [Reading("", 0.0)] * len(crops)
        ratios = [min(_MAX_LINE_RATIO, crop.shape[1] / crop.shape[0]) for crop in crops]
        for batch in _batches(ratios):
            widest = max(_NARROWEST, ratios[batch[-1]])
            blob = np.stack([_line_blob(crops[index], ratios[index], widest) for index in batch])
            steps = self._run(self._recogniser, blob)
            best = steps.argmax(axis=2)
            lines, words = self._letters.decode(
                best,
                np.take_along_axis(steps, best[..., None], axis=2)[..., 0],
                return_word_box=True,
                wh_ratio_list=[ratios[index] for index in batch],
                max_wh_ratio=widest,
                remove_duplicate=True,
            )
            for index, (text, score), info in zip(batch, lines, words, strict=True):
                readings[index] = Reading(text.strip(), float(score), _words(info))
        return readings

    def _run(self, session: Any, blob: np.ndarray) -> np.ndarray:
        try:
            return session.run(None, {session.get_inputs()[0].name: blob}, self._shrinking)[0]
        except self._run_errors as error:
            raise EngineUnavailable(
                "The text reader ran out of memory or failed.", "Try a smaller region or picture."
            ) from error


def _options(onnxruntime: Any, threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Memory comes from an arena that gives it back after each run (`_run`): without one, every run of a new shape, and
    # all batches of lines differ in theirs, spends as long on fresh pages of memory as on its sums. Patterns, which
    # plan memory by shape, made the peak higher and nothing faster.
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Waiting threads sleep: spinning gains nothing measurable alone, and costs a third more CPU beside other work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _session(onnxruntime: Any, path: Path, options: Any, errors: tuple[type[Exception], ...]) -> Any:
    if not path.is_file():
        raise EngineUnavailable(f"The text reader's model {path.name} is missing.", "Reinstall rapidocr 3.10 or later.")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except errors as error:
        raise EngineUnavailable(
            f"The text reader's model {path.name} does not load.", "Reinstall rapidocr 3.10 or later."
        ) from error


def _batches(ratios: list[float]) -> Iterator[list[int]]:
    """Indices by width, since similar widths together need less padding; wide lines in smaller batches."""
    batch: list[int] = []
    for index in sorted(range(len(ratios)), key=ratios.__getitem__):
        if batch and (len(batch) == _BATCH or max(_NARROWEST, ratios[index]) * (len(batch) + 1) > _BATCH_RATIO):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


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
