"""What a server's refusal teaches about its limits.

Sources of the wording: vLLM's renderers/params.py and multimodal/processing/context.py, SGLang's tokenizer_manager.py,
LMDeploy's serve/core/exceptions.py, llama.cpp's tools/server ("exceeds the available context size"), pydantic's and
transformers serve's words for a field they do not know.
"""

from __future__ import annotations

import math
import re

from vision.chat.client import NoServer
from vision.chat.faults import HttpRefusal
from vision.errors import ConfigError, LimitExceeded, OutOfMemory, VisionError
from vision.remote.capabilities import Capabilities

_PICTURES = re.compile(r"at most (\d+) image", re.IGNORECASE)
_CONTEXT = re.compile(r"context (?:length|size|window)|exceed_context_size|maximum model length", re.IGNORECASE)
# The limit in such a message: the number behind "context length (is|of)", or in parentheses behind it.
_LENGTH = re.compile(r"context (?:length|size|window)(?: is| of)?\s*\(?(\d{3,7})", re.IGNORECASE)
_UNKNOWN_FIELD = re.compile(
    r"extra|unexpected|unknown|unrecogni[sz]ed|unsupported|disabled|not (?:supported|permitted|allowed)"
)
# Before the second time; it doubles with each.
_WAIT_S = 0.25
# An answer of one token in a prompt of one picture needs more; whatever is smaller is another number of the message.
_LEAST_CONTEXT = 512


class PromptTooLong(LimitExceeded):
    """The question has more tokens or pictures than the server takes; a lighter one may pass.

    `max_pictures`: how many it takes, where that is what was too many.
    """

    def __init__(self, message: str, hint: str, max_pictures: int | None = None) -> None:
        super().__init__(message, hint)
        self.max_pictures = max_pictures


class OtherModel(ConfigError):
    """This server serves another model than the one that results name: it is not asked."""


def learnt(known: Capabilities, error: VisionError) -> Capabilities:
    """`known` with what this refusal says of the server; the same where it says nothing new."""
    refusal = error.__cause__
    if not isinstance(refusal, HttpRefusal) or refusal.status not in (400, 413, 422, 500):
        return known
    said = refusal.message
    if found := _PICTURES.search(said):
        return known.model_copy(update={"max_pictures": int(found[1])})
    if _CONTEXT.search(said):
        length = _LENGTH.search(said)
        context = int(length[1]) if length else 0
        return known.model_copy(update={"context": context}) if context >= _LEAST_CONTEXT else known
    if refusal.status != 500 and _UNKNOWN_FIELD.search(said.lower()):
        return _without_field(known, said)
    return known


def _without_field(known: Capabilities, said: str) -> Capabilities:
    if known.tiles is not None and known.tiles.partition(".")[0] in said:
        return known.model_copy(update={"tiles": None, "fit": "grid" if known.internvl else "area"})
    if "top_k" in said and known.top_k:
        return known.model_copy(update={"top_k": False})
    if "stream_options" in said and known.usage:
        return known.model_copy(update={"usage": False})
    if "response_format" in said and known.json_schema is not False:
        return known.model_copy(update={"json_schema": False})
    return known


def asks_again_in_s(error: VisionError, number: int) -> float | None:
    """After which time the server may be asked again, for the time `number` (from 1) that it failed; None where that is
    not safe, as it may have begun to work. Infinite where only another server may be asked.
    """
    refusal = error.__cause__
    if isinstance(error, OtherModel):
        return math.inf
    if isinstance(error, NoServer):
        return _WAIT_S * 2.0 ** (number - 1)
    if not isinstance(refusal, HttpRefusal) or isinstance(error, OutOfMemory):
        return None
    if refusal.status not in (429, 502, 503, 504):
        return None
    if refusal.retry_after_s is not None:
        return refusal.retry_after_s
    return math.inf if refusal.status == 429 else _WAIT_S * 2.0 ** (number - 1)


def too_many_pictures(most: int) -> PromptTooLong:
    """The error for a question with more than `most` pictures."""
    if most == 0:
        return PromptTooLong(
            "the model's server takes no pictures",
            "Serve an InternVL there, or name another model (endpoint_model).",
            0,
        )
    return PromptTooLong(
        f"the model's server takes at most {most} pictures in a question",
        "Ask about fewer pictures at a time, or have the server allow more (vLLM: --limit-mm-per-prompt).",
        most,
    )


def too_long(error: VisionError) -> PromptTooLong | None:
    """The refusal as one that a lighter question may escape; None where it is about something else."""
    refusal = error.__cause__
    if not isinstance(refusal, HttpRefusal) or refusal.status not in (400, 413, 422, 500):
        return None
    if found := _PICTURES.search(refusal.message):
        return too_many_pictures(int(found[1]))
    if refusal.status == 413 or _CONTEXT.search(refusal.message):
        return PromptTooLong(
            f"the question is longer than the model's server takes: {refusal.message}",
            "Ask about fewer pictures or pages, or have the server allow a longer context.",
        )
    return None
