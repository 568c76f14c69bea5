"""Every setting changes what it says it changes, seen through the service."""

from __future__ import annotations

import argparse
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_server.running import run_tool
from mcp_server.settings import load as load_settings
from tests.scripted_model import NO_MODEL, ScriptedModel, says
from tests.vision.engine.played import played, put_weights
from tests.vision.remote.fake_server import FakeServer, model, refuses
from tests.vision.remote.fake_server import serving as running
from tests.vision.variants.machines import machine
from tools.catalogue import TOOLS
from vision.call import Call
from vision.config import Settings
from vision.engine.choice import Choice
from vision.errors import (
    AccessDenied,
    EngineUnavailable,
    LimitExceeded,
    ModelFailed,
    SourceUnreadable,
    WeightsUnusable,
)
from vision.service import VisionService
from vision.serving.types import ServingPlan
from vision.variants.plan import Plan

pytestmark = pytest.mark.anyio
Serving = Callable[..., VisionService]


@pytest.fixture
def serving(sample_files: Any) -> Iterator[Serving]:
    """Makes a service with some settings changed; it works in the folder of the sample files."""
    made: list[VisionService] = []

    def make(
        cwd: Path = sample_files.report.parent, engine_of: ScriptedModel | None = None, **changed: Any
    ) -> VisionService:
        model = engine_of or ScriptedModel(choice=NO_MODEL)
        made.append(VisionService(Settings.model_validate(changed), cwd, model.engine(**changed)))
        return made[-1]

    yield make
    for service in made:
        service.close()


async def call(service: VisionService, name: str, client_roots: tuple[Path, ...] = (), **arguments: Any) -> Any:
    async def roots() -> tuple[Path, ...]:
        return client_roots

    tool = next(tool for tool in TOOLS if tool.name == name)
    asked = Call(within_s=service.settings.job_within_s, client_roots=roots)
    return await run_tool(service, tool, arguments, asked)


@pytest.fixture
def web(sample_files: Any) -> Iterator[str]:
    """A plain HTTP server on loopback that serves the sample files; /slow never answers."""
    done = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(sample_files.report.parent))

        def do_GET(self) -> None:
            if self.path == "/slow":
                done.wait(30)
            else:
                super().do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: the test's output is its own."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def test_roots_allow_a_folder(serving: Serving, sample_files: Any, tmp_path: Path) -> None:
    source, folder = str(sample_files.report), sample_files.report.parent
    with pytest.raises(AccessDenied):
        await call(serving(cwd=tmp_path), "read_document", source=source, pages="1")
    assert await call(serving(cwd=tmp_path, roots=(folder,)), "read_document", source=source, pages="1")


async def test_the_working_directory_can_be_left_out(serving: Serving) -> None:
    with pytest.raises(AccessDenied):
        await call(serving(use_working_directory=False), "read_document", source="report.pdf", pages="1")


async def test_the_root_of_the_disk_is_no_working_directory(serving: Serving, sample_files: Any) -> None:
    with pytest.raises(AccessDenied):
        await call(serving(cwd=Path("/")), "read_document", source=str(sample_files.report))


async def test_client_roots_can_be_left_out(serving: Serving, sample_files: Any, tmp_path: Path) -> None:
    arguments = {"source": str(sample_files.report), "pages": "1", "client_roots": (sample_files.report.parent,)}
    assert await call(serving(cwd=tmp_path), "read_document", **arguments)
    with pytest.raises(AccessDenied):
        await call(serving(cwd=tmp_path, use_client_roots=False), "read_document", **arguments)


async def test_http_and_loopback_need_their_settings(serving: Serving, web: str) -> None:
    source = f"{web}/report.pdf"
    for missing in ({"allowed_hosts": ("127.0.0.1",)}, {"allow_http": True}):
        with pytest.raises(AccessDenied):
            await call(serving(**missing), "read_document", source=source)
    allowed = serving(allow_http=True, allowed_hosts=("127.0.0.1",))
    assert (await call(allowed, "read_document", source=source, pages="1")).page_count == 3


