"""Real processes: a server is started once, found again, asked, and ended with everything that it started."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.vision.chat.conftest import question, wait_until
from tests.vision.serving.conftest import ended, exists, started
from tests.vision.serving.test_selection import planned
from tests.vision.variants.machines import machine
from vision.chat.client import OfferedModel
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import Record, StateFolder, host_key, read_record
from vision.chat.types import ChatEvent, Delta, Stage
from vision.engine.local import HostChats
from vision.errors import VisionError
from vision.remote.capabilities import capabilities_of
from vision.serving.llama_cpp import projector_file, weights_file

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
    folder: StateFolder, spec: Specs, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERNVL_MCP_ENDPOINT_KEY", "sk-of-another-server")
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


async def test_a_slow_start_tells_how_long_it_takes(chats: HostChats, spec: Specs, weights: Path) -> None:
    (weights / "slow").touch()
    stages: list[Stage] = []
    said: list[str] = []
    chat = await chats.connect(spec())
    async for event in chat.ask(question("What is it?")):
        if isinstance(event, Stage):
            stages.append(event)
            if event.done >= 1:
                (weights / "go").touch()
        elif isinstance(event, Delta):
            said.append(event.text)
    assert said == [ANSWER]
    # One of loading may come first, while the host itself comes up.
    assert {stage.name for stage in stages[1:]} == {"starting"} and stages[-1].done >= 1


async def test_a_server_that_dies_at_its_start_says_why_and_the_next_call_tries_again(
    chats: HostChats, spec: Specs, weights: Path, folder: StateFolder
) -> None:
    (weights / "fails").touch()
    error = await failure(chats, spec())
    assert error.code == "model_failed" and "vLLM ended while it started (status 3)" in error.message
    assert "ValueError: no room for ***" in error.message and "loading weights" not in error.message
    assert "***" in folder.log(host_key(spec())).read_text()
    (weights / "fails").unlink()
    await until(lambda: not folder.record(host_key(spec())).exists())
    assert await answer(chats, spec()) == ANSWER
    assert len(started(weights)) == 2


@pytest.mark.parametrize("victim", ["server", "supervisor"])
async def test_a_killed_process_costs_the_call_in_flight_one_error_and_the_next_call_works(
    chats: HostChats, spec: Specs, weights: Path, folder: StateFolder, victim: str
) -> None:
    errors: list[VisionError] = []

    async def ask() -> None:
        errors.append(await failure(chats, spec(), "wait"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(lambda: (weights / "asked").exists())
        record = read_record(folder.record(host_key(spec())))
        assert record is not None
        os.kill(int(str(started(weights)[0]["pid"])) if victim == "server" else record.pid, signal.SIGKILL)
    assert errors[0].code == "model_failed" and "ended" in errors[0].message
    assert ("vLLM" in errors[0].message) is (victim == "server")
    await until(lambda: not exists(int(str(started(weights)[0]["helper"]))))
    assert await answer(chats, spec()) == ANSWER
    assert len(started(weights)) == 2


async def test_a_killed_asker_leaves_the_server_to_the_others_until_it_is_idle(
    chats: HostChats, spec: Specs, weights: Path, folder: StateFolder
) -> None:
    script = (
        "import sys, asyncio, pathlib\n"
        "from tests.vision.serving.test_managed import answer\n"
        "from vision.chat.host_spec import HostSpec\n"
        "from vision.chat.keeper import HostKeeper\n"
        "from vision.chat.record import StateFolder\n"
        "from vision.engine.local import HostChats\n"
        "keeper = HostKeeper(StateFolder(*map(pathlib.Path, sys.argv[1:3])), '1.0.0')\n"
        "asyncio.run(answer(HostChats(keeper), HostSpec.model_validate_json(sys.argv[3]), 'wait'))\n"
    )
    wanted = spec(idle_unload_s=2.0)
    given = (str(folder.run), str(folder.logs), wanted.model_dump_json())
    async with await anyio.open_process([sys.executable, "-c", script, *given], stderr=None, stdout=None) as asker:
        await until(lambda: (weights / "asked").exists())
        asker.kill()
    (weights / "go").touch()
    assert await answer(chats, wanted) == ANSWER
    assert len(started(weights)) == 1
    await anyio.to_thread.run_sync(ended, weights)
    await until(lambda: not folder.record(host_key(wanted)).exists())


async def test_a_server_is_not_idle_while_it_answers_and_ends_when_it_is(
    chats: HostChats, spec: Specs, weights: Path, folder: StateFolder
) -> None:
    wanted, answers = spec(idle_unload_s=1.0), list[str]()

    async def ask() -> None:
        answers.append(await answer(chats, wanted, "wait"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(lambda: (weights / "asked").exists())
        asked_at = (weights / "asked").stat().st_mtime
        await until(lambda: time.time() > asked_at + 2 * wanted.idle_unload_s)
        assert exists(int(str(started(weights)[0]["pid"])))
        (weights / "go").touch()
    assert answers == [ANSWER]
    await anyio.to_thread.run_sync(ended, weights)
    await until(lambda: not list(folder.run.glob("*.json")))


async def test_unloading_ends_it_with_everything_it_started(chats: HostChats, spec: Specs, weights: Path) -> None:
    assert await answer(chats, spec()) == ANSWER
    (up,) = await chats.running()
    assert up.spec == spec() and up.state == "ready"
    assert await chats.end(spec())
    ended(weights)
    assert await chats.running() == () and not await chats.end(spec())


async def test_replicas_of_llama_cpp_are_processes_that_take_turns(
    chats: HostChats, weights: Path, programs: Path
) -> None:
    plan = planned("llama.cpp", machine(23.5, 23.5), variant="3-1B")
    plan = plan.model_copy(update={"replicas": 2, "devices": (0, 1)})
    for name in (weights_file(plan), projector_file(plan)):
        (weights / name).touch()
    spec = HostSpec(plan=plan, folder=weights, idle_unload_s=60.0)
    assert [await answer(chats, spec) for _ in range(2)] == [ANSWER] * 2
    servers = started(weights)
    assert len(servers) == 2 and servers[0]["argv"] != servers[1]["argv"]
    os.kill(int(str(servers[0]["pid"])), signal.SIGKILL)
    await anyio.to_thread.run_sync(ended, weights)


async def test_the_next_server_waits_for_the_memory_of_one_that_is_still_ending(
    chats: HostChats, spec: Specs, weights: Path, folder: StateFolder
) -> None:
    (weights / "lingers").touch()
    assert await answer(chats, spec()) == ANSWER
    record = read_record(folder.record(host_key(spec())))
    assert record is not None
    os.kill(record.pid, signal.SIGTERM)
    await until(lambda: not _listens(record))
    assert not (weights / "tidy").exists()
    assert await answer(chats, spec()) == ANSWER
    assert (weights / "tidy").exists() and len(started(weights)) == 2


def _listens(record: Record) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(record.address.socket)) == 0


def test_tiles_are_chosen_where_vllm_runs_a_folder_of_the_hub_s_cache() -> None:
    snapshot = f"/hub/models--OpenGVLab--InternVL3_5-8B-HF/snapshots/{'0' * 40}"
    for root, tiles in ((snapshot, "mm_processor_kwargs.max_patches"), ("/hub/somewhere", None)):
        assert capabilities_of(OfferedModel(id="InternVL3.5-8B", owned_by="vllm", root=root)).tiles == tiles
