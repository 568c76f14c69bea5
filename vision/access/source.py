"""What a client's `source` string means. Pure: nothing is opened or looked up here.

People and agents write the same file in many ways: quoted, with shell escapes, with the @ of a mention, as a file://
URL, as a Windows path inside WSL. Each reading is tried in turn, the literal one first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from vision.errors import AccessDenied, InvalidArgument

MAX_PATH_CHARS = 4096
MAX_URL_CHARS = 8192

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):")
_DRIVE = re.compile(r"([A-Za-z]):[\\/]")
_WSL_SHARE = re.compile(r"[\\/]{2}wsl(?:\$|\.localhost)[\\/][^\\/]+", re.IGNORECASE)
_SHELL_ESCAPE = re.compile(r"\\([ \t!\"#$&'()*,:;<=>?@\[\\\]^`{|}~])")
_OPAQUE_SCHEMES = frozenset({"about", "blob", "cid", "intent", "jar", "javascript", "mailto", "tel", "vbscript"})
_READABLE = "Give a file path, a file:// or https:// URL, a data: URI, or the word clipboard."


@dataclass(frozen=True)
class Host:
    """The machine the paths are meant for."""

    kind: Literal["posix", "macos", "wsl", "windows"]
    home: Path


@dataclass(frozen=True)
class FileSource:
    """`candidates`: readings of the path in the order to try them; `shown`: how it is named to the client."""

    candidates: tuple[str, ...]
    shown: str


@dataclass(frozen=True)
class UrlSource:
    url: str


@dataclass(frozen=True)
class DataSource:
    """`payload`: the part after the comma, still encoded."""

    payload: str
    is_base64: bool


@dataclass(frozen=True)
class ClipboardSource:
    pass


Source = FileSource | UrlSource | DataSource | ClipboardSource


def parse_source(text: str, host: Host) -> Source:
    """Raises InvalidArgument for what cannot be meant, AccessDenied for schemes that are never opened."""
    text = text.strip()
    if text[:5].lower() == "data:":
        return _data(text)
    if _CONTROL.search(text):
        raise InvalidArgument("source contains control characters", _READABLE)
    unquoted = _without_quotes(text)
    if not unquoted:
        raise InvalidArgument("source is empty", _READABLE)
    if unquoted == "clipboard":
        return ClipboardSource()
    scheme = _scheme(unquoted)
    if scheme in ("http", "https"):
        return _url(unquoted)
    if scheme == "file":
        return _file_url(unquoted, host)
    if scheme:
        raise AccessDenied(f"{scheme}: addresses are not opened", _READABLE)
    return _file(text, unquoted, host)


def _scheme(text: str) -> str:
    """The URL scheme in lower case, or "" where the colon belongs to a file name (a drive, "IMG:1.png")."""
    match = _SCHEME.match(text)
    if match is None:
        return ""
    scheme = match[1].lower()
    rest = text[match.end() :]
    is_url = rest.startswith("//") or scheme in _OPAQUE_SCHEMES or (scheme == "file" and rest.startswith("/"))
    return scheme if is_url else ""


def _url(text: str) -> UrlSource:
    if len(text) > MAX_URL_CHARS:
        raise InvalidArgument(
            f"the URL has {len(text)} characters, the limit is {MAX_URL_CHARS}", "Give a shorter address, or a file."
        )
    if " " in text:
        raise InvalidArgument("the URL contains a space", "Write a space in a URL as %20.")
    return UrlSource(text)


def _data(text: str) -> DataSource:
    header, comma, payload = text[len("data:") :].partition(",")
    if not comma:
        raise InvalidArgument("the data: URI has no comma", "Write data:image/png;base64,…")
    parameters = [part.strip().lower() for part in header.split(";")]
    return DataSource(payload=payload, is_base64="base64" in parameters[1:])


def _file_url(text: str, host: Host) -> FileSource:
    # Query and fragment are not split off: in a file's name "?" and "#" are more likely meant as themselves.
    rest = text[len("file:") :]
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        if authority.lower() in ("wsl$", "wsl.localhost") and host.kind == "wsl":
            rest = "/" + path.partition("/")[2]
        elif authority.lower() not in ("", "localhost"):
            raise AccessDenied(
                f"file URL with the host {authority!r}: only files of this machine are read", "Write file:///path."
            )
    try:
        path = unquote(rest, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidArgument("the file URL is not percent-encoded UTF-8", "Give the plain path instead.") from error
    if _CONTROL.search(path):
        raise InvalidArgument("source contains control characters", _READABLE)
    if re.match(r"/[A-Za-z]:[\\/]", path) and host.kind in ("windows", "wsl"):
        path = path[1:]
    if not path:
        raise InvalidArgument("the file URL has no path", "Write file:///path.")
    return FileSource((_native(path, host),), shown=path)


def _file(text: str, unquoted: str, host: Host) -> FileSource:
    if len(text) > MAX_PATH_CHARS:
        raise InvalidArgument(f"the path has {len(text)} characters, the limit is {MAX_PATH_CHARS}", _READABLE)
    readings = [text, unquoted, _without_quotes(unquoted.removeprefix("@"))]
    if host.kind != "windows":
        readings.append(_SHELL_ESCAPE.sub(r"\1", readings[-1]))
    candidates = tuple(dict.fromkeys(_native(reading, host) for reading in readings if reading))
    return FileSource(candidates, shown=readings[-1] or text)


def _native(path: str, host: Host) -> str:
    """The path as this machine writes it. Raises AccessDenied for Windows paths that reach over the network."""
    if path == "~" or path.startswith(("~/", "~\\") if host.kind == "windows" else "~/"):
        return str(host.home) + path[1:]
    if host.kind == "wsl":
        if share := _WSL_SHARE.match(path):
            return path[share.end() :].replace("\\", "/") or "/"
        if drive := _DRIVE.match(path):
            return f"/mnt/{drive[1].lower()}/" + path[3:].replace("\\", "/")
    if host.kind == "windows" and re.match(r"[\\/]{2}", path):
        # Opening \\server\share sends this user's credentials to that server; \\.\ and \\?\ reach devices.
        raise AccessDenied("network shares and device paths are not opened", "Copy the file to a local folder.")
    return path


def _without_quotes(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`":
        return text[1:-1].strip()
    return text


def shown_url(url: str) -> str:
    """The address as it may be shown: without query and fragment, which often carry secrets, and without userinfo."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    return f"{parts.scheme}://{host}{port}{parts.path}"
