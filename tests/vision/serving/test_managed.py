"""Real processes: a server is started once, found again, asked, and ended with everything that it started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.vision.chat.conftest import question, wait_until
from tests.vision.serving.conftest import started
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import StateFolder
from vision.chat.types import ChatEvent, Delta
from vision.engine.local import HostChats
from vision.errors import VisionError

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks the kernel about processes through /proc"),
]
Specs = Callable[..., HostSpec]
ANSWER = "A managed answer."


@pytest.fixture
def chats(keeper: HostKeeper) -> HostChats:
    return HostChats(keeper)


async def events_of(chats: HostChats, spec: HostSpec, text: str = "What is it?") -> list[ChatEvent]:
    chat = await chats.connect(spec)
    return [event async for event in chat.ask(question(text))]


async def answer(chats: HostChats, spec: HostSpec, text: str = "What is it?") -> str:
    return "".join(event.text for event in await events_of(chats, spec, text) if isinstance(event, Delta))


async def failure(chats: HostChats, spec: HostSpec, text: str = "What is it?") -> VisionError:
    with pytest.raises(VisionError) as caught:
        await answer(chats, spec, text)
    return caught.value


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    await anyio.to_thread.run_sync(wait_until, condition, seconds)


async def test_calls_that_race_start_one_server_which_the_next_call_finds(
    folder: StateFolder, spec: Specs, weights: Path
) -> None:
    sides = [HostChats(HostKeeper(folder, "1.0.0")) for _ in range(2)]
    answers: list[str] = []

    async def ask(chats: HostChats) -> None:
        answers.append(await answer(chats, spec()))

    async with anyio.create_task_group() as group:
        for chats in sides * 2:
            group.start_soon(ask, chats)
    assert await answer(sides[0], spec()) == ANSWER
    assert answers == [ANSWER] * 4
    (server,) = started(weights)
    assert server["ours"] == [] and server["offline"] == "1"
    assert str(weights) in str(server["argv"]) and "127.0.0.1" in str(server["argv"])
