"""What every tool's result has, and how the shared parts are filled in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vision.types import Box, Frozen


class EngineUsed(Frozen):
    """Which engine worked, and why it was chosen."""

    name: str = Field(description="ocr (embedded), internvl, or remote: another model on somebody's server")
    variant: str | None = None
    revision: str | None = None
    quantisation: str | None = None
    reason: str


class SourceFacts(Frozen):
    """What the source is."""

    name: str
    sha256: str
    kind: str = Field(description="image, document or video")
    format: str
    width: float | None = Field(default=None, description="pixels; points for a document's first page")
    height: float | None = None
    pages: int | None = None
    duration_s: float | None = None


class Used(Frozen):
    """What of the source was really looked at."""

    pages: tuple[int, ...] = ()
    tiles: int | None = Field(default=None, description="tiles of 448 pixels that the model looked at")
    frames_s: tuple[float, ...] = Field(default=(), description="timestamps of the frames looked at, in seconds")
    region: Box | None = None
    downscaled: float | None = Field(default=None, description="factor below 1 by which pictures were made smaller")


class Evidence(Frozen):
    """Text seen in the source that supports the answer."""

    text: str
    box: Box | None = None
    page: int | None = None
    time_s: float | None = None


class ToolResult(Frozen):
    """The part that all results share. `answer` is null where the engine cannot honestly give one."""

    answer: str | None = None
    engine: EngineUsed
    sources: tuple[SourceFacts, ...] = ()
    used: Used = Used()
    evidence: tuple[Evidence, ...] = ()
    unsupported: tuple[str, ...] = Field(default=(), description="parts of the answer that nothing seen supports")
    truncated: bool = False
    next_cursor: str | None = Field(default=None, description="pass as `cursor` for the rest")
    conversation_id: str | None = None
    notices: tuple[str, ...] = Field(default=(), description="what the reader should know: limits, fallbacks, advice")
    timings_ms: dict[str, int] = Field(default={})


class JobProgress(Frozen):
    """How far a call's work is, in steps of its own; `total` is null where it cannot be known."""

    done: float = 0.0
    total: float | None = None
    message: str = "working"


class Underway(Frozen):
    """The reply of any tool whose work is not done when the reply is due: it goes on, and get_result fetches it."""

    answer: None = None
    job_id: str = Field(description="pass to get_result for the result")
    state: Literal["working", "cancelled"] = Field(description="cancelled: there will be no result")
    progress: JobProgress
    notices: tuple[str, ...]