async def test_fetching_ends_at_its_time(serving: Serving, web: str) -> None:
    service = serving(allow_http=True, allowed_hosts=("127.0.0.1",), fetch_timeout_s=0.2)
    with pytest.raises((LimitExceeded, SourceUnreadable)):
        await call(service, "read_document", source=f"{web}/slow")


async def test_larger_files_than_max_bytes_are_refused(serving: Serving) -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        await call(serving(max_bytes=1000), "read_document", source="report.pdf")


async def test_larger_pictures_than_max_pixels_are_refused(serving: Serving) -> None:
    with pytest.raises(LimitExceeded, match="pixels"):
        await call(serving(max_pixels=1000), "extract_text", source="screenshot-en.png")


async def test_longer_documents_than_max_pages_are_refused(serving: Serving) -> None:
    with pytest.raises(LimitExceeded, match="pages"):
        await call(serving(max_pages=2), "read_document", source="report.pdf")


async def test_max_frames_bounds_what_is_looked_at(serving: Serving) -> None:
    few = await call(serving(max_frames=1), "analyze_video", source="video.mp4")
    more = await call(serving(max_frames=3), "analyze_video", source="video.mp4")
    assert len(few.used.frames_s) < len(more.used.frames_s)


async def test_decoding_ends_at_its_time(serving: Serving) -> None:
    with pytest.raises(LimitExceeded, match="longer than"):
        await call(serving(decode_timeout_s=0.001), "read_document", source="report-scan.pdf")


async def test_a_decoder_over_its_memory_is_ended(serving: Serving, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (7000, 7000)).save(tmp_path / "big.png")
    with pytest.raises(LimitExceeded, match="memory"):
        await call(serving(cwd=tmp_path, decoder_memory_mb=300), "describe_image", sources=["big.png"])


async def test_decoders_bounds_how_many_run(serving: Serving) -> None:
    for most in (1, 2):
        service = serving(decoders=most)
        async with anyio.create_task_group() as group:
            for page in ("1", "2", "3"):
                group.start_soon(_read_page, service, page)
        assert service.workers()["media"] == most


async def _read_page(service: VisionService, page: str) -> None:
    await call(service, "read_document", source="report.pdf", pages=page, format="text")


async def test_readers_bounds_how_many_pages_of_a_scan_are_read_at_once(serving: Serving) -> None:
    for most in (1, 2):
        service = serving(readers=most)
        await call(service, "read_document", source="report-scan.pdf")
        assert service.workers()["ocr"] == most


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads through /proc")
async def test_ocr_threads_sets_the_recognisers_threads(serving: Serving) -> None:
    counts = []
    for threads in (1, 3):
        service = serving(ocr_threads=threads)
        await call(service, "extract_text", source="chart.png")
        (worker,) = service._readers._idle
        counts.append(len(os.listdir(f"/proc/{worker.pid}/task")))  # noqa: PTH208
    assert counts[1] > counts[0]


async def test_a_call_ends_in_time_with_a_cursor(serving: Serving) -> None:
    service = serving(job_within_s=0.001)
    first = await call(service, "read_document", source="report-scan.pdf")
    assert [page.number for page in first.pages] == [1]
    assert first.truncated
    rest = await call(service, "read_document", source="report-scan.pdf", cursor=first.next_cursor)
    assert [page.number for page in rest.pages] == [2]


async def test_replies_hold_no_more_than_their_tokens(serving: Serving) -> None:
    small = await call(serving(max_reply_tokens=2000), "extract_text", source="report.pdf")
    whole = await call(serving(), "extract_text", source="report.pdf")
    assert small.truncated and not whole.truncated
    assert len(small.lines) < len(whole.lines)


async def test_idle_processes_end_after_idle_unload_s(serving: Serving) -> None:
    service = serving(idle_unload_s=0.05)
    await call(service, "read_document", source="report.pdf", pages="1")
    assert service.workers()["media"] == 1
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(service.end_idle_workers)
            while service.workers()["media"]:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


