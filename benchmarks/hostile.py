"""Hostile and damaged media against a running server: each file is one clear error or a result, and never its end.

Every file goes through the tool that fits it and through a wrong one; after each call tools/list has to answer. The
resident memory of the server and all its children is sampled every 50 ms. Linux only.

Usage: .venv/bin/python benchmarks/hostile.py [MUTATED_FILES]      writes benchmarks/results/hostile.json
INTERNVL_MCP_MEDIA names the folder with the media of others (its `hostile/` is used); without it only mutated files.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.mutations import PICTURES, VIDEOS, mutated
from benchmarks.raw_server import MemoryWatch, NoReply, RawServer, ServerGone, family
from vision.errors import BY_CODE

RESULTS = Path(__file__).parent / "results" / "hostile.json"
# Above `reply_within_s` (45): what takes longer than this is a hang.
CALL_LIMIT_S = 60.0
LIST_LIMIT_S = 5.0
MEMORY_LIMIT = 1_500_000_000
MUTATED = 500
PICTURE_TOOLS = ("extract_text", "describe_image", "answer_chart")
PICTURE_ENDINGS = {*PICTURES, "jpg", "jpe", "tif", "j2k", "jp2", "sgi", "psd", "ico", "mpo", "heif"}
VIDEO_ENDINGS = {*VIDEOS, "avi", "mov", "webm", "m4v", "h264", "flv"}
# What a file that makes a decoder read another one would show.
STOLEN = re.compile(r"root:.?[x*]:0:0")


class Trial(NamedTuple):
    """One call: `outcome` is "result", an error code, or what went wrong; `bad` says the server misbehaved."""

    file: str
    tool: str
    outcome: str
    bad: bool
    seconds: float
    peak_bytes: int
    message: str = ""


class Report(NamedTuple):
    """All trials, and what the server left behind when its input ended."""

    trials: tuple[Trial, ...]
    exit_s: float
    left_over: int
    seconds: float

    def problems(self) -> list[str]:
        """Everything that must not be, one line each; empty when the server held."""
        found = [f"{t.file} through {t.tool}: {t.outcome} {t.message}" for t in self.trials if t.bad]
        found += [
            f"{t.file} through {t.tool}: {t.peak_bytes / 1e6:.0f} MB resident"
            for t in self.trials
            if t.peak_bytes > MEMORY_LIMIT
        ]
        if self.left_over:
            found.append(f"{self.left_over} processes were left after the end of input")
        return found


def tools_for(name: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The tool that fits a file of this name, and one that does not, with their arguments beside the source."""
    ending = name.rsplit(".", 1)[-1].lower()
    if ending in VIDEO_ENDINGS:
        return ("analyze_video", {}), ("extract_text", {})
    if ending in PICTURE_ENDINGS:
        fitting = PICTURE_TOOLS[sum(name.encode()) % len(PICTURE_TOOLS)]
        return (fitting, {}), ("analyze_video", {})
    return ("read_document", {}), ("locate_objects", {"target": "Total"})


def judge(reply: dict[str, Any]) -> tuple[str, bool, str]:
    """(outcome, bad, message) of a reply: a result, or one VisionError with code, message and hint."""
    if "result" not in reply:
        return "protocol error", True, json.dumps(reply.get("error"))[:300]
    text = "\n".join(part.get("text", "") for part in reply["result"]["content"])
    if STOLEN.search(re.sub(r"\s", "", text)):
        return "leak", True, text[:300]
    if not reply["result"].get("isError"):
        structured = reply["result"].get("structuredContent")
        return ("result", False, "") if structured else ("empty result", True, text[:300])
    try:
        error = json.loads(text)["error"]
        code, message, hint = error["code"], error["message"], error["hint"]
    except (ValueError, KeyError, TypeError):
        return "unclean error", True, text[:300]
    return code, code not in BY_CODE or not message or not hint, message[:300]


def _try(server: RawServer, watch: MemoryWatch, path: Path, tool: str, arguments: dict[str, Any]) -> Trial:
    source = {"sources": [str(path)]} if tool == "describe_image" else {"source": str(path)}
    watch.take_peak()
    started = time.monotonic()
    try:
        outcome, bad, message = judge(server.call(tool, {**source, **arguments}, CALL_LIMIT_S))
        seconds = time.monotonic() - started
        server.tools(LIST_LIMIT_S)
    except NoReply as error:
        outcome, bad, message, seconds = "hang", True, str(error), time.monotonic() - started
    except ServerGone as error:
        outcome, bad, message, seconds = "server gone", True, str(error), time.monotonic() - started
    return Trial(path.name, tool, outcome, bad, seconds, watch.take_peak(), message)


