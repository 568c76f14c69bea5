"""What a client reads when the model cannot be had: one clear error that says what to do, and the server lives on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_server.app import LazyService, build_app
from vision.config import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def copied(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint that may be damaged."""
    return Path(shutil.copytree(tiny_checkpoint(), tmp_path / "copied"))


async def asked(folder: Path, **settings: Any) -> dict[str, Any]:
    """The error of a question to a server with these settings, which answers what needs no model after it."""
    values = {"engine": "internvl", "reply_within_s": 60, **settings}
    app = build_app(LazyService(Settings.model_validate(values), folder))
    async with Client(app) as client:
        result = await client.call_tool("describe_image", {"sources": ["chart.png"], "question": "What is it?"})
        assert result.is_error, result.structured_content
        assert (await client.list_tools()).tools
        status = await client.call_tool("manage_model", {})
        assert not status.is_error
    (content,) = result.content
    return json.loads(content.text)["error"]  # type: ignore[union-attr]


async def test_an_unknown_variant_names_those_that_are_alike(sample_files: Any) -> None:
    error = await asked(sample_files.chart.parent, variant="InternVL3.5-9B")
    assert error["code"] == "unknown_variant"
    assert "InternVL3.5-8B" in error["hint"]


async def test_weights_that_were_never_fetched_name_the_command(sample_files: Any) -> None:
    error = await asked(sample_files.chart.parent, variant="InternVL3.5-1B")
    assert error["code"] in ("weights_unusable", "engine_unavailable")
    assert "internvl-mcp pull InternVL3.5-1B" in error["hint"]


def half_downloaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def cut_off(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def odd_image_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["image_size"] = [378, 378]  # 27 patches a side: not to be halved
    (folder / "config.json").write_text(json.dumps(config))


def custom_code(folder: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"model_type": "internvl_chat", "architectures": ["InternVLChatModel"]})
    )


@pytest.mark.parametrize("damage", [half_downloaded, cut_off, odd_image_size, custom_code])
async def test_a_checkpoint_that_cannot_be_used_says_why(
    sample_files: Any, copied: Path, damage: Callable[[Path], None]
) -> None:
    damage(copied)
    error = await asked(sample_files.chart.parent, variant=str(copied))
    assert error["code"] == "weights_unusable"
    assert error["hint"]


async def test_a_machine_without_room_says_how_much_is_needed(sample_files: Any, copied: Path) -> None:
    error = await asked(sample_files.chart.parent, variant=str(copied), memory_fraction=1e-6)
    assert error["code"] == "out_of_memory"
    assert "GB" in error["message"] + error["hint"]
