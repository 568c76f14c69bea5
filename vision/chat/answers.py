"""The answer on the wire: events as chat.completion chunks of a server-sent event stream, and back.

Stages travel as comments of the stream, which every OpenAI client skips. What OpenAI has no field for stands under the
key `internvl` of the last chunk; answers of other servers lack it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vision.chat.faults import error_from_payload
from vision.chat.types import ChatEvent, Delta, Finished, Stage, Usage
from vision.errors import ModelFailed, VisionError

_STAGE = ": internvl "
# What a line of a server-sent event stream begins with.
_FIELDS = (":", "event:", "id:", "retry:")
KEEP_ALIVE = b": waiting\n\n"
END = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class AnswerWriter:
    """Writes one answer. `answer_id` and `model` are repeated in every chunk."""

    answer_id: str
    model: str
    include_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def stage(self, stage: Stage) -> bytes:
        return f"{_STAGE}{stage.model_dump_json()}\n\n".encode()

    def start(self) -> bytes:
        """The chunk before the first text, as OpenAI sends it."""
        return self._chunk([_choice({"role": "assistant", "content": ""})])

    def delta(self, delta: Delta) -> bytes:
        return self._chunk([_choice({"content": delta.text})])

    def finished(self, finished: Finished) -> bytes:
        last = self._chunk([_choice({}, _finish_reason(finished))], internvl=_extras(finished))
        usage = self._chunk([], usage=_usage(finished.usage)) if self.include_usage else b""
        return last + usage + END

    def error(self, payload: dict[str, Any]) -> bytes:
        return _event(payload) + END

    def completion(self, text: str, finished: Finished, stages: list[Stage]) -> dict[str, Any]:
        """The whole answer for a client that did not ask for a stream; `stages` as they last stood."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": _finish_reason(finished),
        }
        extras = {"stages": [stage.model_dump() for stage in stages], **_extras(finished)}
        return self._base("chat.completion") | {
            "choices": [choice],
            "usage": _usage(finished.usage),
            "internvl": extras,
        }

    def _base(self, kind: str) -> dict[str, Any]:
        return {"id": self.answer_id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _event(self._base("chat.completion.chunk") | {"choices": choices} | more)


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _finish_reason(finished: Finished) -> str:
    # OpenAI has no word for repetition; "length" too tells that the answer was cut off.
    return "stop" if finished.reason == "stop" else "length"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _extras(finished: Finished) -> dict[str, Any]:
    usage = finished.usage
    return {
        "tiles": usage.tiles,
        "cached_tiles": usage.cached_tiles,
        "first_token_s": usage.first_token_s,
        "repetition": finished.reason == "repetition",
    }


class _Loose(BaseModel):
    """Other servers add fields of their own and leave others out, or null."""

    model_config = ConfigDict(extra="ignore")


class _CachedTokens(_Loose):
    cached_tokens: int | None = None


class _UsageChunk(_Loose):
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _CachedTokens | None = None


class _DeltaChunk(_Loose):
    content: str | None = None


class _ChoiceChunk(_Loose):
    delta: _DeltaChunk = _DeltaChunk()
    finish_reason: str | None = None


class _Extras(_Loose):
    tiles: int = 0
    cached_tiles: int = 0
    first_token_s: float | None = None
    repetition: bool = False


class _Chunk(_Loose):
    choices: list[_ChoiceChunk] = []
    usage: _UsageChunk | None = None
    internvl: _Extras | None = None
    error: dict[str, Any] | str | None = None


class AnswerReader:
    """Reads one streamed answer line by line; `finished` is there once the answer is complete."""

    def __init__(self) -> None:
        self._reason: Literal["stop", "length"] | None = None
        self._usage = _UsageChunk()
        self._extras = _Extras()
        self._foreign = False
        self.ended = False

    def line(self, line: bytes) -> ChatEvent | None:
        """The event of one line, None where it holds none. Raises what the server reports, ModelFailed for garbage."""
        try:
            text = line.decode()
            if text.startswith(_STAGE):
                return Stage.model_validate_json(text.removeprefix(_STAGE))
            if not text.startswith("data:"):
                self._foreign |= bool(text.strip()) and not text.startswith(_FIELDS)
                return None
            data = text.removeprefix("data:").strip()
            if data == "[DONE]":
                self.ended = True
                return None
            return self._take(_Chunk.model_validate_json(data))
        except (UnicodeDecodeError, ValidationError) as e:
            raise not_a_stream() from e

    def _take(self, chunk: _Chunk) -> Delta | None:
        if chunk.error is not None:
            raise error_from_payload({"error": chunk.error}, 500)
        self._usage = chunk.usage or self._usage
        self._extras = chunk.internvl or self._extras
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        if choice.finish_reason is not None:
            self._reason = "length" if choice.finish_reason == "length" else "stop"
        return Delta(text=choice.delta.content) if choice.delta.content else None

    def finished(self) -> Finished:
        """The end of the answer. Raises ModelFailed when the stream ended before the answer did."""
        if self._reason is None:
            raise not_a_stream() if self._foreign else cut_off()
        usage, details, extras = self._usage, self._usage.prompt_tokens_details, self._extras
        return Finished(
            reason="repetition" if extras.repetition else self._reason,
            usage=Usage(
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=(details and details.cached_tokens) or 0,
                completion_tokens=usage.completion_tokens or 0,
                tiles=extras.tiles,
                cached_tiles=extras.cached_tiles,
                first_token_s=extras.first_token_s,
            ),
        )


def not_a_stream() -> VisionError:
    return ModelFailed(
        "the model's server sent something that is no chat-completions stream",
        "Check that the address is that of an OpenAI-compatible server (it usually ends in /v1).",
    )


def cut_off() -> VisionError:
    return ModelFailed("the model's server broke off in the middle of its answer", "Call again; see the server's log.")
