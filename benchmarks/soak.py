"""Two hundred calls in a row: memory stays flat, no file stays open, no process is left at the end. Linux only.

Every call gets a file whose bytes were never sent before, as a cache of answers would hide what a call costs.

Usage: .venv/bin/python benchmarks/soak.py [CALLS]      writes benchmarks/results/soak.json
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.hostile import is_alive, judge
from benchmarks.raw_server import RawServer, family, open_files, resident_bytes
from scripts.samples import Samples, make_samples

RESULTS = Path(__file__).parent / "results" / "soak.json"
CALLS, WARM_UP, WINDOW = 200, 30, 50
GROWTH = 0.05
CALL_LIMIT_S = 60.0


class Sample(NamedTuple):
    """The server and its children right after a call."""

    tool: str
    outcome: str
    seconds: float
    resident: int
    open_files: int
    processes: int


def _fresh(path: Path, number: int) -> str:
    """A copy with bytes at its end that no decoder minds, named as seen from the server's working directory."""
    mark = f"call {number}".encode()
    ending = {
        ".png": mark,
        ".pdf": b"\n%" + mark + b"\n",
        ".mp4": (8 + len(mark)).to_bytes(4, "big") + b"free" + mark,
    }[path.suffix]
    copy = path.with_name(f"copy{path.suffix}")
    copy.write_bytes(path.read_bytes() + ending)
    return copy.name


def _call(files: Samples, number: int) -> tuple[str, dict[str, Any]]:
    """The tool and arguments of a call; the mix repeats after ten."""
    mix: tuple[tuple[str, Path | None, dict[str, Any]], ...] = (
        ("describe_image", files.screenshot_en, {}),
        ("read_document", files.report, {}),
        ("extract_text", files.screenshot_zh, {"region": [0, 0, 640, 400]}),
        ("manage_model", None, {"action": "status"}),
        ("answer_chart", files.chart, {"output": "table"}),
        ("read_document", files.report, {"format": "text", "pages": "2-3"}),
        ("analyze_video", files.video, {"start": 3, "end": 8, "max_frames": 2}),
        ("extract_text", None, {"source": "not-there.png"}),
        ("read_document", files.report_scan, {"pages": "3"}),
        ("locate_objects", files.screenshot_en, {"target": "Send invoice", "region": [640, 400, 1280, 800]}),
    )
    tool, path, arguments = mix[number % len(mix)]
    if path is None:
        return tool, arguments
    source = _fresh(path, number)
    return tool, {**arguments, **({"sources": [source]} if tool == "describe_image" else {"source": source})}


def soak(command: list[str], folder: Path, calls: int) -> tuple[list[Sample], int, float]:
    """(a sample after each call, processes left after the end of input, seconds until the server was gone)."""
    files = make_samples(folder)
    samples: list[Sample] = []
    with RawServer(command, cwd=folder) as server:
        server.handshake()
        for number in range(calls):
            tool, arguments = _call(files, number)
            started = time.monotonic()
            outcome, bad, message = judge(server.call(tool, arguments, CALL_LIMIT_S))
            seconds = time.monotonic() - started
            expected = "source_not_found" if arguments.get("source") == "not-there.png" else "result"
            if bad or outcome != expected:
                raise SystemExit(f"call {number}, {tool}: {outcome} {message}")
            pids = family(server.process.pid)
            files_open = sum(open_files(pid) for pid in pids)
            samples.append(Sample(tool, outcome, seconds, resident_bytes(pids), files_open, len(pids)))
            if number % 20 == 19:
                print(f"{number + 1} calls, {samples[-1].resident / 1e6:.0f} MB, {len(pids)} processes", flush=True)
        pids = family(server.process.pid)
        exit_s = server.close()
        left = sum(1 for pid in pids if is_alive(pid))
    return samples, left, exit_s


def summary(samples: list[Sample], left: int, exit_s: float) -> dict[str, Any]:
    first, last = samples[WARM_UP : WARM_UP + WINDOW], samples[-WINDOW:]

    def means(name: str) -> tuple[float, float]:
        return tuple(statistics.mean(getattr(s, name) for s in window) for window in (first, last))  # type: ignore[return-value]

    memory, files, processes = means("resident"), means("open_files"), means("processes")
    problems = []
    if memory[1] > memory[0] * (1 + GROWTH):
        problems.append(f"memory grew from {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB")
    if max(s.open_files for s in last) > max(s.open_files for s in first):
        problems.append("files were left open")
    if left:
        problems.append(f"{left} processes were left")
    return {
        "command": "python benchmarks/soak.py",
        "calls": len(samples),
        "warm_up": WARM_UP,
        "window": WINDOW,
        "resident_mb_first": round(memory[0] / 1e6, 1),
        "resident_mb_last": round(memory[1] / 1e6, 1),
        "ratio": round(memory[1] / memory[0], 3),
        "resident_mb_every_10": [round(s.resident / 1e6) for s in samples[9::10]],
        "open_files": [round(value, 1) for value in files],
        "processes": [round(value, 1) for value in processes],
        "processes_left": left,
        "exit_after_eof_s": round(exit_s, 2),
        "seconds_by_tool": {
            tool: round(statistics.median(s.seconds for s in samples if s.tool == tool), 2)
            for tool in sorted({s.tool for s in samples})
        },
        "problems": problems,
    }


def main(calls: int) -> int:
    if calls < WARM_UP + 2 * WINDOW:
        sys.exit(f"at least {WARM_UP + 2 * WINDOW} calls are needed to compare the first {WINDOW} with the last")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "internvl-mcp")]
        result = summary(*soak(command, Path(folder), calls))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for key, value in result.items():
        print(f"{key}: {value}")
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS))
