"""Errors on the wire: OpenAI's `{"error": {message, type, code}}` with our hint beside them, and back."""

from __future__ import annotations

from typing import Any

from vision.errors import (
    BY_CODE,
    AccessDenied,
    Busy,
    DamagedMedia,
    EngineUnavailable,
    InvalidArgument,
    LimitExceeded,
    ModelFailed,
    ModelLoading,
    OutOfMemory,
    UnknownVariant,
    UnsupportedMedia,
    VisionError,
)

_STATUS: dict[type[VisionError], int] = {
    InvalidArgument: 400,
    DamagedMedia: 400,
    AccessDenied: 401,
    UnknownVariant: 404,
    LimitExceeded: 413,
    UnsupportedMedia: 415,
    Busy: 429,
    EngineUnavailable: 503,
    ModelLoading: 503,
    OutOfMemory: 503,
}
_MAX_QUOTED = 500


class HttpRefusal(Exception):
    """A status other than 200: the cause of the error that is made of it, for those who decide whether to ask again.

    `message`: what the server said. `retry_after_s`: how long it wants to be left alone, where it told.
    """

    def __init__(self, status: int, message: str, retry_after_s: float | None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


def status_of(error: VisionError) -> int:
    """The HTTP status for an error: 4xx where another request would help."""
    return _STATUS.get(type(error), 500)


def payload_of(error: VisionError) -> dict[str, Any]:
    status = status_of(error)
    kind = "authentication_error" if status == 401 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": error.message, "type": kind, "code": error.code, "hint": error.hint}}


def error_from_payload(payload: Any, status: int) -> VisionError:
    """The error that a server reports: ours with its own class and hint, another server's by its HTTP status."""
    found = _reported(payload)
    message = message_of(payload) or f"HTTP {status}"
    code, hint = found.get("code"), found.get("hint")
    if isinstance(code, str) and code in BY_CODE and isinstance(hint, str):
        return BY_CODE[code](message, hint)
    return error_from_status(status, message)


def message_of(payload: Any) -> str:
    """What a server says about an error; empty where it says nothing."""
    found = _reported(payload)
    return str(found.get("message") or found.get("detail") or "")[:_MAX_QUOTED]


def _reported(payload: Any) -> dict[str, Any]:
    found = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(found, str):
        return {"message": found}
    if isinstance(found, dict):
        return found
    # Older vLLM sends the object itself, FastAPI a "detail".
    return payload if isinstance(payload, dict) else {}


def error_from_status(status: int, message: str) -> VisionError:
    """What an HTTP status of an OpenAI-compatible server means; `message` is what it said about it."""
    said = f"the model's server refused the question (HTTP {status}): {message}"
    if status in (401, 403):
        return AccessDenied(said, "Check the key for this server.")
    if status == 404:
        return EngineUnavailable(said, "Check the server's address (it usually ends in /v1) and the model's name.")
    if status == 413:
        return LimitExceeded(said, "Ask about fewer or smaller pictures.")
    if status in (400, 415, 422):
        return InvalidArgument(said, "Change the question: fewer pictures or tiles, or what the message names.")
    if status == 429:
        return Busy(said, "Try again a little later.")
    if status == 503:
        return ModelLoading(said, "Try again a little later: the server starts, loads its model or is full.")
    if status in (301, 302, 303, 307, 308):
        return EngineUnavailable(
            f"the model's server sends to another address (HTTP {status}), which is not followed: {message}",
            "Give the final address: http:// or https://, with the path it serves the API under (usually /v1).",
        )
    return ModelFailed(f"the model's server failed (HTTP {status}): {message}", "Call again; see the server's log.")