def run_trials(command: Sequence[str], files: Iterable[Path], cwd: Path, *, show: bool = False) -> Report:
    """Sends every file to one server, started anew only when a file ended it. `files` must lie under its roots."""
    trials: list[Trial] = []
    waiting = [(path, tool, arguments) for path in files for tool, arguments in tools_for(path.name)]
    started = time.monotonic()
    exit_s, left_over = 0.0, 0
    while waiting:
        with RawServer(command, cwd=cwd) as server, MemoryWatch(server.process.pid) as watch:
            server.handshake()
            while waiting:
                trials.append(_try(server, watch, *waiting.pop(0)))
                if show and len(trials) % 50 == 0:
                    print(f"{len(trials)} calls, {len(waiting)} to go, {time.monotonic() - started:.0f} s", flush=True)
                if trials[-1].outcome == "server gone":
                    break
            members = family(server.process.pid)
            exit_s = max(exit_s, server.close())
            left_over += sum(1 for pid in members if is_alive(pid))
    return Report(tuple(trials), exit_s, left_over, time.monotonic() - started)


def is_alive(pid: int) -> bool:
    """Zombies are not: they only wait for their parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def write_mutated(folder: Path, count: int, seed: int = 4711) -> list[Path]:
    paths = []
    for specimen in mutated(count, seed):
        path = folder / specimen.name
        path.write_bytes(specimen.content)
        paths.append(path)
    return paths


def hostile_files() -> list[Path]:
    """The files of INTERNVL_MCP_MEDIA/hostile; none when that is not set."""
    media = os.environ.get("INTERNVL_MCP_MEDIA")
    if not media:
        return []
    names = [json.loads(line)["file"] for line in (Path(media) / "hostile" / "manifest.jsonl").read_text().splitlines()]
    return [Path(media) / "hostile" / name for name in names]


def summary(report: Report, hostile: int, damaged: int) -> dict[str, Any]:
    def row(trial: Trial) -> dict[str, Any]:
        return {
            "file": trial.file,
            "tool": trial.tool,
            "outcome": trial.outcome,
            "seconds": round(trial.seconds, 2),
            "peak_mb": round(trial.peak_bytes / 1e6),
            "message": trial.message,
        }

    worker = [t for t in report.trials if t.outcome == "worker_failed"]
    return {
        "command": "python benchmarks/hostile.py",
        "hostile_files": hostile,
        "mutated_files": damaged,
        "calls": len(report.trials),
        "seconds": round(report.seconds),
        "outcomes": dict(Counter(t.outcome for t in report.trials).most_common()),
        "examples": {t.outcome: row(t) for t in report.trials if t.outcome != "result"},
        "peak_resident_mb": round(max(t.peak_bytes for t in report.trials) / 1e6),
        "exit_after_eof_s": round(report.exit_s, 2),
        "processes_left": report.left_over,
        "problems": report.problems(),
        "slowest": [row(t) for t in sorted(report.trials, key=lambda t: -t.seconds)[:10]],
        "largest": [row(t) for t in sorted(report.trials, key=lambda t: -t.peak_bytes)[:5]],
        "worker_failed": [row(t) for t in worker[:30]],
    }


def main(count: int) -> int:
    hostile = hostile_files()
    if not hostile:
        print("INTERNVL_MCP_MEDIA is not set: only mutated files are tried.")
    with tempfile.TemporaryDirectory() as folder:
        files = hostile + write_mutated(Path(folder), count)
        command = [str(Path(sys.executable).parent / "internvl-mcp")]
        command += ["--root", str(hostile[0].parent)] if hostile else []
        report = run_trials(command, files, Path(folder), show=True)
    result = summary(report, len(hostile), count)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for key in ("calls", "seconds", "outcomes", "peak_resident_mb", "exit_after_eof_s", "processes_left"):
        print(f"{key}: {result[key]}")
    print(
        "slowest:", *(f"  {r['seconds']} s {r['file']} {r['tool']} {r['outcome']}" for r in result["slowest"]), sep="\n"
    )
    print(f"{len(result['problems'])} problems", *result["problems"][:40], sep="\n")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else MUTATED))