# The model's settings, on played machines and over a scripted model.


def chosen(cache: Path, **settings: Any) -> Choice:
    return played(cache, machine(23.5, 23.5), **settings).choose(())


def plan_of(cache: Path, **settings: Any) -> Plan:
    plan = chosen(cache, **settings).plan
    assert isinstance(plan, Plan)
    return plan


def test_engine_demands_or_leaves_out_the_model(tmp_path: Path) -> None:
    assert chosen(tmp_path).name == "ocr"
    with pytest.raises(WeightsUnusable):
        chosen(tmp_path, engine="internvl")
    put_weights(tmp_path, "InternVL3.5-1B")
    assert chosen(tmp_path).name == "internvl"
    assert chosen(tmp_path, engine="ocr").name == "ocr"


def test_engine_names_a_server_that_is_started_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("vllm", "lmdeploy", "llama-server"):
        (tmp_path / command).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    put_weights(tmp_path, "InternVL3.5-1B")
    for name in ("vllm", "lmdeploy"):
        choice = chosen(tmp_path, engine=name)
        assert isinstance(choice.plan, ServingPlan) and choice.plan.server == name


def test_gguf_folder_is_where_llama_cpp_s_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama-server").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsUnusable, match="gguf_folder"):
        chosen(tmp_path, engine="llama.cpp")
    with pytest.raises(WeightsUnusable, match="does not hold"):
        chosen(tmp_path, engine="llama.cpp", gguf_folder=tmp_path)
    for name in ("InternVL3-1B-Instruct-Q8_0", "mmproj-InternVL3-1B-Instruct-Q8_0"):
        (tmp_path / f"{name}.gguf").touch()
    choice = chosen(tmp_path, engine="llama.cpp", gguf_folder=tmp_path)
    assert isinstance(choice.plan, ServingPlan) and choice.folder == tmp_path
    assert (choice.plan.variant, choice.plan.quantisation) == ("InternVL3-1B", "q8_0")


