from __future__ import annotations

from typing import Any

import pytest

from vision.machine import available_cores


@pytest.mark.anyio
async def test_status_says_what_works_and_with_what_limits(ask: Any, shared_service: Any) -> None:
    result = await ask("manage_model")
    assert {engine.name: engine.ready for engine in result.engines} == {"ocr": True, "internvl": False}
    assert result.hardware.cores == available_cores()
    assert result.limits["max_pages"] == shared_service.settings.max_pages
