"""Frames between the server and its worker processes, over one socket.

A frame is a 4-byte big-endian length, that many bytes of JSON (a `Header`), then one blob of `header.blob` bytes.
JSON and raw bytes only: the child handles hostile media, so nothing it sends may be able to run code here (no pickle).
An open file travels with the frame's first byte as SCM_RIGHTS, so the child never needs a path; where sockets cannot
carry files (Windows) the header names the file instead.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, Literal

from pydantic import Field

from vision.types import Frozen

MAX_HEADER_BYTES = 64 << 20
MAX_BLOB_BYTES = 1 << 30
_LENGTH = struct.Struct("!I")


class Header(Frozen):
    """What a frame is about; which fields count depends on `kind`."""

    kind: Literal["ready", "job", "item", "done", "error"]
    job: str = ""
    value: dict[str, Any] = Field(default={})
    blob: int = 0
    file_path: str | None = None


class WireBroken(Exception):
    """The other side went away, or sent what is no frame."""


def can_pass_files() -> bool:
    return hasattr(socket, "send_fds")


def send_frame(sock: socket.socket, header: Header, blob: bytes | memoryview = b"", fd: int | None = None) -> None:
    body = header.model_copy(update={"blob": len(blob)}).model_dump_json().encode()
    prefix = _LENGTH.pack(len(body))
    if fd is not None:
        socket.send_fds(sock, [prefix], [fd])
        sock.sendall(body)
    else:
        sock.sendall(prefix + body)
    if len(blob):
        sock.sendall(blob)


def receive_frame(sock: socket.socket) -> tuple[Header, bytearray, int | None]:
    """The next frame, its blob, and the file descriptor that came with it (the caller's to close)."""
    prefix, fd = _receive_prefix(sock)
    (length,) = _LENGTH.unpack(prefix)
    if length > MAX_HEADER_BYTES:
        raise WireBroken(f"a header of {length} bytes")
    header = Header.model_validate_json(bytes(_receive_exactly(sock, length)))
    if not 0 <= header.blob <= MAX_BLOB_BYTES:
        raise WireBroken(f"a blob of {header.blob} bytes")
    return header, _receive_exactly(sock, header.blob), fd


def _receive_prefix(sock: socket.socket) -> tuple[bytes, int | None]:
    if not can_pass_files():
        return bytes(_receive_exactly(sock, _LENGTH.size)), None
    data, fds, _, _ = socket.recv_fds(sock, _LENGTH.size, 1)
    if not data:
        raise WireBroken("closed")
    for extra in fds[1:]:
        os.close(extra)
    rest = _receive_exactly(sock, _LENGTH.size - len(data))
    return data + bytes(rest), fds[0] if fds else None


def _receive_exactly(sock: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    got = 0
    while got < count:
        n = sock.recv_into(view[got:])
        if n == 0:
            raise WireBroken("closed")
        got += n
    return data
