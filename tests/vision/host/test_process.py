"""The shipped host process with a real, tiny checkpoint: from the keeper to the model and back."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.vision.host.conftest import noise, spec_of
from vision.chat.client import ChatClient
from vision.chat.keeper import HostKeeper
from vision.chat.record import Health, StateFolder, read_record
from vision.chat.types import Ask, Delta, Finished, ImagePart, Message, TextPart
from vision.errors import ModelFailed, WeightsUnusable

pytestmark = pytest.mark.anyio
PATIENCE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with tempfile.TemporaryDirectory(prefix="ivl") as run:
        yield StateFolder(Path(run), tmp_path / "state")
        for path in Path(run).glob("*.json"):
            if (record := read_record(path)) is not None:
                os.kill(record.pid, signal.SIGKILL)
                until_gone(record.pid)


@pytest.fixture
def keeper(folder: StateFolder) -> HostKeeper:
    return HostKeeper(folder, "1.0.0")


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.005)


def question(*parts: str | bytes, max_tokens: int = 8) -> Ask:
    made = tuple(ImagePart(data=part) if isinstance(part, bytes) else TextPart(text=part) for part in parts)
    return Ask(messages=(Message(role="user", parts=made),), max_tokens=max_tokens)


def damaged(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    for weights in copy.glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:1000])
    return copy


async def answer(client: ChatClient, ask: Ask) -> tuple[str, Finished]:
    events = [event async for event in client.ask(ask)]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta)), events[-1]


async def loaded(client: ChatClient) -> Health:
    """Waits until the model is there; the host answers all the while, although torch is being imported."""
    while True:
        begun = time.monotonic()
        health = await client.health()
        assert time.monotonic() - begun < 5.0
        if health.state != "loading":
            return health


async def test_a_host_is_killed_in_an_answer_loads_again_reuses_what_it_saw_and_ends_when_idle(
    keeper: HostKeeper, tiny_checkpoint: Callable[..., Path], folder: StateFolder
) -> None:
    spec = spec_of(tiny_checkpoint()).model_copy(update={"idle_unload_s": 1.0})
    client = await keeper.connect(spec)
    killed = (await loaded(client)).pid
    with pytest.raises(ModelFailed, match="ended while it worked") as caught:
        async for event in client.ask(question("Tell a long story.", max_tokens=4000)):
            if isinstance(event, Delta):
                os.kill(killed, signal.SIGKILL)
    assert "call again" in caught.value.hint.lower()

    client = await keeper.connect(spec)
    health = await loaded(client)
    assert (health.state, health.pid != killed) == ("ready", True)
    asked = question(noise(600, 300), "What is it?")
    first, seen = await answer(client, asked)
    second, reused = await answer(client, asked)
    assert first == second
    assert seen.usage.tiles > 1
    assert (reused.usage.cached_tiles, reused.usage.tiles) == (seen.usage.tiles, seen.usage.tiles)
    assert reused.usage.cached_tokens > 0

    async with aclosing(client.ask(question("Tell a long story.", max_tokens=4000))) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
    left = time.monotonic()
    while (await client.health()).working:
        assert time.monotonic() - left < 0.3
    await anyio.to_thread.run_sync(until_gone, health.pid)
    assert [path for path in folder.run.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("text", ["qwen2", "qwen3_moe"])
async def test_questions_of_several_clients_are_answered_side_by_side_as_alone(
    folder: StateFolder, tiny_checkpoint: Callable[..., Path], text: str
) -> None:
    """Two keepers, as two servers have them; one host, one batch."""
    spec = spec_of(tiny_checkpoint(text))
    clients = [await HostKeeper(folder, "1.0.0").connect(spec) for _ in range(2)]
    assert len({(await client.health()).pid for client in clients}) == 1
    asks = [question(noise(300, 200, seed), f"{seed}: what is it?", max_tokens=300) for seed in range(3)]
    together: dict[int, str] = {}
    working = 0

    async def listen(number: int) -> None:
        nonlocal working
        async for event in clients[number % 2].ask(asks[number]):
            if isinstance(event, Delta):
                together[number] = together.get(number, "") + event.text
                if working < len(asks):
                    working = max(working, (await clients[0].health()).working)

    async with anyio.create_task_group() as group:
        for number in range(len(asks)):
            group.start_soon(listen, number)
    assert working == len(asks)
    for number, ask in enumerate(asks):
        assert (await answer(clients[0], ask))[0] == together[number]


async def test_a_damaged_checkpoint_is_told_across_the_wire(
    keeper: HostKeeper, tiny_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    client = await keeper.connect(spec_of(damaged(tiny_checkpoint(), tmp_path / "damaged")))
    with pytest.raises(WeightsUnusable) as caught:
        await answer(client, question("Hi"))
    assert caught.value.hint
    health = await client.health()
    assert health.error is not None
    assert health.error[0] == "weights_unusable"
