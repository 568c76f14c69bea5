"""The tools over a real checkpoint, tiny and random, in the real host process: nonsense comes back, all the way."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from PIL import Image

from mcp_server.app import LazyService, build_app
from mcp_server.running import run_tool
from tools.catalogue import TOOLS
from vision.call import Call
from vision.chat.record import host_key
from vision.config import Settings
from vision.engine.local import local_engine
from vision.service import VisionService

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra [local]"),
]
Ask = Callable[..., Awaitable[Any]]
# A folder that the setting names is called by its own name.
NAME = "qwen3-112-0"


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Callable[..., Path]) -> Path:
    return tiny_checkpoint()


@pytest.fixture(scope="module")
def served(sample_files: Any, tiny: Path) -> Iterator[VisionService]:
    folder = sample_files.report.parent
    Image.linear_gradient("L").resize((900, 700)).convert("RGB").save(folder / "plain.png")
    settings = Settings(engine="internvl", variant=str(tiny), max_answer_tokens=12, job_within_s=120)
    with VisionService(settings, folder) as service:
        yield service
        anyio.run(service.engine.unload, None)


@pytest.fixture
def ask(served: VisionService) -> Ask:
    async def run(name: str, **arguments: Any) -> Any:
        tool = next(tool for tool in TOOLS if tool.name == name)
        return await run_tool(served, tool, arguments, Call(within_s=120.0))

    return run


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("describe_image", {"sources": ["plain.png", "chart.png"], "question": "有什么不同？"}),
        ("extract_text", {"source": "plain.png"}),
        ("read_document", {"source": "report.pdf", "question": "How many passengers?"}),
        ("answer_chart", {"source": "chart.png", "question": "Which is highest?"}),
        ("analyze_video", {"source": "video.mp4", "max_frames": 3}),
        ("locate_objects", {"source": "plain.png", "target": "a red car"}),
    ],
)
async def test_every_tool_is_answered_by_the_model(ask: Ask, name: str, arguments: dict[str, Any]) -> None:
    result = await ask(name, **arguments)
    assert (result.engine.name, result.engine.variant) == ("internvl", NAME), result.notices
    assert result.engine.quantisation == "none" and result.engine.reason
    assert result.used.tiles and result.conversation_id
    assert result.answer


async def test_a_conversation_goes_on_in_the_host(ask: Ask) -> None:
    first = await ask("describe_image", sources=["plain.png"])
    second = await ask("ask_followup", conversation_id=first.conversation_id, question="And the colour?")
    assert second.engine.name == "internvl" and second.answer and second.turn == 2


async def test_the_same_question_is_answered_the_same(ask: Ask) -> None:
    answers = {(await ask("describe_image", sources=["chart.png"], question="What?")).answer for _ in range(2)}
    assert len(answers) == 1


async def test_the_model_s_process_is_told_of_and_shared(ask: Ask, served: VisionService) -> None:
    await ask("describe_image", sources=["plain.png"])
    status = await ask("manage_model")
    assert [(model.variant, model.state) for model in status.models] == [(NAME, "ready")]
    other = local_engine(served.settings)
    ours, theirs = await served.engine.choice(), await other.choice()
    (host,) = await other.hosts()
    assert theirs.plan == host.spec.plan and ours.plan is not None
    assert host_key(host.spec) == host_key(host.spec.model_copy(update={"plan": ours.plan}))
    assert "running already" in theirs.reason


async def test_an_unloaded_model_is_loaded_again_and_the_agent_hears_how_far_it_is(served: VisionService) -> None:
    heard: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    app = build_app(LazyService(served.settings, served._cwd))
    async with Client(app) as client:
        ended = await client.call_tool("manage_model", {"action": "unload"})
        assert ended.structured_content is not None and ended.structured_content["models"] == []
        arguments = {"sources": ["plain.png"], "question": "What is it?"}
        result = await client.call_tool("describe_image", arguments, progress_callback=progress)
        assert not result.is_error, result.content
        asked = {"conversation_id": result.structured_content["conversation_id"], "question": "And?"}  # type: ignore[index]
        more = await client.call_tool("ask_followup", asked)
    for reply in (result, more):
        assert reply.structured_content is not None and reply.structured_content["engine"]["name"] == "internvl"
        assert reply.structured_content["answer"]
    assert any(message.startswith(f"loading {NAME}, ") for message in heard)


@pytest.mark.parametrize("text", ["qwen2", "qwen3_moe"])
async def test_other_language_models_answer_through_the_whole_server(
    served: VisionService, tiny_checkpoint: Callable[..., Path], text: str
) -> None:
    settings = served.settings.model_copy(update={"variant": str(tiny_checkpoint(text))})
    service = LazyService(settings, served._cwd)
    async with Client(build_app(service)) as client:
        result = await client.call_tool("describe_image", {"sources": ["chart.png"], "question": "What is it?"})
        await client.call_tool("manage_model", {"action": "unload"})
    assert result.structured_content is not None, result.content
    assert result.structured_content["engine"]["variant"] == f"{text}-112-0"
    assert result.structured_content["answer"]
