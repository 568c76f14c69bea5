from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scripted_model import NO_MODEL, ScriptedModel
from tests.vision.remote.fake_server import FakeServer, refuses, serving
from tests.vision.variants.machines import machine
from vision.config import Settings
from vision.engine.managed import choice_of
from vision.errors import EngineUnavailable
from vision.machine import available_cores
from vision.serving.selection import serving_plan
from vision.serving.servers import SERVERS
from vision.variants.policy import Policy, Request


@pytest.mark.anyio
async def test_status_says_what_works_and_with_what_limits(ask: Any, shared_service: Any) -> None:
    result = await ask("manage_model")
    assert {engine.name: engine.ready for engine in result.engines} == {"ocr": True, "internvl": False}
    assert result.hardware.cores == available_cores()
    assert result.limits["max_pages"] == shared_service.settings.max_pages


@pytest.mark.anyio
async def test_endpoints_are_shown_with_what_they_can_do_and_how_they_are(ask: Any, shared_service: Any) -> None:
    up, down = FakeServer(key="sk-secret"), FakeServer(listing=refuses(500, "no device"), key="sk-secret")
    with serving(up), serving(down):
        before = shared_service._engine
        settings = {"engine": "remote", "endpoints": (up.url, down.url), "endpoint_key": "sk-secret"}
        shared_service._engine = ScriptedModel(choice=NO_MODEL).engine(**settings)
        try:
            result = await ask("manage_model")
        finally:
            shared_service._engine = before
    assert (result.engine.name, result.engine.variant) == ("internvl", "InternVL3_5-8B-HF")
    assert {engine.name: engine.ready for engine in result.engines} == {"ocr": True, "internvl": True}
    well, ill = result.endpoints
    assert (well.reachable, well.breaker, well.kind, well.context, well.takes_tiles) == (
        True, "closed", "vllm", 16384, True,
    )  # fmt: skip
    assert well.latency_ms is not None and well.problem is None
    assert ill.reachable and "no device" in ill.problem and ill.model is None
    assert "sk-secret" not in result.model_dump_json()


@pytest.mark.anyio
async def test_a_model_on_a_server_that_was_started_here_is_shown_with_it(ask: Any, shared_service: Any) -> None:
    plan = serving_plan(SERVERS["vllm"], machine(23.5), Policy(), Request())
    scripted = ScriptedModel(choice=choice_of(plan, Path("/weights")))
    before, shared_service._engine = shared_service._engine, scripted.engine(engine="vllm")
    try:
        result = await ask("manage_model", action="preload")
    finally:
        shared_service._engine = before
    (up,) = result.models
    assert (up.variant, up.server, up.device) == (plan.variant, "vllm", "cuda")
    assert result.engine.variant == plan.variant and "engine is vllm" in result.engine.reason


@pytest.mark.anyio
async def test_files_for_llama_cpp_are_not_fetched_as_something_else(ask: Any, shared_service: Any) -> None:
    before, shared_service.settings = shared_service.settings, Settings(engine="llama.cpp")
    try:
        with pytest.raises(EngineUnavailable, match="GGUF"):
            await ask("manage_model", action="download")
    finally:
        shared_service.settings = before
