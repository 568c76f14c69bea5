"""Servers that say what a test makes them say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress


class Server:
    """Answers every connection with the same bytes and hangs up; `requests`: what was sent to it."""

    def __init__(self, answer: bytes, *, hold: bool = False) -> None:
        self.requests: list[bytes] = []
        self.left = threading.Event()
        self._answer = answer
        self._hold = hold
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _run(self) -> None:
        with suppress(OSError):  # close() wakes accept up
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(ConnectionError):
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        request = bytearray()
        while b"\r\n\r\n" not in request:
            received = connection.recv(65536)
            if not received or (not request and not received.startswith((b"POST ", b"GET "))):
                return  # gone again, or no HTTP
            request += received
        head, _, body = bytes(request).partition(b"\r\n\r\n")
        length = int(dict(headers(head)).get(b"content-length", b"0"))
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        connection.sendall(self._answer)
        if self._hold and connection.recv(1) == b"":
            self.left.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def headers(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip()


def plain(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
