"""The one error tree. Whatever goes wrong reaches the client as code, message and hint.

VisionError
├── InvalidArgument      invalid_argument     a parameter that cannot be meant
├── ConfigError          invalid_setting      a flag, environment variable or TOML key
├── AccessDenied         access_denied        the access policy refuses the source
├── SourceNotFound       source_not_found     no such file, page or address
├── SourceUnreadable     source_unreadable    it is there, but reading or fetching it failed
├── UnsupportedMedia     unsupported_media    the content is of no kind that can be read
├── DamagedMedia         damaged_media        the decoder gave up on the content
├── PasswordRequired     password_required    encrypted, and no password came
├── WrongPassword        wrong_password       encrypted, and the password does not open it
├── LimitExceeded        limit_exceeded       bytes, pixels, pages, memory or time over the limit
├── EngineUnavailable    engine_unavailable   what was asked needs an engine that is not here
├── Busy                 busy                 too many calls at once; the same call may work a little later
└── WorkerFailed         worker_failed        a decoder process ended unexpectedly

Third-party exceptions are mapped where the library is called; the original stays as __cause__ for the log.
"""

from __future__ import annotations

from typing import ClassVar


class VisionError(Exception):
    """Something a client should read: `code` is stable, `hint` says what to do next."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidArgument(VisionError):
    code = "invalid_argument"


class ConfigError(VisionError):
    code = "invalid_setting"


class AccessDenied(VisionError):
    code = "access_denied"


class SourceNotFound(VisionError):
    code = "source_not_found"


class SourceUnreadable(VisionError):
    code = "source_unreadable"


class UnsupportedMedia(VisionError):
    code = "unsupported_media"


class DamagedMedia(VisionError):
    code = "damaged_media"


class PasswordRequired(VisionError):
    code = "password_required"


class WrongPassword(VisionError):
    code = "wrong_password"


class LimitExceeded(VisionError):
    code = "limit_exceeded"


class EngineUnavailable(VisionError):
    code = "engine_unavailable"


class Busy(VisionError):
    code = "busy"


class WorkerFailed(VisionError):
    code = "worker_failed"


BY_CODE: dict[str, type[VisionError]] = {
    cls.code: cls
    for cls in (
        InvalidArgument,
        ConfigError,
        AccessDenied,
        SourceNotFound,
        SourceUnreadable,
        UnsupportedMedia,
        DamagedMedia,
        PasswordRequired,
        WrongPassword,
        LimitExceeded,
        EngineUnavailable,
        Busy,
        WorkerFailed,
    )
}
