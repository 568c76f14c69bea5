"""The whole server over a model that somebody else serves: what a client of ours gets, and what the server gets."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from mcp import Client
from PIL import Image
from pydantic import SecretStr

from mcp_server.app import LazyService, build_app
from tests.vision.remote.fake_server import FakeServer, model, refuses, serving
from vision.config import Settings
from vision.service import VisionService
from vision.types import PageText

pytestmark = pytest.mark.anyio
KEY = "sk-secret-0123456789"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeServer(key=KEY)) as made:
        yield made


@pytest.fixture
def app(server: FakeServer, sample_files: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    async def no_text(*_: Any, **__: Any) -> PageText:
        return PageText()

    monkeypatch.setattr(VisionService, "_recognise", no_text)  # reading text takes all the time and is not the point
    key = SecretStr(KEY)
    settings = Settings(engine="remote", endpoints=(server.url,), endpoint_key=key, reply_within_s=120)
    service = LazyService(settings, sample_files.report.parent)
    yield build_app(service)
    service.close()


def pictures(asked: dict[str, Any]) -> list[tuple[int, int]]:
    """The sizes of the pictures that were sent."""
    content = asked["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls]


async def test_an_error_of_the_server_reaches_the_client_without_the_key(
    app: Any, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.replies = [refuses(401, f"key {KEY} has expired")]
    async with Client(app) as client:
        result = await client.call_tool("describe_image", {"sources": ["chart.png"]})
    assert result.is_error
    (block,) = result.content
    error = json.loads(block.text)["error"]  # type: ignore[union-attr]
    assert error["code"] == "access_denied" and "***" in error["message"] and error["hint"]
    assert KEY not in str(result) and KEY not in caplog.text


async def test_calls_side_by_side_are_all_answered(app: Any, server: FakeServer) -> None:
    answers: list[str] = []
    async with Client(app) as client:

        async def call() -> None:
            result = await client.call_tool("describe_image", {"sources": ["chart.png"], "detail": "brief"})
            assert result.structured_content is not None
            answers.append(result.structured_content["answer"])

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(call)
    assert answers == ["A served answer."] * 4
    assert server.listed == 1


async def test_a_server_that_cuts_by_its_own_rule_gets_pictures_of_the_tiles_that_are_meant(
    app: Any, server: FakeServer
) -> None:
    server.models = [model("InternVL3-8B-Q8_0.gguf", owned_by="llamacpp")]
    async with Client(app) as client:
        await client.call_tool("analyze_video", {"source": "video.mp4", "max_frames": 3})
        await client.call_tool("describe_image", {"sources": ["chart.png"]})
    frames, (chart,) = (pictures(asked) for asked in server.asked)
    assert set(frames) == {(448, 448)}
    assert chart[0] % 448 == chart[1] % 448 == 0 and chart[0] * chart[1] <= 12 * 448**2
    texts = [part["text"] for part in server.asked[0]["messages"][-1]["content"] if part["type"] == "text"]
    assert texts[0] == "Frame1: " and "seconds" in texts[-1]
