"""Reads the settings: flags before environment (INTERNVL_MCP_*) before a TOML file before defaults.

The one place that looks at the environment. An unknown key or a bad value is a ConfigError that names it.
"""

from __future__ import annotations

import argparse
import os
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from vision.config import Address, Settings
from vision.errors import ConfigError

PREFIX = "INTERNVL_MCP_"
# Read by others: where the settings file is, and where the tests find third-party media.
_MAX_KEY = 8192
_MAX_TOKENS = 1 << 20
_ADDRESSES = ("endpoints", "http_url", "oauth_issuer", "oauth_jwks_url")
# MEDIA is the tests', PYTHON and ENVIRONMENT the npm launcher's.
_NOT_SETTINGS = frozenset(PREFIX + name for name in ("CONFIG", "MEDIA", "PYTHON", "ENVIRONMENT"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each setting; a list takes its singular and may be repeated."""
    group = parser.add_argument_group("settings", f"also as {PREFIX}NAME, or name = value in the settings file")
    group.add_argument("--config", metavar="FILE", help="settings file (TOML)")
    for name, field in settable().items():
        repeated: dict[str, Any] = {"action": "append"} if _is_list(field) else {}
        group.add_argument(flag_of(name, field), dest=name, metavar=_metavar(field), help=_help(field), **repeated)
    for name in Settings.model_fields.keys() - settable().keys():
        # Or argparse would take it for the beginning of another flag, whose error repeats the value.
        group.add_argument(flag_of(name, Settings.model_fields[name]), action=_Refused, help=argparse.SUPPRESS)


class _Refused(argparse.Action):
    """Everybody on the machine can read a command line."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: str | None = None
    ) -> None:
        parser.error(f"{option} is no flag: set {PREFIX}{self.dest.upper()}, or name a file with {option}-file")


def settable() -> dict[str, FieldInfo]:
    """The settings that flags and the settings file may hold: all but secrets, which others could read there."""
    return {name: field for name, field in Settings.model_fields.items() if not _is_secret(field)}


def flag_of(name: str, field: FieldInfo) -> str:
    return "--" + (name.removesuffix("s") if _is_list(field) else name).replace("_", "-")


def load(flags: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force. Raises ConfigError."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    path = flags.config or environment.get(f"{PREFIX}CONFIG")
    for layer, found in (
        ("the settings file", _from_file(Path(path).expanduser() if path else default_file(environment), bool(path))),
        ("the environment", _from_environment(environment)),
        ("the command line", {k: v for k in settable() if (v := getattr(flags, k, None)) is not None}),
    ):
        values |= found
        origin |= dict.fromkeys(found, layer)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as e:
        raise _bad_value(e, origin) from e
    settings = _with_key(settings)
    try:
        roots = tuple(root.expanduser().absolute() for root in settings.roots)
    except RuntimeError as e:
        raise ConfigError(f"roots: {e}", "Give the folders' full paths.") from e
    return settings.model_copy(update={"roots": roots})


def default_file(environment: Mapping[str, str]) -> Path:
    """Where the settings file lies unless told otherwise: the system's own folder for settings."""
    if sys.platform == "win32":
        base = environment.get("APPDATA")
    else:
        base = environment.get("XDG_CONFIG_HOME")
    folder = Path(base) if base else Path(os.path.expanduser("~")) / ".config"  # noqa: PTH111 - never raises
    return folder / "internvl-mcp" / "config.toml"


def _from_file(path: Path, must_exist: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        if must_exist:
            raise ConfigError(f"there is no settings file {path}", "Check --config or INTERNVL_MCP_CONFIG.") from e
        return {}
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"the settings file {path} cannot be read", "It must be UTF-8 text you may read.") from e
    import tomllib  # most people have no file; they do not wait for its parser

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(
            f"the settings file {path} is not valid TOML: {e}", "Write lines like max_pages = 100."
        ) from e
    _refuse_unknown(values, f"in {path}", lambda name: name)
    for name in values:
        if name not in settable():
            raise ConfigError(
                f"{name} may not stand in the settings file {path}",
                f"Put it into a file that only you can read, and name that as {name}_file.",
            )
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        key.removeprefix(PREFIX).lower(): text
        for key, text in environment.items()
        if key.startswith(PREFIX) and key not in _NOT_SETTINGS and text != ""
    }
    _refuse_unknown(found, "in the environment", lambda name: PREFIX + name.upper())
    for name, text in found.items():
        if _is_list(Settings.model_fields[name]):
            separator = os.pathsep if name == "roots" else ","
            found[name] = [part.strip() for part in text.split(separator) if part.strip()]
    return found


def _refuse_unknown(values: Mapping[str, Any], where: str, shown: typing.Callable[[str], str]) -> None:
    for name in values:
        if name not in Settings.model_fields:
            raise ConfigError(f"there is no setting {shown(name)} ({where})", _known(name, shown))


def _known(name: str, shown: typing.Callable[[str], str]) -> str:
    import difflib  # only for somebody who mistyped

    close = difflib.get_close_matches(name, Settings.model_fields, n=3)
    meant = f"Did you mean {' or '.join(shown(n) for n in close)}? " if close else ""
    return f"{meant}Known: {', '.join(shown(n) for n in Settings.model_fields)}."


def _bad_value(error: ValidationError, origin: Mapping[str, str]) -> ConfigError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    field = Settings.model_fields[name]
    where = origin.get(name, "the settings")
    # An address may hold a password where none belongs: it is not repeated.
    got = "" if _is_secret(field) or name in _ADDRESSES else f" (got {first['input']!r})"
    return ConfigError(
        f"{name} in {where}: {first['msg'].removeprefix('Value error, ')}{got}",
        f"{name}: {field.description} Default: {shown_default(field)}.",
    )


def _with_key(settings: Settings) -> Settings:
    """The key read from its file, unless the environment holds it. Raises ConfigError, which does not repeat it."""
    key = settings.endpoint_key.get_secret_value() if settings.endpoint_key is not None else None
    path = settings.endpoint_key_file
    if key is None and path is not None:
        key = _secret_text(path, _MAX_KEY, "endpoint_key_file", "It must be one you may read, with the key alone.")
    if key is None:
        return settings
    key = key.strip()
    if not key or len(key) > _MAX_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "the key for the endpoints is empty, or is no key (one word of printable ASCII)",
            f"Check {PREFIX}ENDPOINT_KEY or the file that endpoint_key_file names.",
        )
    return settings.model_copy(update={"endpoint_key": SecretStr(key)})