def test_variant_names_the_model(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-1B", "InternVL3.5-8B")
    assert plan_of(tmp_path).variant == "InternVL3.5-8B"
    assert plan_of(tmp_path, variant="3.5-1B").variant == "InternVL3.5-1B"


def test_policy_weighs_speed_against_quality(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-4B", "InternVL3.5-38B")
    assert plan_of(tmp_path, policy="quality").variant == "InternVL3.5-38B"
    assert plan_of(tmp_path, policy="speed").variant == "InternVL3.5-4B"


def test_quantisation_decides_how_weights_are_made_smaller(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-8B")
    found = [plan_of(tmp_path, quantisation=kind).quantisation for kind in ("none", "int8", "nf4")]
    assert found == ["none", "int8", "nf4"]


def test_memory_fraction_bounds_what_the_model_may_take(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-8B")
    whole, half = (plan_of(tmp_path, memory_fraction=share).bytes[0].available for share in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, rel=0.01)


def test_device_decides_what_the_model_runs_on(tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-1B")
    assert plan_of(tmp_path).device == "cuda"
    assert plan_of(tmp_path, device="cpu").device == "cpu"


async def test_max_tiles_bounds_how_finely_a_picture_is_cut(serving: Serving) -> None:
    assert [await asked(serving, max_tiles=most, detail="full") for most in (4, 12)] == [4, 12]


async def asked(serving: Serving, detail: str, **changed: Any) -> int | None:
    model = ScriptedModel()
    await call(serving(engine_of=model, **changed), "describe_image", sources=["chart.png"], detail=detail)
    return model.asked[0].max_tiles


async def test_thinking_makes_the_model_think(serving: Serving) -> None:
    for thinking in (True, False):
        model = ScriptedModel(says("<think>It has bars.</think>\nA chart."))
        result = await call(serving(engine_of=model, thinking=thinking), "describe_image", sources=["chart.png"])
        assert result.answer == "A chart." and (model.asked[0].temperature > 0) is thinking


async def test_max_answer_tokens_bounds_the_answer(serving: Serving) -> None:
    model = ScriptedModel()
    await call(serving(engine_of=model, max_answer_tokens=77), "describe_image", sources=["chart.png"])
    assert model.asked[0].max_tokens == 77


async def test_idle_unload_s_is_the_model_s_too(serving: Serving) -> None:
    model = ScriptedModel()
    await call(serving(engine_of=model, idle_unload_s=33), "describe_image", sources=["chart.png"])
    assert model.up[0].idle_unload_s == 33


# The settings of a model that somebody else serves.


@pytest.fixture
def served() -> Iterator[FakeServer]:
    with running(FakeServer(models=[model("InternVL3-8B"), model("Qwen3-VL-8B")], key="sk-secret")) as server:
        yield server


async def picked(server: FakeServer, **settings: Any) -> Choice:
    settings = {"engine": "remote", "endpoints": (server.url,), "endpoint_key": "sk-secret", **settings}
    return await ScriptedModel(choice=NO_MODEL).engine(**settings).choice()


async def test_engine_remote_demands_an_endpoint(served: FakeServer) -> None:
    assert (await picked(served)).name == "internvl"
    with pytest.raises(EngineUnavailable, match="no address"):
        await picked(served, endpoints=())
    assert (await picked(served, engine="ocr")).model is None


async def test_endpoints_come_first_where_the_engine_is_auto(served: FakeServer) -> None:
    choice = await picked(served, engine="auto")
    assert choice.remote is not None and served.url in choice.reason
    assert (await picked(served, engine="auto", endpoints=())).remote is None


async def test_endpoint_model_names_the_model(served: FakeServer) -> None:
    choices = [await picked(served, endpoint_model=name) for name in (None, "Qwen3-VL-8B")]
    assert [choice.model and choice.model.variant for choice in choices] == ["InternVL3-8B", "Qwen3-VL-8B"]


async def test_endpoint_key_opens_the_endpoint(served: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(AccessDenied):
        await picked(served, endpoint_key=None)
    (tmp_path / "key").write_text("sk-secret\n")
    options = argparse.Namespace(config=None, endpoint_key_file=str(tmp_path / "key"))
    key = load_settings(options, {"XDG_CONFIG_HOME": str(tmp_path)}).endpoint_key
    assert (await picked(served, endpoint_key=key)).model is not None


async def test_fallback_lets_the_embedded_engine_answer_for_a_model_that_fails(
    serving: Serving, served: FakeServer
) -> None:
    settings = {"engine": "remote", "endpoints": (served.url,), "endpoint_key": "sk-secret"}
    served.replies = [refuses(500, "device lost"), refuses(500, "device lost")]
    with pytest.raises(ModelFailed):
        await call(serving(**settings), "describe_image", sources=["chart.png"])
    result = await call(serving(**settings, fallback=True), "describe_image", sources=["chart.png"])
    assert result.engine.name == "ocr" and result.pictures[0].lines
    assert any("device lost" in notice for notice in result.notices)


def test_every_setting_is_tested_here() -> None:
    there = Path(__file__).parent / "mcp_server"
    others = (there / "test_http_settings_effect.py", there / "test_jobs_stdio.py")
    text = "".join(path.read_text() for path in (Path(__file__), *others))
    assert [name for name in Settings.model_fields if name not in text] == []


async def test_what_outlives_a_restart_lies_in_state_folder_for_keep_results_h(
    serving: Serving, tmp_path: Path
) -> None:
    kept = []
    for hours in (1.0, 2.0):
        service = serving(state_folder=tmp_path / "state", keep_results_h=hours)
        await service.store.read(lambda _: None)
        kept.append(service.store.keep_s)
    assert kept == [3600, 7200]
    assert any(path.suffix == ".sqlite3" for path in (tmp_path / "state").iterdir())
