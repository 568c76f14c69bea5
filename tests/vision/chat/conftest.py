"""Real model hosts with a generator of the tests' own; whatever was started is ended."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread
import pytest

from tests.vision.chat.servers import Server
from vision.chat.client import ChatClient
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import StateFolder, read_record
from vision.chat.types import Ask, Delta, ImagePart, Message, TextPart
from vision.errors import VisionError
from vision.variants.plan import Plan

FAKE_HOST = (sys.executable, "-P", str(Path(__file__).with_name("fake_host.py")))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with state_of_a_test(tmp_path / "state") as made:
        yield made


@contextmanager
def state_of_a_test(logs: Path) -> Iterator[StateFolder]:
    """A state folder of the test's own, short enough for sockets. Every host in it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ivl") as run:
        made = StateFolder(Path(run), logs)
        yield made
        for path in Path(run).glob("*.json"):
            record = read_record(path)
            if record is not None:
                end_process(record.pid)


@pytest.fixture
def keeper(folder: StateFolder) -> HostKeeper:
    return HostKeeper(folder, "1.0.0", FAKE_HOST)


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., HostSpec]:
    def make(variant: str = "fake", idle_unload_s: float = 60.0) -> HostSpec:
        plan = Plan(
            variant=variant,
            repository=f"test/{variant}",
            device="cpu",
            dtype="float32",
            max_tiles=12,
            max_frames=8,
            context=4096,
            batch=4,
            feature_cache_bytes=0,
            prefix_cache_bytes=0,
        )
        return HostSpec(plan=plan, folder=tmp_path, idle_unload_s=idle_unload_s)

    return make


@pytest.fixture
def server() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(answer: bytes, *, hold: bool = False) -> Server:
        made.append(Server(answer, hold=hold))
        return made[-1]

    yield make
    for one in made:
        one.close()


def question(text: str, *pictures: bytes) -> Ask:
    parts = (*(ImagePart(data=data) for data in pictures), TextPart(text=text))
    return Ask(messages=(Message(role="user", parts=parts),))


async def text_of(client: ChatClient, ask: Ask) -> str:
    return "".join([event.text async for event in client.ask(ask) if isinstance(event, Delta)])


async def error_of(client: ChatClient, ask: Ask) -> VisionError:
    with pytest.raises(VisionError) as caught:
        await text_of(client, ask)
    return caught.value


async def pid_of(client: ChatClient) -> int:
    return (await client.health()).pid


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def end_process(pid: int) -> None:
    if exists(pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not exists(pid))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


async def gone(pid: int) -> None:
    await anyio.to_thread.run_sync(wait_until, lambda: not exists(pid))
