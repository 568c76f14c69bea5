"""One worker process as the server starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vision.workers import jobs
from vision.workers.process import WorkerProcess, WorkerSpec


@pytest.mark.skipif(sys.platform != "linux", reason="reads the priority of each thread in /proc")
def test_every_thread_of_a_worker_has_less_priority_than_the_server() -> None:
    worker = WorkerProcess(WorkerSpec("ocr", memory_mb=1100, timeout_s=30.0))
    try:
        raster = jobs.Raster(width=64, height=64)
        params = jobs.TextParams(raster=raster, tables=False)
        worker.begin(jobs.TEXT, params, None, bytes(64 * 64 * 3))
        while worker.next(jobs.TEXT, 30.0) is not None:
            pass
        stats = [task.read_text() for task in Path(f"/proc/{worker.pid}/task").glob("*/stat")]
        niceness = {int(stat.rsplit(")", 1)[1].split()[16]) for stat in stats}
    finally:
        worker.close()
    assert len(niceness) == 1 and niceness.pop() == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)


@pytest.mark.skipif(sys.platform == "win32", reason="has no priorities of that kind")
@pytest.mark.parametrize("refused", [ProcessLookupError(), PermissionError()])
def test_a_worker_whose_priority_cannot_be_lowered_works_all_the_same(
    refused: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise refused

    monkeypatch.setattr(os, "setpriority", refuse)
    worker = WorkerProcess(WorkerSpec("ocr", memory_mb=1100, timeout_s=30.0))
    try:
        assert worker.alive
    finally:
        worker.close()
    assert not worker.alive
