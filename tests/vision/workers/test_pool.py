"""Real worker processes, ended in every way they can end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image, ImageDraw

from vision.errors import DamagedMedia, LimitExceeded, WorkerFailed
from vision.workers import jobs
from vision.workers.pool import WorkerPool
from vision.workers.process import WorkerSpec

pytestmark = pytest.mark.anyio

LIMITS = {"max_pages": 5000, "max_pixels": 80_000_000}
SPEC = WorkerSpec("media", memory_mb=600, timeout_s=30.0)


@pytest.fixture
def make_pool() -> Iterator[Callable[..., WorkerPool]]:
    made: list[WorkerPool] = []

    def make(spec: WorkerSpec, size: int = 1) -> WorkerPool:
        made.append(WorkerPool(spec, size))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def pool(make_pool: Callable[..., WorkerPool]) -> WorkerPool:
    return make_pool(SPEC, 2)


def document(**changes: Any) -> jobs.DocumentParams:
    return jobs.DocumentParams.model_validate({"format": "pdf", "output": "text", **LIMITS, **changes})


def picture(**changes: Any) -> jobs.PictureParams:
    return jobs.PictureParams.model_validate({"format": "png", "max_pixels": 80_000_000, **changes})


def worker_ids(pool: WorkerPool) -> list[int]:
    return [worker.pid for worker in (*pool._idle, *pool._busy)]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_a_process_is_kept_for_the_next_job(pool: WorkerPool, sample_files: Any) -> None:
    for _ in range(2):
        with sample_files.report.open("rb") as file:
            async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
                assert [item.page.number async for item, _ in results] == [1, 2, 3]
        first, *others = worker_ids(pool)
        assert not others
    assert not is_gone(first)


async def test_pixels_come_back_beside_the_values(pool: WorkerPool, sample_files: Any) -> None:
    with sample_files.screenshot_en.open("rb") as file:
        item, pixels = await pool.first(jobs.PICTURE, picture(), file=file)
    assert (item.raster.width, item.raster.height) == (1280, 800)
    assert len(pixels) == 1280 * 800 * 3


async def test_an_error_of_the_job_keeps_its_code_and_the_process(pool: WorkerPool, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\n" + b"no objects here\n" * 20)
    with broken.open("rb") as file, pytest.raises(DamagedMedia):
        await pool.first(jobs.DOCUMENT, document(), file=file)
    assert len(pool) == 1


async def test_leaving_early_ends_the_process(pool: WorkerPool, sample_files: Any) -> None:
    with sample_files.report.open("rb") as file:
        async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
            await anext(results)
            (pid,) = worker_ids(pool)
    assert is_gone(pid)
    assert len(pool) == 0


async def test_a_killed_process_costs_one_error_and_the_next_job_works(pool: WorkerPool, sample_files: Any) -> None:
    with sample_files.report_scan.open("rb") as file, pytest.raises(WorkerFailed) as caught:
        async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
            await anext(results)
            os.kill(worker_ids(pool)[0], signal.SIGKILL)
            async for _ in results:
                pass
    assert caught.value.hint
    with sample_files.report.open("rb") as file:
        async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
            assert len([item async for item in results]) == 3


def page_of_text() -> tuple[jobs.TextParams, bytes]:
    """Enough text to keep a recogniser busy for seconds."""
    page = Image.new("RGB", (1600, 2000), "white")
    draw = ImageDraw.Draw(page)
    for row in range(60):
        draw.text((40, 20 + row * 32), "the quick brown fox jumps over the lazy dog " * 3, fill="black", font_size=20)
    return jobs.TextParams(raster=jobs.Raster(width=1600, height=2000)), page.tobytes()


async def test_a_job_over_its_time_is_ended(make_pool: Callable[..., WorkerPool]) -> None:
    pool = make_pool(WorkerSpec("ocr", memory_mb=1100, timeout_s=0.3))
    params, pixels = page_of_text()
    with pytest.raises(LimitExceeded, match="longer than"):
        await pool.first(jobs.TEXT, params, blob=pixels)
    assert len(pool) == 0


async def test_a_job_over_its_memory_is_ended(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    Image.new("L", (9000, 9000)).save(big)
    pool = make_pool(WorkerSpec("media", memory_mb=120, timeout_s=30.0))
    with big.open("rb") as file, pytest.raises(LimitExceeded, match="memory"):
        await pool.first(jobs.PICTURE, picture(max_pixels=100_000_000, measure=True), file=file)
    assert len(pool) == 0


async def test_cancelling_ends_the_work_within_a_second(make_pool: Callable[..., WorkerPool]) -> None:
    pool = make_pool(WorkerSpec("ocr", memory_mb=1100, timeout_s=30.0))
    params, pixels = page_of_text()
    at_work = anyio.Event()

    async def read() -> None:
        async with pool.run(jobs.TEXT, params, blob=pixels) as results:
            at_work.set()
            await anext(results)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await at_work.wait()
        (pid,) = worker_ids(pool)
        asked = time.monotonic()
        group.cancel_scope.cancel()
    assert time.monotonic() - asked < 1.0
    assert is_gone(pid)


async def test_idle_processes_end_when_told(pool: WorkerPool, sample_files: Any) -> None:
    with sample_files.report.open("rb") as file:
        async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
            assert len([item async for item in results]) == 3
    pool.end_idle(60.0)
    assert len(pool) == 1
    pool.end_idle(0.0)
    assert len(pool) == 0


async def test_no_more_processes_run_than_there_are_slots(pool: WorkerPool, sample_files: Any) -> None:
    most = 0

    async def read() -> None:
        nonlocal most
        with sample_files.report.open("rb") as file:
            async with pool.run(jobs.DOCUMENT, document(), file=file) as results:
                async for _ in results:
                    most = max(most, len(pool))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(read)
    assert most == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from vision.workers.process import WorkerProcess, WorkerSpec\n"
        "worker = WorkerProcess(WorkerSpec('media', memory_mb=600, timeout_s=30.0))\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 5
    while not is_gone(pid) and _state(pid) != "Z" and time.monotonic() < deadline:
        os.sched_yield()
    assert is_gone(pid) or _state(pid) == "Z"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
