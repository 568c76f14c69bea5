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
├── UnknownVariant       unknown_variant      no such model in the catalogue, and no such folder
├── WeightsUnusable      weights_unusable     a checkpoint that is absent, incomplete, damaged or of another kind
├── StoreFailed          store_failed         what outlives a call cannot be written or read
├── DownloadFailed       download_failed      weights could not be fetched or stored
├── OutOfMemory          out_of_memory        the model, or this question to it, needs more memory than is free
├── ModelLoading         model_loading        the model is still being loaded; the same call works a little later
├── ModelFailed          model_failed         the model's process or server ended or broke while it worked
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


class UnknownVariant(VisionError):
    code = "unknown_variant"


class WeightsUnusable(VisionError):
    code = "weights_unusable"


class StoreFailed(VisionError):
    code = "store_failed"


class DownloadFailed(VisionError):
    code = "download_failed"


class OutOfMemory(VisionError):
    code = "out_of_memory"


class ModelLoading(VisionError):
    code = "model_loading"


class ModelFailed(VisionError):
    code = "model_failed"


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
        UnknownVariant,
        WeightsUnusable,
        StoreFailed,
        DownloadFailed,
        OutOfMemory,
        ModelLoading,
        ModelFailed,
        WorkerFailed,
    )
}
