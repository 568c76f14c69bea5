"""The one way in: a client's `source` string becomes an open, checked and hashed file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

import anyio
import anyio.to_thread

from vision.access.addresses import Network
from vision.access.clipboard import read_clipboard
from vision.access.files import open_file
from vision.access.policy import AccessPolicy
from vision.access.source import ClipboardSource, DataSource, FileSource, Host, UrlSource, parse_source, shown_url
from vision.errors import AccessDenied, InvalidArgument, LimitExceeded, SourceUnreadable

# One thread call hashes this much, so that a cancelled call stops within milliseconds on a file of any size.
_HASH_SLICE = 32 << 20
_HASH_CHUNK = 1 << 20


@dataclass(frozen=True)
class OpenedSource:
    """A source, opened for reading at its start. The caller closes it, best with `with`.

    file: seekable and backed by a file descriptor, so that it can be handed to a decoder process.
    name: how it is shown to the client: the path as given, the URL without query, "data:" or "clipboard".
    size: in bytes. sha256: of the content, in hexadecimal.
    """

    file: BinaryIO
    name: str
    size: int
    sha256: str

    def __enter__(self) -> OpenedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


async def open_source(
    source: str,
    policy: AccessPolicy,
    cwd: Path,
    *,
    accept: Callable[[BinaryIO, str], None] | None = None,
    network: Network | None = None,
    host: Host | None = None,
) -> OpenedSource:
    """Open what the client named: a path (relative ones start at `cwd`), file:// or https:// URL, data: URI, clipboard.

    `accept(file, name)` may refuse what was opened by raising, before all of it is read for its sha256.
    Raises AccessDenied, InvalidArgument, SourceNotFound, SourceUnreadable, LimitExceeded, EngineUnavailable.
    """
    host = host or this_host()
    parsed = parse_source(source, host)
    if isinstance(parsed, FileSource):
        file, name = await anyio.to_thread.run_sync(open_file, parsed, policy, cwd), parsed.shown
    elif isinstance(parsed, UrlSource):
        from vision.access.fetch import fetch  # brings the HTTP client, which start-up does without

        file, name = await fetch(parsed.url, policy, network or Network()), shown_url(parsed.url)
    elif isinstance(parsed, DataSource):
        file, name = await anyio.to_thread.run_sync(_data_file, parsed, policy), "data:"
    else:
        file, name = await _clipboard_file(parsed, host, policy), "clipboard"
    try:
        if accept is not None:
            accept(file, name)
            file.seek(0)
        size, sha256 = await _hash(file, name)
    except BaseException:
        file.close()
        raise
    return OpenedSource(file=file, name=name, size=size, sha256=sha256)


def this_host() -> Host:
    """The machine this process runs on."""
    kind = "posix"
    if sys.platform == "win32":
        kind = "windows"
    elif sys.platform == "darwin":
        kind = "macos"
    elif "microsoft" in os.uname().release.lower():
        kind = "wsl"
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home folder, as in many containers: "~" then leads nowhere
        home = Path(os.devnull)
    return Host(kind=kind, home=home)


async def _clipboard_file(_: ClipboardSource, host: Host, policy: AccessPolicy) -> BinaryIO:
    if not policy.clipboard:
        raise AccessDenied("the clipboard of the server's machine is not read", "Send the picture as a data: URI.")
    data = await read_clipboard(host, policy)
    _require_within(len(data), policy, "the clipboard's picture")
    return await anyio.to_thread.run_sync(_temporary, data)


def _data_file(source: DataSource, policy: AccessPolicy) -> BinaryIO:
    # Checked before anything is decoded: base64 takes 4/3 of the content and some line breaks, percent-encoding 3/1.
    shrinks_by = 1.5 if source.is_base64 else 3
    _require_within(int(len(source.payload) / shrinks_by), policy, "the data: URI")
    data = unquote_to_bytes(source.payload)
    if source.is_base64:
        data = _from_base64(data)
    _require_within(len(data), policy, "the data: URI")
    if not data:
        raise InvalidArgument("the data: URI is empty", "Write data:image/png;base64,…")
    return _temporary(data)


def _from_base64(data: bytes) -> bytes:
    compact = b"".join(data.split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("the data: URI is not valid base64", "Encode the file's bytes again.") from error


def _require_within(size: int, policy: AccessPolicy, what: str) -> None:
    if size > policy.max_bytes:
        raise LimitExceeded(
            f"{what} is larger than {policy.max_bytes} bytes",
            "Save it as a file and give its path, or raise INTERNVL_MCP_MAX_BYTES.",
        )


def _temporary(data: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller, closed here on failure
    try:
        file.write(data)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def _hash(file: BinaryIO, name: str) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    while done := await anyio.to_thread.run_sync(_hash_slice, file, digest, name):
        size += done
    file.seek(0)
    return size, digest.hexdigest()


def _hash_slice(file: BinaryIO, digest: hashlib._Hash, name: str) -> int:
    done = 0
    try:
        while done < _HASH_SLICE and (chunk := file.read(_HASH_CHUNK)):
            digest.update(chunk)
            done += len(chunk)
    except OSError as error:
        raise SourceUnreadable(f"{name}: reading failed", "Check the disk, or copy the file elsewhere.") from error
    return done
