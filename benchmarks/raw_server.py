"""A server over stdio, spoken to in raw JSON lines: nothing of a client's library is in the figures.

Linux only where memory and processes are concerned: they are read from /proc.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

Era = Literal["legacy", "modern"]
LEGACY, MODERN = "2025-06-18", "2026-07-28"
INFO = {"name": "internvl-mcp-benchmark", "version": "1"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": INFO,
    "io.modelcontextprotocol/clientCapabilities": {},
}
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class NoReply(Exception):
    """The server did not reply in time."""


class ServerGone(Exception):
    """The server ended while a reply was due."""


class RawServer:
    """Starts `command` and speaks one era with it. Use as a context manager: leaving closes its standard input."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, era: Era = "modern", env: Mapping[str, str] | None = None
    ) -> None:
        self.era: Era = era
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the server)
        self.process = subprocess.Popen(
            command, cwd=cwd, env=None if env is None else dict(env),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
        )  # fmt: skip
        self._replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._next_id = 0
        self.notifications = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            if "id" in message and "method" not in message:
                self._replies.put(message)
            else:
                self.notifications += 1
        self._replies.put(None)

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise ServerGone(str(error)) from error

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        self._write({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    def request(self, method: str, params: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """The whole reply, result or error. Raises NoReply or ServerGone."""
        self._next_id += 1
        wanted = self._next_id
        body = dict(params) if self.era == "legacy" else {**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}}
        self._write({"jsonrpc": "2.0", "id": wanted, "method": method, "params": body})
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                reply = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise NoReply(f"{method}: nothing for {timeout_s:.0f} s") from None
            if reply is None:
                raise ServerGone(f"{method}: the server ended; it last said: {self.last_words()}")
            if reply.get("id") == wanted:  # a late reply to a call that was given up is dropped
                return reply

    def handshake(self, timeout_s: float = 30.0) -> dict[str, Any]:
        if self.era == "modern":
            return self.request("server/discover", {}, timeout_s)
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": INFO}
        reply = self.request("initialize", hello, timeout_s)
        self.notify("notifications/initialized")
        return reply

    def tools(self, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        reply = self.request("tools/list", {}, timeout_s)
        if "result" not in reply:
            raise ServerGone(f"tools/list was refused: {reply}")
        return reply["result"]["tools"]

    def call(self, tool: str, arguments: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        return self.request("tools/call", {"name": tool, "arguments": dict(arguments)}, timeout_s)

    def last_words(self) -> str:
        self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, self.stderr.tell() - 2000))
        return self.stderr.read().decode(errors="replace")

    def close(self, timeout_s: float = 10.0) -> float:
        """Ends standard input and returns the seconds until the process was gone; kills it when it stays."""
        assert self.process.stdin is not None
        started = time.monotonic()
        try:
            self.process.stdin.close()
        except OSError:
            # The server went first: there is nobody to tell.
            self.process.wait(timeout_s)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - started

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.stderr.close()


def family(root: int) -> list[int]:
    """The process and all its descendants that are alive now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            # After the name in brackets, which may hold anything: state, parent.
            parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = [root] if root in parents else []
    for member in found:
        found.extend(pid for pid, parent in parents.items() if parent == member)
    return found


def resident_bytes(pids: Sequence[int]) -> int:
    """The sum of the resident sets; pages that processes share are counted once for each."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except OSError:  # it ended meanwhile
            continue
    return total


def open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


class MemoryWatch:
    """Samples the resident memory of a server and its descendants every 50 ms; a context manager."""

    def __init__(self, root: int, every_s: float = 0.05) -> None:
        self._peak = 0
        self._root = root
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self._peak = max(self._peak, resident_bytes(family(self._root)))

    def take_peak(self) -> int:
        """The most bytes seen since the last call of this."""
        peak, self._peak = self._peak, 0
        return peak

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
