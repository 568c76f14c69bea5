from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from mcp_server.running import run_tool
from tests.scripted_model import NO_MODEL, ScriptedModel
from tools.catalogue import TOOLS
from vision.call import Call
from vision.config import Settings
from vision.service import VisionService

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def shared_service(sample_files: Any) -> Iterator[VisionService]:
    """One service a module, without a model: its workers stay up."""
    folder = sample_files.report.parent
    with VisionService(Settings(), folder, ScriptedModel(choice=NO_MODEL).engine()) as made:
        yield made


@pytest.fixture
def model(shared_service: VisionService) -> Iterator[ScriptedModel]:
    """A scripted model behind the shared service, for one test."""
    scripted, before = ScriptedModel(), shared_service._engine
    shared_service._engine = scripted.engine()
    yield scripted
    shared_service._engine = before


@pytest.fixture
def ask(shared_service: VisionService) -> Ask:
    """Runs a tool by its name, as the server does; `tokens` narrows the reply."""

    async def run(name: str, tokens: int | None = None, **arguments: Any) -> Any:
        tool = next(tool for tool in TOOLS if tool.name == name)
        whole = shared_service.settings
        if tokens is not None:
            shared_service.settings = whole.model_copy(update={"max_reply_tokens": tokens})
        try:
            return await run_tool(shared_service, tool, arguments, Call(within_s=120.0))
        finally:
            shared_service.settings = whole

    return run
