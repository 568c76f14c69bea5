"""Long calls against real server processes: nothing waits longer than its client, and nothing accepted is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ends processes as POSIX does")
COMMAND = Path(sys.executable).with_name("internvl-mcp")
_HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
_WORDS = ("Lisbon", "Nairobi", "Montreal", "Helsinki", "Auckland")
_REPLY_WITHIN_S = 1.0
# What a loaded machine may add to a reply that is due.
_SLACK_S = 3.0


class Server:
    """The installed command with a short patience, asked one thing at a time by a client that heeds no progress."""

    def __init__(self, folder: Path, state: Path, **settings: object) -> None:
        values = {"reply_within_s": _REPLY_WITHIN_S, "engine": "ocr", "state_folder": state, **settings}
        given = {f"INTERNVL_MCP_{name.upper()}": str(value) for name, value in values.items()}
        self.process = subprocess.Popen(
            [str(COMMAND)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | given
        )
        self.number = 0
        self.ask("initialize", _HELLO)
        self.send({"method": "notifications/initialized"})
        # What loads with the first call is loaded, however long that takes.
        self.ask("tools/call", {"name": "manage_model", "arguments": {}})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdout is not None
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while (reply := json.loads(self.process.stdout.readline())).get("id") != self.number:
            pass
        return reply["result"]

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the tool says, in time. An error is a dict with the key "error"."""
        began = time.monotonic()
        reply = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert time.monotonic() - began < _REPLY_WITHIN_S + _SLACK_S
        return json.loads(reply["content"][0]["text"])

    def result(self, job_id: str, within_s: float = 120) -> dict[str, Any]:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            found = self.call("get_result", {"job_id": job_id, "wait_s": 30})
            if found.get("state") != "working":
                return found
        raise AssertionError("the job did not end")

    def whole(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the tool says in the end, whether it replied with that or with a job."""
        reply = self.call(tool, arguments)
        return self.result(reply["job_id"]) if reply.get("state") == "working" else reply

    def parts(self, tool: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """The whole of a result that is longer than a reply, part after part."""
        found = [self.whole(tool, arguments)]
        while (cursor := found[-1]["next_cursor"]) is not None:
            found.append(self.whole(tool, {**arguments, "cursor": cursor}))
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def make(folder: Path, **settings: object) -> Server:
        started.append(Server(folder, tmp_path / "state", **settings))
        return started[-1]

    yield make
    for server in started:
        with server.process as process:
            process.kill()


@pytest.fixture(scope="module")
def long_document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 pages; the word stands on the last one only, and one page early on is a picture that has to be recognised."""
    import pymupdf

    path = tmp_path_factory.mktemp("long") / "long.pdf"
    with pymupdf.open() as document:
        for number in range(1, 401):
            page = document.new_page()
            page.insert_text((72, 72), f"Page {number} of a long report." + (" Zanzibar" if number == 400 else ""))
            if number < 5:
                picture = page.get_pixmap(dpi=150)
                page.clean_contents()
                page.insert_image(page.rect, pixmap=picture)
        document.save(path)
    return path


def test_a_document_of_400_pages_is_searched_to_its_end_past_the_client_s_patience(
    start: Callable[..., Server], long_document: Path
) -> None:
    server = start(long_document.parent, reply_within_s=0.2)
    reply = server.call("locate_objects", {"source": "long.pdf", "target": "Zanzibar"})
    assert reply["answer"] is None and reply["state"] == "working" and reply["notices"]
    found = server.result(reply["job_id"])
    assert [place["page"] for place in found["objects"]] == [400] and not found["truncated"]


def test_a_document_of_400_pages_is_read_to_its_end_part_by_part(
    start: Callable[..., Server], long_document: Path
) -> None:
    server = start(long_document.parent, reply_within_s=0.2)
    parts = server.parts("read_document", {"source": "long.pdf", "format": "text"})
    assert len(parts) > 1 and [page["number"] for part in parts for page in part["pages"]] == list(range(1, 401))
    text = "".join(part["markdown"] for part in parts)
    # What the recogniser makes of those that are pictures is another test's.
    assert all(f"Page {number} of a long report" in text for number in range(5, 401))


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes at two small pictures a second; each minute shows another word."""
    import av
    from PIL import Image, ImageDraw, ImageFont

    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height = 320, 240
        for place, word in enumerate(_WORDS):
            picture = Image.new("RGB", (320, 240), (20 + 40 * place, 60, 200 - 40 * place))
            ImageDraw.Draw(picture).text((30, 90), word, "white", ImageFont.load_default(48))
            for _ in range(120):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def test_a_video_of_minutes_is_watched_to_its_end_past_the_client_s_patience(
    start: Callable[..., Server], long_video: Path
) -> None:
    server = start(long_video.parent, reply_within_s=0.2)
    first = server.call("analyze_video", {"source": "long.mp4"})
    assert first["answer"] is None and first["state"] == "working"
    parts = server.parts("analyze_video", {"source": "long.mp4"})
    assert server.result(first["job_id"])["timeline"] == parts[0]["timeline"]
    assert parts[-1]["duration_s"] == 300 and parts[-1]["looked_at"]["end_s"] == 300
    texts = [entry for part in parts for entry in part["timeline"] if entry["kind"] == "text"]
    assert [entry["text"] for entry in texts] == list(_WORDS)
    assert [round(entry["start_s"] / 60) for entry in texts] == [0, 1, 2, 3, 4]


def test_a_model_that_loads_longer_than_the_client_waits_answers_in_the_end(
    start: Callable[..., Server], sample_files: Any, tiny_checkpoint: Callable[..., Path]
) -> None:
    checkpoint = tiny_checkpoint()
    server = start(
        sample_files.chart.parent, reply_within_s=0.5, engine="internvl", variant=checkpoint, max_answer_tokens=8
    )
    reply = server.call("describe_image", {"sources": ["chart.png"], "question": "What is it?"})
    try:
        assert reply["answer"] is None and reply["state"] == "working"
        found = server.result(reply["job_id"])
        assert found["engine"]["variant"] == checkpoint.name and found["answer"], found
    finally:
        server.whole("manage_model", {"action": "unload"})


def test_a_job_survives_its_server_s_end_and_is_begun_again(start: Callable[..., Server], sample_files: Any) -> None:
    folder = sample_files.report_scan.parent
    server = start(folder)
    reply = server.call("read_document", {"source": "report-scan.pdf"})
    assert reply["state"] == "working"
    server.kill()
    found = start(folder.parent).result(reply["job_id"])
    assert found["page_count"] == 3 and found["markdown"]


def test_restarts_during_jobs_lose_none(start: Callable[..., Server], sample_files: Any) -> None:
    folder = sample_files.report_scan.parent
    accepted = []
    for _ in range(5):
        server = start(folder, reply_within_s=0.3)
        reply = server.call("read_document", {"source": "report-scan.pdf", "pages": "1"})
        accepted.append(reply["job_id"])
        server.kill()
    server = start(folder)
    for job_id in accepted:
        assert server.result(job_id)["page_count"] == 3


def test_an_input_that_is_gone_by_then_is_one_clear_error(
    start: Callable[..., Server], sample_files: Any, tmp_path: Path
) -> None:
    source = tmp_path / "scan.pdf"
    source.write_bytes(sample_files.report_scan.read_bytes())
    server = start(tmp_path, reply_within_s=0.3)
    reply = server.call("read_document", {"source": "scan.pdf"})
    server.kill()
    source.unlink()
    assert start(tmp_path).result(reply["job_id"])["error"]["code"] == "source_not_found"


def test_access_is_checked_again_when_a_job_is_begun_again(start: Callable[..., Server], sample_files: Any) -> None:
    folder = sample_files.report_scan.parent
    server = start(folder, reply_within_s=0.3)
    reply = server.call("read_document", {"source": "report-scan.pdf"})
    server.kill()
    strict = start(folder, use_working_directory="no")
    assert strict.result(reply["job_id"])["error"]["code"] == "access_denied"


def test_another_server_waits_for_a_job_that_is_at_work_and_can_end_it(
    start: Callable[..., Server], sample_files: Any
) -> None:
    folder = sample_files.report_scan.parent
    one, other = start(folder), start(folder)
    reply = one.call("read_document", {"source": "report-scan.pdf"})
    assert other.call("get_result", {"job_id": reply["job_id"], "wait_s": 0})["state"] == "working"
    began = time.monotonic()
    other.call("get_result", {"job_id": reply["job_id"], "cancel": True})
    while (found := one.call("get_result", {"job_id": reply["job_id"], "wait_s": 0}))["state"] == "working":
        assert time.monotonic() - began < 10
    assert found["state"] == "cancelled"
    assert other.call("get_result", {"job_id": reply["job_id"]})["state"] == "cancelled"


def test_cancelling_ends_the_work_within_a_second(start: Callable[..., Server], sample_files: Any) -> None:
    server = start(sample_files.report_scan.parent)
    reply = server.call("read_document", {"source": "report-scan.pdf"})
    found = server.call("get_result", {"job_id": reply["job_id"], "cancel": True})
    assert found["state"] == "cancelled" and found["notices"]


def test_a_job_expires(start: Callable[..., Server], sample_files: Any) -> None:
    folder = sample_files.report_scan.parent
    server = start(folder, reply_within_s=0.3)
    reply = server.call("read_document", {"source": "report-scan.pdf"})
    server.kill()
    later = start(folder, keep_results_h=1e-7)
    error = later.call("get_result", {"job_id": reply["job_id"]})["error"]
    assert error["code"] == "invalid_argument" and "expired" in error["message"]


def test_what_is_kept_is_the_user_s_alone(start: Callable[..., Server], sample_files: Any, tmp_path: Path) -> None:
    server = start(sample_files.report_scan.parent, reply_within_s=0.3)
    server.call("read_document", {"source": "report-scan.pdf"})
    state = tmp_path / "state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    assert any(path.suffix == ".sqlite3" for path in state.iterdir())
