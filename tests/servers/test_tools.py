"""Every tool of the whole MCP server over a server of another maker: the answers of the model on this machine, heard as
they come, and work that ends there when a call is cancelled here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from mcp import Client

from mcp_server.app import LazyService, build_app
from tests.nano.files import write_pictures, write_video
from tests.nano.scenes import draw
from tests.nano.tasks import Maker, Scene
from tests.servers.asking import Far
from tests.servers.running import MODEL, Running
from vision.chat.types import Ask, Message, TextPart
from vision.config import Settings

pytestmark = pytest.mark.anyio
_REPLY_S = 120.0
# An answer without an end takes longer.
_ENDS_WITHIN_S = 8.0
# A tool, and what is asked of which kind of scene.
TOOLS: dict[str, tuple[str, Callable[[Scene, list[str]], dict[str, Any]]]] = {
    "describe_image": ("shapes", lambda scene, files: {"sources": files, "question": scene.questions[0].text}),
    "describe_image, two": ("images", lambda scene, files: {"sources": files, "question": scene.questions[0].text}),
    "describe_image, tiles": ("tiles", lambda scene, files: {"sources": files, "question": scene.questions[0].text}),
    "extract_text": ("text", lambda _, files: {"source": files[0]}),
    "read_document": ("document", lambda scene, files: {"source": files[0], "question": scene.questions[0].text}),
    "answer_chart": ("chart", lambda scene, files: {"source": files[0], "question": scene.questions[0].text}),
    "locate_objects": ("boxes", lambda scene, files: {"source": files[0], "target": scene.questions[0].text}),
    "analyze_video": (
        "frames",
        lambda scene, files: {
            "source": files[0],
            "question": scene.questions[0].text,
            "max_frames": len(scene.pictures),
        },
    ),
}


class Scenes:
    """A scene of each kind as files: `scenes["chart"]`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, tuple[Scene, list[str]]] = {}

    def __getitem__(self, kind: str) -> tuple[Scene, list[str]]:
        if kind not in self._made:
            scene = draw(Maker(f"servers {kind}", "test", chinese=0), kind)
            stem = self.folder / kind
            paths = [write_video(scene, stem)[0]] if scene.tool == "video" else write_pictures(scene, stem)
            self._made[kind] = scene, [path.name for path in paths]
        return self._made[kind]


# For the session: pytest comes back to this module with the next server.
@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return Scenes(tmp_path_factory.mktemp("scenes"))


def _remote(server: Running, **changes: Any) -> Settings:
    return Settings(engine="remote", endpoints=(server.url,), endpoint_model=MODEL, reply_within_s=_REPLY_S, **changes)


@asynccontextmanager
async def _client(settings: Settings, folder: Path) -> AsyncGenerator[Client]:
    service = LazyService(settings, folder)
    try:
        async with Client(build_app(service)) as client:
            yield client
    finally:
        service.close()


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error and result.structured_content is not None, result.content
    found: dict[str, Any] = result.structured_content
    return found


@pytest.fixture(scope="session")
def here(nano: Path, scenes: Scenes) -> Iterator[dict[str, dict[str, Any]]]:
    """What each tool says with the model on this machine."""
    found: dict[str, dict[str, Any]] = {}

    async def every() -> None:
        settings = Settings(engine="internvl", variant=str(nano), reply_within_s=_REPLY_S)
        async with _client(settings, scenes.folder) as client:
            for name, (kind, arguments) in TOOLS.items():
                found[name] = await _call(client, name.partition(",")[0], **arguments(*scenes[kind]))
            found["ask_followup"] = await _follow(client, scenes)
            await client.call_tool("manage_model", {"action": "unload"})

    anyio.run(every)
    return found


async def _follow(client: Client, scenes: Scenes) -> dict[str, Any]:
    scene, files = scenes["shapes"]
    first = await _call(client, "describe_image", sources=files, question=scene.questions[0].text)
    return await _call(client, "ask_followup", conversation_id=first["conversation_id"], question="What else is there?")


async def test_every_tool_answers_as_with_the_model_on_this_machine(
    server: Running, here: dict[str, dict[str, Any]], scenes: Scenes
) -> None:
    async with _client(_remote(server), scenes.folder) as client:
        there = {
            name: await _call(client, name.partition(",")[0], **arguments(*scenes[kind]))
            for name, (kind, arguments) in TOOLS.items()
        }
        there["ask_followup"] = await _follow(client, scenes)
    assert {name: result["engine"]["name"] for name, result in there.items()} == dict.fromkeys(here, "internvl")
    assert {name: result["engine"]["variant"] for name, result in there.items()} == dict.fromkeys(here, MODEL)
    assert {name: _said(result) for name, result in there.items()} == {
        name: _said(result) for name, result in here.items()
    }


def _said(result: dict[str, Any]) -> Any:
    return result["objects"] if "objects" in result else result["answer"]


async def test_a_client_hears_the_answer_as_it_comes(server: Running, scenes: Scenes) -> None:
    heard: list[str] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    scene, files = scenes["shapes"]
    asked = {"sources": files, "question": scene.questions[0].text}
    async with _client(_remote(server), scenes.folder) as client:
        result = await client.call_tool("describe_image", asked, progress_callback=progress)
        status = await _call(client, "manage_model")
    assert not result.is_error and result.structured_content is not None, result.content
    assert any(message and message in result.structured_content["answer"] for message in heard), heard
    (endpoint,) = status["endpoints"]
    assert endpoint["reachable"] and endpoint["breaker"] == "closed" and endpoint["model"] == MODEL


async def test_a_call_that_is_cancelled_ends_the_work_on_the_server(endless: Running, scenes: Scenes) -> None:
    heard = anyio.Event()

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.set()

    def working() -> bool:
        found = endless.working()
        return heard.is_set() if found is None else found > 0

    scene, files = scenes["shapes"]
    asked = {"sources": files, "question": scene.questions[0].text}
    async with _client(_remote(endless, max_answer_tokens=4000), scenes.folder) as client:
        with anyio.fail_after(_REPLY_S):
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    await client.call_tool("describe_image", asked, progress_callback=progress)

                group.start_soon(ask)
                await _until(working)
                group.cancel_scope.cancel()
        with anyio.fail_after(_ENDS_WITHIN_S):
            if endless.working() is None:
                # It works on one question after the other, and the first would take it longer than this.
                question = Message(role="user", parts=(TextPart(text="And now?"),))
                assert await Far(endless).ask(Ask(messages=(question,), max_tokens=2))
            else:
                await _until(lambda: endless.working() == 0)


async def _until(condition: Callable[[], bool]) -> None:
    while not await anyio.to_thread.run_sync(condition):
        await anyio.lowlevel.checkpoint()
