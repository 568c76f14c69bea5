"""The server as its client sees it, over the SDK's in-memory transport."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import ListRootsResult, Root

from mcp_server.app import LazyService, build_app, rendered_tools
from mcp_server.prompts import PROMPTS
from tools.catalogue import TOOLS
from vision.config import Settings

pytestmark = pytest.mark.anyio
ERAS = ("legacy", "auto")


@asynccontextmanager
async def connected(settings: Settings, folder: Path, **client: Any) -> AsyncIterator[Client]:
    service = LazyService(settings, folder)
    async with Client(build_app(service), **client) as made:
        yield made


@pytest.fixture
def folder(sample_files: Any) -> Path:
    return sample_files.report.parent


def test_the_rendered_tool_list_is_that_of_the_tools() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/render", "--check"],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_listing_tools_loads_no_tool_and_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from mcp_server import cli\n"
        "from mcp_server.app import LazyService, build_app, rendered_tools\n"
        "from mcp_server.stdio import serve\n"
        "from vision.config import Settings\n"
        "from pathlib import Path\n"
        "build_app(LazyService(Settings(), Path('/')))\n"
        "assert len(rendered_tools()) == 10\n"
        "heavy = 'numpy PIL cv2 av pymupdf pymupdf4llm rapidocr onnxruntime torch transformers tools vision.service'\n"
        "print([name for name in heavy.split() if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_tool_says_what_it_is_and_describes_every_parameter() -> None:
    for tool, listed in zip(TOOLS, rendered_tools(), strict=True):
        assert listed.name == tool.name
        assert listed.annotations is not None
        assert listed.annotations.read_only_hint is (tool.name != "manage_model")
        assert listed.title and listed.description and len(listed.description) < 500
        assert listed.input_schema["additionalProperties"] is False
        for name, schema in listed.input_schema["properties"].items():
            text = json.dumps(schema)
            assert "description" in text, f"{tool.name}.{name}"


async def test_results_carry_the_same_json_twice(folder: Path) -> None:
    async with connected(Settings(), folder) as client:
        result = await client.call_tool("manage_model", {"action": "status"})
    assert not result.is_error
    assert json.loads(result.content[0].text) == result.structured_content


@pytest.mark.parametrize("mode", ERAS)
async def test_a_picture_is_read_in_both_eras(folder: Path, sample_maker: Any, mode: Any) -> None:
    async with connected(Settings(), folder, mode=mode) as client:
        result = await client.call_tool("extract_text", {"source": "screenshot-en.png"})
    assert result.structured_content is not None
    for label in sample_maker.SCREEN_EN.labels:
        assert label in result.structured_content["text"]


async def test_unknown_tools_and_arguments_are_protocol_errors(folder: Path) -> None:
    async with connected(Settings(), folder) as client:
        with pytest.raises(MCPError, match="Unknown tool") as unknown_tool:
            await client.call_tool("describe_imag", {})
        with pytest.raises(MCPError, match="no argument 'sauce'") as unknown_argument:
            await client.call_tool("extract_text", {"source": "a.png", "sauce": 1})
    assert unknown_tool.value.code == unknown_argument.value.code == -32602


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ({}, "invalid_argument", "source"),
        ({"source": ""}, "invalid_argument", "source"),
        ({"source": "a.png", "region": [1, 2]}, "invalid_argument", "region"),
        ({"source": "nothing-here.png"}, "source_not_found", "nothing-here.png"),
        ({"source": "/etc/passwd"}, "access_denied", "/etc/passwd"),
        ({"source": "ftp://x.org/a.png"}, "access_denied", "ftp"),
        ({"source": "report.pdf", "pages": "99"}, "invalid_argument", "99"),
        ({"source": "report.pdf", "cursor": "what"}, "invalid_argument", "cursor"),
        ({"source": "video.mp4"}, "unsupported_media", "video"),
    ],
)
async def test_bad_input_is_one_clear_error(folder: Path, arguments: dict[str, Any], code: str, says: str) -> None:
    async with connected(Settings(), folder) as client:
        result = await client.call_tool("extract_text", arguments)
        assert result.is_error
        error = json.loads(result.content[0].text)["error"]
        assert error["code"] == code
        assert says in error["message"]
        assert error["hint"]
        assert (await client.list_tools()).tools


@pytest.mark.parametrize("mode", ERAS)
async def test_files_under_the_clients_roots_may_be_read(tmp_path: Path, sample_files: Any, mode: Any) -> None:
    async def roots(_: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root.model_validate({"uri": sample_files.chart.parent.as_uri()})])

    source = {"source": str(sample_files.chart)}
    async with connected(Settings(), tmp_path, mode=mode, list_roots_callback=roots) as client:
        allowed = await client.call_tool("locate_objects", {**source, "target": "Quarterly"})
    async with connected(Settings(use_client_roots=False), tmp_path, mode=mode, list_roots_callback=roots) as client:
        refused = await client.call_tool("locate_objects", {**source, "target": "Quarterly"})
    assert not allowed.is_error
    assert refused.is_error and "access_denied" in refused.content[0].text


@pytest.mark.parametrize("mode", ERAS)
async def test_prompts_are_listed_and_filled_in_in_both_eras(folder: Path, mode: Any) -> None:
    async with connected(Settings(), folder, mode=mode) as client:
        listed = (await client.list_prompts()).prompts
        got = await client.get_prompt("transcribe", {"source": "report.pdf"})
        with pytest.raises(MCPError, match="Unknown prompt") as unknown:
            await client.get_prompt("transcribble", {})
    assert [prompt.name for prompt in listed] == [prompt.name for prompt in PROMPTS]
    assert "report.pdf" in got.messages[0].content.text
    assert unknown.value.code == -32602


async def test_progress_rises_strictly(folder: Path, sample_files: Any) -> None:
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with connected(Settings(), folder) as client:
        await client.call_tool("read_document", {"source": sample_files.report_scan.name}, progress_callback=progress)
    assert len(seen) >= 3
    assert all(one < two for one, two in pairwise(seen))
