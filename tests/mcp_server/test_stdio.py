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

from mcp_server.tasks import EXTENSION

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see what is left behind")
COMMAND = Path(sys.executable).with_name("internvl-mcp")
_HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


_MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ERAS = pytest.mark.parametrize("modern", [False, True], ids=["2025-06-18", "2026-07-28"])


class Server:
    """The installed command, spoken to in JSON lines, in one era of the protocol."""

    def __init__(self, cwd: Path, modern: bool = False, **settings: object) -> None:
        given = {f"INTERNVL_MCP_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(
            [str(COMMAND)],
            cwd=cwd,
            env=os.environ | given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.modern = modern
        self.number = 0
        if not modern:
            self.ask("initialize", _HELLO)
            self.receive()
            self.send({"method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> int:
        self.number += 1
        if self.modern:
            params = {**params, "_meta": {**_MODERN, **params.get("_meta", {})}}
        self.send({"id": self.number, "method": method, "params": params})
        return self.number

    def call(self, tool: str, arguments: dict[str, Any]) -> int:
        return self.ask("tools/call", {"name": tool, "arguments": arguments, "_meta": {"progressToken": "t"}})

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def reply(self, number: int) -> dict[str, Any]:
        while (received := self.receive()).get("id") != number:
            pass
        return received["result"]

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

    def make(cwd: Path = sample_files.report.parent, modern: bool = False, **settings: object) -> Server:
        started.append(Server(cwd, modern, **settings))
        return started[-1]

    yield make
    for server in started:
        with server.process as process:  # closes the pipes and waits
            process.kill()


def job_at_work(server: Server, **meta: Any) -> str:
    """The id of a job that was given out, and whose work has come to its first page."""
    arguments = {"source": "report-scan.pdf"}
    reply = server.reply(
        server.ask("tools/call", {"name": "read_document", "arguments": arguments, **({"_meta": meta} if meta else {})})
    )
    job_id = reply["taskId"] if meta else reply["structuredContent"]["job_id"]
    while True:
        asked = {"job_id": job_id, "wait_s": 0.2}
        found = server.reply(server.call("get_result", asked))["structuredContent"]
        assert found["state"] == "working"
        if found["progress"]["done"]:
            return job_id


@ERAS
@pytest.mark.parametrize("how", ["end of input", "end of input, a job at work", "SIGINT", "SIGTERM"])
def test_it_ends_within_a_second_while_at_work_and_leaves_nothing(
    start: Callable[..., Server], how: str, modern: bool
) -> None:
    if "job" in how:
        server = start(modern=modern, reply_within_s=0.2)
        job_at_work(server)
    else:
        server = start(modern=modern)
        server.call("read_document", {"source": "report-scan.pdf"})
        server.await_progress()
    workers = server.workers()
    assert workers
    began = time.monotonic()
    if how.startswith("end of input"):
        assert server.process.stdin is not None
        server.process.stdin.close()
    else:
        os.kill(server.process.pid, signal.Signals[how])
    assert server.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 1.0
    assert gone(workers)


@ERAS
def test_cancelling_a_call_stops_its_work_within_a_second_and_the_server_lives_on(
    start: Callable[..., Server], modern: bool
) -> None:
    server = start(modern=modern)
    number = server.call("read_document", {"source": "report-scan.pdf"})
    server.await_progress()
    before = server.workers()
    assert before
    server.send({"method": "notifications/cancelled", "params": {"requestId": number}})
    await_end_of_one(before)
    left = [pid for pid in before if not gone([pid])]
    spent = processor_ticks(left)
    asked = server.ask("tools/list", {})
    while (reply := server.receive()).get("id") != asked:
        assert reply.get("id") != number or "error" in reply, "a cancelled call must not give a result"
    assert len(reply["result"]["tools"]) == 10
    for _ in range(50):  # tens of milliseconds: a worker still at it would show
        asked = server.ask("tools/list", {})
        while server.receive().get("id") != asked:
            pass
    now = processor_ticks(spent)  # one that has ended since works on nothing either
    assert sum(now[pid] - spent[pid] for pid in now) <= 1


def await_end_of_one(workers: list[int]) -> None:
    """Of the workers of a call the one that is at work ends; one that has nothing to do stays."""
    began = time.monotonic()
    while not any(gone([pid]) for pid in workers) and time.monotonic() - began < 5:
        os.sched_yield()
    assert time.monotonic() - began < 1.0


@ERAS
def test_cancelling_a_job_stops_its_work_within_a_second(start: Callable[..., Server], modern: bool) -> None:
    server = start(modern=modern, reply_within_s=0.2)
    job_id = job_at_work(server)
    before = server.workers()
    assert before
    asked = server.call("get_result", {"job_id": job_id, "cancel": True})
    await_end_of_one(before)
    assert server.reply(asked)["structuredContent"]["state"] == "cancelled"


def test_cancelling_a_task_stops_its_work_within_a_second(start: Callable[..., Server]) -> None:
    server = start(modern=True, reply_within_s=0.2)
    declared = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}}}
    task_id = job_at_work(server, **declared)
    before = server.workers()
    assert before
    asked = server.ask("tasks/cancel", {"taskId": task_id, "_meta": declared})
    await_end_of_one(before)
    server.reply(asked)
    assert server.reply(server.ask("tasks/get", {"taskId": task_id, "_meta": declared}))["status"] == "cancelled"


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
