"""The engine over a server of somebody else's: what is chosen, what is asked, what falls back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest

from tests.scripted_model import MODEL, NO_MODEL, ScriptedModel
from tests.vision.remote.fake_server import FakeServer, model, refuses, says, serving
from vision.call import Call
from vision.chat.types import ImagePart
from vision.engine.engine import Engine
from vision.errors import ConfigError, EngineUnavailable, LimitExceeded
from vision.prompts.describe import describe
from vision.prompts.system import DEFAULT
from vision.prompts.video import Frame, ask_video

pytestmark = pytest.mark.anyio
PICTURE = ImagePart(data=b"png")


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(serving(FakeServer(**given)))


def engine(*servers: FakeServer, local: Any = NO_MODEL, **settings: Any) -> Engine:
    urls = tuple(server.url for server in servers)
    return ScriptedModel(choice=local).engine(**{"engine": "remote", "endpoints": urls, **settings})


def frames(count: int) -> list[Frame]:
    return [Frame(float(second), PICTURE) for second in range(count)]


async def ask(engine: Engine, within_s: float = 20, tiles: int = 12) -> Any:
    return await engine.ask(Call(within_s), describe([PICTURE], "What is it?", "normal", tiles))


async def test_an_internvl_is_called_so_whoever_serves_it(serve: Any) -> None:
    server = serve()
    choice = await engine(server).choice()
    assert choice.name == "internvl" and choice.model is not None
    assert (choice.model.variant, choice.model.context) == ("InternVL3_5-8B-HF", 16384)
    assert server.url in choice.reason and "vllm" in choice.reason and not choice.advice


async def test_another_model_is_called_remote_and_gets_none_of_internvl_s_own_prompts(serve: Any) -> None:
    server = serve(models=[model("Qwen3-VL-8B", max_model_len=None)])
    served = engine(server, thinking=True)
    answer = await ask(served)
    assert answer.choice.name == "remote" and "no InternVL" in answer.choice.advice
    assert "assumed" in answer.choice.reason
    assert any("not trained to think" in notice for notice in answer.notices)
    assert [message["role"] for message in server.asked[0]["messages"]] == ["user"]
    internvl = serve()
    await ask(engine(internvl))
    assert internvl.asked[0]["messages"][0] == {"role": "system", "content": DEFAULT}


async def test_a_model_of_which_the_server_tells_nothing_is_said_to_be_taken_by_its_name(serve: Any) -> None:
    mute = engine(serve(listing=refuses(404)), endpoint_model="InternVL3-8B")
    answer = await ask(mute)
    assert answer.text == "A served answer." and answer.choice.name == "internvl"
    assert "does not tell of it" in answer.choice.reason and "8192 tokens are assumed" in answer.choice.reason
    assert "does not tell of it" not in (await engine(serve()).choice()).reason


async def test_tiles_and_frames_keep_within_the_server_s_context(serve: Any) -> None:
    small = engine(serve(models=[model(max_model_len=4096)]))
    choice = await small.choice()
    assert choice.model is not None
    assert small.tiles(choice, 12) == 9
    assert 1 < choice.model.max_frames < 16


async def test_the_order_is_endpoints_then_this_machine(serve: Any) -> None:
    server = serve()
    both = engine(server, local=MODEL, engine="auto")
    assert (await both.choice()).remote is not None
    none = engine(local=MODEL, engine="auto")
    assert (await none.choice()).plan is not None


async def test_an_endpoint_that_fails_is_an_error_unless_a_fallback_is_allowed(serve: Any) -> None:
    down = serve(listing=refuses(500, "no device"))
    for name in ("auto", "remote"):
        with pytest.raises(Exception, match="no device"):
            await engine(down, local=MODEL, engine=name).choice()
    here = await engine(down, local=MODEL, engine="auto", fallback=True).choice()
    assert here.plan is not None and "no device" in here.reason and "fallback" in here.reason
    ocr = await engine(down, local=MODEL, engine="remote", fallback=True).choice()
    assert ocr.model is None and "no device" in ocr.reason and ocr.advice


async def test_an_endpoint_that_comes_back_is_used_again(serve: Any) -> None:
    server = serve(listing=refuses(503, "starting"))
    served = engine(server)
    with pytest.raises(Exception, match="starting"):
        await served.choice()
    server.listing = None
    assert (await ask(served)).text == "A served answer."


async def test_a_prompt_too_long_for_the_server_is_asked_with_less_and_said(serve: Any) -> None:
    overflow = refuses(400, "This model's maximum context length is 2048 tokens. However, your prompt contains 3000")
    server = serve(replies=[overflow, says("A square.")])
    answer = await ask(engine(server))
    assert answer.text == "A square." and "server takes no more" in answer.notices[0]
    assert [asked["mm_processor_kwargs"]["max_patches"] for asked in server.asked] == [12, 6]


async def test_a_video_comes_down_to_the_pictures_that_the_server_takes(serve: Any) -> None:
    server = serve(replies=[refuses(400, "At most 3 image(s) may be provided in one prompt."), says("A race.")])
    served = engine(server)
    answer = await served.ask(Call(20), ask_video(frames(16), None))
    shown = [sum(part["type"] == "image_url" for part in asked["messages"][-1]["content"]) for asked in server.asked]
    assert shown == [16, 2] and "2 frames" in answer.notices[0]
    choice = await served.choice()
    assert choice.model is not None and choice.model.max_frames == 3


async def test_pictures_that_cannot_be_left_out_are_an_error_that_says_how_many(serve: Any) -> None:
    server = serve(replies=[refuses(400, "At most 1 image(s) may be provided in one prompt.")])
    with pytest.raises(LimitExceeded, match="at most 1 pictures"):
        await engine(server).ask(Call(20), describe([PICTURE, PICTURE], "Which?", "normal", 6))
    assert len(server.asked) == 1


async def test_nothing_is_loaded_here_for_a_model_that_is_served(serve: Any) -> None:
    with pytest.raises(EngineUnavailable, match="served at"):
        await engine(serve()).preload(None)


async def test_many_questions_at_once_ask_once_what_the_server_is(serve: Any) -> None:
    server = serve()
    served = engine(server)
    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(ask, served)
    assert (server.listed, len(server.asked)) == (1, 16)


async def test_a_model_that_is_not_there_is_not_asked_for(serve: Any) -> None:
    with pytest.raises(ConfigError, match="no model 'x'"):
        await ask(engine(serve(), endpoint_model="x"))