def http_tokens(settings: Settings) -> str | None:
    """The list of tokens for HTTP as it was written, from the environment or its file; None: there is none.

    Read by the server that needs it alone: others may not be allowed to. Raises ConfigError, which repeats nothing.
    """
    if settings.http_tokens is not None:
        return settings.http_tokens.get_secret_value()
    if settings.http_tokens_file is None:
        return None
    hint = "It must be one you may read, with a token, or a name and a token, a line."
    return _secret_text(settings.http_tokens_file, _MAX_TOKENS, "http_tokens_file", hint)


def _secret_text(path: Path, limit: int, name: str, hint: str) -> str:
    """What a file of secrets holds, cut off behind `limit` bytes. Raises ConfigError."""
    try:
        with path.expanduser().open("rb") as file:
            return file.read(limit + 1).decode("ascii")
    except (OSError, RuntimeError, UnicodeDecodeError):
        # Neither the cause, which holds what cannot be decoded, nor the path: some put the secret itself there.
        raise ConfigError(f"the file that {name} names cannot be read", hint) from None


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in typing.get_args(field.annotation)


def _is_list(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is tuple


def _metavar(field: FieldInfo) -> str:
    inner = typing.get_args(field.annotation)[0] if _is_list(field) else field.annotation
    if typing.get_origin(inner) is typing.Literal:
        return "|".join(typing.get_args(inner))
    names: dict[Any, str] = {Path: "DIR", str: "HOST", Address: "URL", int: "N", float: "SECONDS", bool: "yes|no"}
    return names.get(inner, "VALUE") if not isinstance(inner, types.UnionType) else "VALUE"


def _help(field: FieldInfo) -> str:
    repeated = " May be repeated." if _is_list(field) else ""
    return f"{field.description}{repeated} Default: {shown_default(field)}.".replace("%", "%%")


def shown_default(field: FieldInfo) -> str:
    if field.default in ((), None):
        return "none"
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
