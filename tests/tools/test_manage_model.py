from __future__ import annotations

from typing import Any

import pytest

from tests.scripted_model import NO_MODEL, ScriptedModel
from tests.vision.remote.fake_server import FakeServer, refuses, serving
from vision.machine import available_cores


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
