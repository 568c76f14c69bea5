"""The real process over real pipes: how it ends, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see what is left behind")
COMMAND = Path(sys.executable).with_name("internvl-mcp")
_HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class Server:
    """The installed command, spoken to in JSON lines."""

    def __init__(self, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [str(COMMAND)], cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.number = 0
        self.ask("initialize", _HELLO)
        self.receive()
        self.send({"method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> int:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        return self.number

    def call(self, tool: str, arguments: dict[str, Any]) -> int:
        return self.ask("tools/call", {"name": tool, "arguments": arguments, "_meta": {"progressToken": "t"}})

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def await_progress(self) -> None:
        """Returns once the running call has reported something: its workers are up and at work."""
        while self.receive().get("method") != "notifications/progress":
            pass

    def workers(self) -> list[int]:
        return children_of(self.process.pid)


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in thread.read_text().split()]
    return found


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def processor_ticks(pids: Iterable[int]) -> dict[int, int]:
    """User and system time of each process that is still there, in the system's ticks (mostly 10 ms)."""
    found: dict[int, int] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            field = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            found[pid] = int(field[11]) + int(field[12])
    return found


@pytest.fixture
def start(sample_files: Any) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def make(cwd: Path = sample_files.report.parent) -> Server:
        started.append(Server(cwd))
        return started[-1]

    yield make
    for server in started:
        with server.process as process:  # closes the pipes and waits
            process.kill()


@pytest.mark.parametrize("how", ["end of input", "SIGINT", "SIGTERM"])
def test_it_ends_within_a_second_while_at_work_and_leaves_nothing(start: Callable[..., Server], how: str) -> None:
    server = start()
    server.call("read_document", {"source": "report-scan.pdf"})
    server.await_progress()
    workers = server.workers()
    assert workers
    began = time.monotonic()
    if how == "end of input":
        assert server.process.stdin is not None
        server.process.stdin.close()
    else:
        os.kill(server.process.pid, signal.Signals[how])
    assert server.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 1.0
    assert gone(workers)


def test_cancelling_a_call_stops_its_work_within_a_second_and_the_server_lives_on(start: Callable[..., Server]) -> None:
    server = start()
    number = server.call("read_document", {"source": "report-scan.pdf"})
    server.await_progress()
    before = server.workers()
    assert before
    server.send({"method": "notifications/cancelled", "params": {"requestId": number}})
    began = time.monotonic()
    while not any(gone([pid]) for pid in before) and time.monotonic() - began < 5:
        os.sched_yield()
    assert time.monotonic() - began < 1.0
    left = [pid for pid in before if not gone([pid])]
    spent = processor_ticks(left)
    asked = server.ask("tools/list", {})
    while (reply := server.receive()).get("id") != asked:
        assert reply.get("id") != number or "error" in reply, "a cancelled call must not give a result"
    assert len(reply["result"]["tools"]) == 9
    for _ in range(50):  # tens of milliseconds: a worker still at it would show
        asked = server.ask("tools/list", {})
        while server.receive().get("id") != asked:
            pass
    now = processor_ticks(spent)  # one that has ended since works on nothing either
    assert sum(now[pid] - spent[pid] for pid in now) <= 1


def test_a_hostile_tools_folder_in_the_working_directory_is_not_run(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    for name in ("tools", "vision", "mcp_server"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('hostile code ran')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('hostile code ran')")
    server = start(tmp_path)
    asked = server.call("manage_model", {"action": "status"})
    while (reply := server.receive()).get("id") != asked:
        pass
    assert not reply["result"].get("isError")
    _, log = server.process.communicate(timeout=10)
    assert "hostile" not in log


def test_only_protocol_messages_reach_stdout(start: Callable[..., Server]) -> None:
    server = start()
    for tool, source in (("read_document", "report.pdf"), ("analyze_video", "video.mp4"), ("extract_text", "no.png")):
        asked = server.call(tool, {"source": source})
        while (reply := server.receive()).get("id") != asked:
            assert reply["jsonrpc"] == "2.0"
        assert "result" in reply
