"""engine auto: the endpoints, a host that is up, this machine, the embedded engine, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_model import ScriptedModel
from tests.vision.engine.played import played, put_weights
from tests.vision.remote.fake_server import FakeServer, refuses, serving
from vision.chat.host_spec import HostSpec
from vision.config import Settings
from vision.engine.engine import Engine
from vision.engine.local import remote_servers
from vision.errors import ModelFailed
from vision.variants.plan import Plan

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeServer()) as fake:
        yield fake


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Weights of a large and of a small variant."""
    put_weights(tmp_path, "InternVL3.5-8B", "InternVL3.5-1B")
    return tmp_path


def up(cache: Path) -> HostSpec:
    """A host of the small variant, which nobody would start on this machine."""
    choice = played(cache, variant="InternVL3.5-1B").choose(())
    assert choice.plan is not None and choice.folder is not None
    return HostSpec(plan=choice.plan, folder=choice.folder, idle_unload_s=60)


def auto(cache: Path, server: FakeServer | None = None, running: HostSpec | None = None, **more: object) -> Engine:
    settings = Settings.model_validate({"endpoints": (server.url,) if server is not None else (), **more})
    assert settings.engine == "auto"
    around = ScriptedModel()
    around.up = [running] if running is not None else []
    return Engine(settings, played(cache, **dict(settings)), around, around, remote_servers(settings))


async def test_an_endpoint_comes_before_all_that_is_here(cache: Path, server: FakeServer) -> None:
    choice = await auto(cache, server, up(cache)).choice()
    assert choice.remote is not None and choice.remote.url == server.url
    assert "the setting endpoints names" in choice.reason and server.url in choice.reason


async def test_a_host_that_is_up_comes_before_a_better_one_that_is_not(cache: Path) -> None:
    choice = await auto(cache, running=up(cache)).choice()
    assert isinstance(choice.plan, Plan) and choice.plan.variant == "InternVL3.5-1B"
    assert "running already" in choice.reason


async def test_the_best_of_this_machine_comes_next(cache: Path) -> None:
    choice = await auto(cache).choice()
    assert isinstance(choice.plan, Plan) and choice.plan.variant == "InternVL3.5-8B"
    assert "best of the variants on this machine" in choice.reason


async def test_the_embedded_engine_comes_last_and_says_what_is_missing(tmp_path: Path) -> None:
    choice = await auto(tmp_path / "empty").choice()
    assert (choice.name, choice.model) == ("ocr", None)
    assert "no InternVL weights" in choice.reason and "internvl-mcp pull" in choice.advice


async def test_an_endpoint_that_fails_lets_nothing_else_answer_unless_that_is_allowed(
    cache: Path, server: FakeServer
) -> None:
    server.listing = refuses(500, "no device")
    with pytest.raises(ModelFailed, match="no device"):
        await auto(cache, server, up(cache)).choice()


async def test_where_it_is_allowed_the_order_goes_on_and_every_step_is_told(
    cache: Path, tmp_path: Path, server: FakeServer
) -> None:
    server.listing = refuses(500, "no device")
    found = [
        await auto(cache, server, up(cache), fallback=True).choice(),
        await auto(cache, server, fallback=True).choice(),
        await auto(tmp_path / "empty", server, fallback=True).choice(),
    ]
    for choice, step in zip(found, ("running already", "on this machine", "no InternVL weights"), strict=True):
        assert "no device" in choice.reason and "the setting fallback is on" in choice.reason
        assert step in choice.reason, choice.reason
    assert [choice.name for choice in found] == ["internvl", "internvl", "ocr"]
