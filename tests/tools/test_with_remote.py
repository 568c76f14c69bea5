"""The whole server over a model that somebody else serves: our own host on a port, with a tiny random checkpoint. What
comes back is what the same checkpoint says on this machine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from PIL import Image
from pydantic import SecretStr

from mcp_server.app import LazyService, build_app
from mcp_server.running import run_tool
from tests.model_server import KEY, ModelServer, model_server
from tools.catalogue import TOOLS
from vision.call import Call
from vision.chat.host_spec import HostSpec
from vision.config import Settings
from vision.engine.local import local_engine
from vision.service import VisionService

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra [local]"),
]
NAME = "qwen3-112-0"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("describe_image", {"sources": ["plain.png", "chart.png"], "question": "有什么不同？"}),
    ("extract_text", {"source": "plain.png"}),
    # One page: of several, a model on this machine's processor would be shown fewer.
    ("read_document", {"source": "report.pdf", "pages": "1", "question": "How many passengers?"}),
    ("answer_chart", {"source": "chart.png", "question": "Which is highest?"}),
    ("analyze_video", {"source": "video.mp4", "max_frames": 3}),
    ("locate_objects", {"source": "plain.png", "target": "a red car"}),
]


@pytest.fixture(scope="module")
def folder(sample_files: Any) -> Path:
    found: Path = sample_files.report.parent
    # Not much larger than its twelve tiles of 112 pixels: scaling it before it is sent would change what they show.
    Image.linear_gradient("L").resize((520, 404)).convert("RGB").save(found / "plain.png")
    return found


@pytest.fixture(scope="module")
def here(folder: Path, tiny_checkpoint: Callable[..., Path]) -> Iterator[VisionService]:
    settings = Settings(
        engine="internvl", variant=str(tiny_checkpoint()), max_answer_tokens=12, job_within_s=120, memory_fraction=0.3
    )
    with VisionService(settings, folder) as service:
        yield service
        anyio.run(service.engine.unload, None)


@pytest.fixture(scope="module")
def server(here: VisionService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    choice = anyio.run(local_engine(here.settings).choice)
    assert choice.plan is not None and choice.folder is not None
    spec = HostSpec(plan=choice.plan, folder=choice.folder, idle_unload_s=600)
    with model_server(spec, tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def settings(server: ModelServer) -> Settings:
    return Settings(
        engine="remote",
        endpoints=(server.url,),
        endpoint_key=SecretStr(KEY),
        max_answer_tokens=12,
        job_within_s=120,
    )


@pytest.fixture
def there(settings: Settings, folder: Path) -> Iterator[VisionService]:
    with VisionService(settings, folder) as service:
        yield service


async def call(service: VisionService, name: str, **arguments: Any) -> Any:
    tool = next(tool for tool in TOOLS if tool.name == name)
    return await run_tool(service, tool, arguments, Call(within_s=120.0))


@pytest.mark.parametrize(("name", "arguments"), CALLS)
async def test_every_tool_answers_as_with_the_model_on_this_machine(
    there: VisionService, here: VisionService, name: str, arguments: dict[str, Any]
) -> None:
    far, near = [await call(service, name, **arguments) for service in (there, here)]
    assert (far.engine.name, far.engine.variant) == ("internvl", NAME), far.notices
    assert "endpoints" in far.engine.reason and KEY not in far.model_dump_json()
    assert far.answer and far.answer == near.answer
    assert far.used == near.used and far.used.tiles


async def test_a_conversation_goes_on_on_the_server(there: VisionService, here: VisionService) -> None:
    turns = []
    for service in (there, here):
        first = await call(service, "describe_image", sources=["plain.png"])
        turns.append(
            await call(service, "ask_followup", conversation_id=first.conversation_id, question="And the colour?")
        )
    far, near = turns
    assert far.turn == 2 and far.answer and far.answer == near.answer


async def test_a_client_hears_the_answer_as_it_comes(settings: Settings, folder: Path) -> None:
    heard: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    async with Client(build_app(LazyService(settings, folder))) as client:
        arguments = {"sources": ["plain.png"], "question": "What is it, once more?"}
        result = await client.call_tool("describe_image", arguments, progress_callback=progress)
        assert not result.is_error, result.content
        status = await client.call_tool("manage_model", {})
    assert result.structured_content is not None and status.structured_content is not None
    assert any(message and message in result.structured_content["answer"] for message in heard)
    (endpoint,) = status.structured_content["endpoints"]
    assert endpoint["reachable"] and endpoint["breaker"] == "closed" and endpoint["model"] == NAME
    assert endpoint["kind"] == "internvl-mcp" and endpoint["context"] and endpoint["latency_ms"] is not None
    assert KEY not in str(status)


async def test_a_call_that_is_cancelled_ends_the_work_on_the_server(
    settings: Settings, folder: Path, server: ModelServer
) -> None:
    long = settings.model_copy(update={"max_answer_tokens": 4000})
    with VisionService(long, folder) as service, anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await call(service, "describe_image", sources=["chart.png"], question="Tell a very long story.")

            group.start_soon(ask)
            while (await server.host.health()).working == 0:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        while (health := await server.host.health()).working or health.waiting:
            await anyio.lowlevel.checkpoint()
