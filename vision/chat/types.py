"""What is asked of a model and what comes back, whoever runs it.

A prompt is a list of messages; a user message is a list of texts and pictures in the order in which the model shall see
them. Pictures are encoded files (PNG), so that they cross without loss.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vision.types import Box, Frozen


class TextPart(Frozen):
    kind: Literal["text"] = "text"
    text: str


class Origin(Frozen):
    """Where a picture was taken from, so that it can be taken again: `source` as the client named it, while its content
    has this `sha256`. `page` counts from 1, `region` is in pixels of the original, `time_s` a frame's in a video.
    """

    source: str = Field(repr=False)
    sha256: str
    page: int = 1
    region: Box | None = None
    time_s: float | None = None


class ImagePart(Frozen):
    """An encoded picture; `media_type` as in a data URI. `origin` stays in this process, it is never sent: None where
    the picture cannot be taken again. With an origin, `data` may be empty: it is to be taken before it is sent.
    """

    kind: Literal["image"] = "image"
    data: bytes = Field(repr=False)
    media_type: str = "image/png"
    origin: Origin | None = Field(default=None, exclude=True, repr=False)


class Message(Frozen):
    role: Literal["system", "user", "assistant"]
    parts: tuple[TextPart | ImagePart, ...]


class Ask(Frozen):
    """One question to a model. Temperature 0 is greedy; `max_tiles` holds for each picture of the prompt.

    `json_schema`: the answer shall be JSON that is valid under it, where the server can see to that.
    """

    messages: tuple[Message, ...]
    max_tokens: int = Field(default=1024, ge=1)
    max_tiles: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, description="0: all tokens")
    seed: int | None = None
    json_schema: dict[str, Any] | None = None


class Usage(Frozen):
    """Tokens of the prompt, those of them whose KV was already there, tokens of the answer; tiles looked at, and those
    whose features were already there; seconds until the first token.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    tiles: int = 0
    cached_tiles: int = 0
    first_token_s: float | None = None


class Stage(Frozen):
    """How far the work is before its first token: `done` of `total` steps of loading, seeing or prefill.

    `starting`: a server of others is being started, for `done` seconds so far; `total` is 0, as it does not tell.
    """

    name: Literal["queued", "starting", "loading", "seeing", "prefill"]
    done: int
    total: int


class Delta(Frozen):
    """More text of the answer."""

    text: str


class Finished(Frozen):
    """The answer is complete. `repetition`: it was stopped because it repeated itself."""

    reason: Literal["stop", "length", "repetition"]
    usage: Usage


ChatEvent = Stage | Delta | Finished
