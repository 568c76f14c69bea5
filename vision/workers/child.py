"""The worker process: takes one job at a time from its socket, streams the results back, ends when the parent does.

Started as `python -P -E -m vision.workers.child ROLE SOCKET_FD LIFELINE_FD ADDRESS_SPACE_BYTES THREADS`.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import BaseModel

from vision.errors import VisionError
from vision.workers import sandbox
from vision.workers.jobs import JOBS, Role, memory_exceeded
from vision.workers.wire import Header, WireBroken, receive_frame, send_frame

_HANDLERS: dict[Role, str] = {"media": "vision.workers.media_jobs", "ocr": "vision.workers.ocr_jobs"}


@dataclass(frozen=True)
class Output:
    """One result of a job: a value of the job's item model, with raw bytes beside it where it has a picture."""

    value: BaseModel
    blob: bytes | memoryview = b""


@dataclass(frozen=True)
class Input:
    """What a job works on: its parameters, an open file, raw bytes."""

    params: Any
    file: BinaryIO | None
    blob: bytearray


Handler = Callable[[Input], Iterator[Output]]


def main(argv: list[str]) -> int:
    role, socket_fd, lifeline_fd, address_space, threads = argv[0], *map(int, argv[1:5])
    faulthandler.enable()
    if sys.platform == "win32":
        sock = socket.socket(fileno=socket_fd)
    else:
        _end_with_the_parent(lifeline_fd)
        sock = socket.socket(fileno=socket_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    sandbox.limit_resources(address_space)
    sandbox.lock_away()
    module = importlib.import_module(_HANDLERS[role])  # type: ignore[index]
    handlers: dict[str, Handler] = module.handlers(threads)
    try:
        send_frame(sock, Header(kind="ready"))
        while True:
            _serve_one(sock, handlers)
    except (WireBroken, BrokenPipeError, ConnectionResetError):
        return 0  # the server is gone, or has no more use for this process


def _end_with_the_parent(lifeline_fd: int) -> None:
    """Has the kernel end this process when the parent's end of the pipe closes, even inside native code.

    A thread could not: some decoders hold the interpreter lock for seconds. PR_SET_PDEATHSIG could not either: it
    fires when the parent's thread ends that started us, and threads come and go.
    """
    import fcntl

    flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    try:
        gone = os.read(lifeline_fd, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:  # the parent ended before the signal was armed
        os._exit(0)


def _serve_one(sock: socket.socket, handlers: dict[str, Handler]) -> None:
    header, blob, fd = receive_frame(sock)
    file = _open_input(header, fd)
    try:
        params = JOBS[header.job].params.model_validate(header.value)
        for output in handlers[header.job](Input(params, file, blob)):
            send_frame(sock, Header(kind="item", value=output.value.model_dump(mode="json")), output.blob)
        send_frame(sock, Header(kind="done"))
    except (WireBroken, BrokenPipeError, ConnectionResetError):
        raise
    except MemoryError as e:
        _send_error(sock, memory_exceeded(), e)
    except VisionError as e:
        _send_error(sock, e, e)
    except Exception as e:  # noqa: BLE001 - the outermost handler of this process
        _send_error(sock, None, e)
    finally:
        if file is not None:
            file.close()


def _open_input(header: Header, fd: int | None) -> BinaryIO | None:
    if fd is not None:
        return os.fdopen(fd, "rb")
    return open(header.file_path, "rb") if header.file_path else None  # noqa: PTH123 - closed by the caller


def _send_error(sock: socket.socket, known: VisionError | None, cause: BaseException) -> None:
    value = {
        "code": known.code if known else "",
        "message": known.message if known else f"{type(cause).__name__}: {cause}"[:500],
        "hint": known.hint if known else "",
        "traceback": "".join(traceback.format_exception(cause))[-8000:],
    }
    send_frame(sock, Header(kind="error", value=value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
