"""Real host processes: started once, found again, replaced, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import filelock
import pytest

from tests.vision.chat.conftest import FAKE_HOST, end_process, error_of, exists, gone, pid_of, question, text_of
from tests.vision.chat.servers import Server, plain
from vision.chat import client as client_module
from vision.chat.client import ChatClient, HostGone
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import Address, StateFolder, host_key, read_record, write_record
from vision.chat.types import Delta, Finished, Stage
from vision.errors import Busy, EngineUnavailable, ModelFailed, ModelLoading, OutOfMemory, VisionError

pytestmark = pytest.mark.anyio
Specs = Callable[..., HostSpec]


async def stays(client: ChatClient, seconds: float) -> None:
    """The host answers for all of that time; asking for its health is no use that would keep it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await client.health()


def nothing_left(folder: StateFolder) -> bool:
    return not [path for path in folder.run.iterdir() if path.suffix != ".lock"]


async def test_calls_that_race_start_one_host(folder: StateFolder, spec: Specs, tmp_path: Path) -> None:
    keepers = [HostKeeper(folder, "1.0.0", FAKE_HOST) for _ in range(2)]
    pids: list[int] = []

    async def connect(keeper: HostKeeper) -> None:
        pids.append(await pid_of(await keeper.connect(spec())))

    async with anyio.create_task_group() as group:
        for keeper in keepers * 2:
            group.start_soon(connect, keeper)
    assert len(pids) == 4
    assert (tmp_path / "starts").read_text().split() == [str(pids[0])]


def test_processes_that_race_start_one_host(folder: StateFolder, spec: Specs, tmp_path: Path) -> None:
    script = (
        "import sys, json, asyncio, pathlib\n"
        "from vision.chat.keeper import HostKeeper\n"
        "from vision.chat.record import StateFolder\n"
        "from vision.chat.host_spec import HostSpec\n"
        "run, logs, command, spec = json.loads(sys.argv[1])\n"
        "keeper = HostKeeper(StateFolder(pathlib.Path(run), pathlib.Path(logs)), '1.0.0', tuple(command))\n"
        "print('here', flush=True)\n"
        "sys.stdin.readline()\n"
        "async def pid(): return (await (await keeper.connect(HostSpec.model_validate_json(spec))).health()).pid\n"
        "print(asyncio.run(pid()))\n"
    )
    given = json.dumps([str(folder.run), str(folder.logs), FAKE_HOST, spec().model_dump_json()])
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", script, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline() == "here\n"
        for server in servers:
            assert server.stdin is not None
            server.stdin.write("go\n")
            server.stdin.flush()
        pids = {server.communicate(timeout=30)[0].strip() for server in servers}
    finally:
        for server in servers:
            server.kill()
            server.communicate()
    assert pids == set((tmp_path / "starts").read_text().split())
    assert len(pids) == 1
    host = int(pids.pop())
    assert exists(host)  # although the server that started it is gone
    assert os.getsid(host) == host  # and out of reach of its terminal


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="asks the kernel for a process's environment")
async def test_a_host_gets_the_environment_without_our_settings(
    keeper: HostKeeper, spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERNVL_MCP_ENDPOINT_KEY", "sk-secret")
    monkeypatch.setenv("HF_HOME", "/of/the/user")
    pid = await pid_of(await keeper.connect(spec()))
    given = await anyio.Path(f"/proc/{pid}/environ").read_text()
    assert "HF_HOME=/of/the/user" in given and "INTERNVL_MCP" not in given and "sk-secret" not in given


async def test_the_host_outlives_the_call_that_was_cancelled_while_it_started(
    keeper: HostKeeper, spec: Specs, tmp_path: Path
) -> None:
    with anyio.move_on_after(0.05) as hurried:
        await keeper.connect(spec())
    assert hurried.cancelled_caught
    assert await text_of(await keeper.connect(spec()), question("echo still here")) == "still here "
    assert len((tmp_path / "starts").read_text().split()) == 1


async def test_a_killed_host_costs_the_calls_in_flight_one_error_each_and_the_next_call_works(
    keeper: HostKeeper, spec: Specs
) -> None:
    client = await keeper.connect(spec())
    pid = await pid_of(client)
    begun, ended = [anyio.Event(), anyio.Event()], list[list[VisionError]]([])

    async def ask(event: anyio.Event) -> None:
        errors: list[VisionError] = []
        ended.append(errors)
        try:
            async for answer in client.ask(question("wait")):
                if isinstance(answer, Delta):
                    event.set()
        except VisionError as e:
            errors.append(e)

    async with anyio.create_task_group() as group:
        for event in begun:
            group.start_soon(ask, event)
        for event in begun:
            await event.wait()
        os.kill(pid, signal.SIGKILL)
    assert [[error.code for error in errors] for errors in ended] == [["model_failed"], ["model_failed"]]
    assert "call again" in ended[0][0].hint.lower()
    assert (await error_of(client, question("echo x"))).code == "model_failed"
    again = await keeper.connect(spec())
    assert await pid_of(again) != pid
    assert await text_of(again, question("echo back again")) == "back again "


async def test_an_idle_host_ends_and_leaves_nothing(keeper: HostKeeper, spec: Specs, folder: StateFolder) -> None:
    client = await keeper.connect(spec(idle_unload_s=0.3))
    pid = await pid_of(client)
    assert await text_of(client, question("echo once")) == "once "
    with anyio.fail_after(10), pytest.raises(ModelFailed):  # asking how it is does not keep it
        while True:
            await client.health()
    await gone(pid)
    assert nothing_left(folder)
    with pytest.raises(HostGone):
        await client.health()


async def test_a_host_at_work_is_not_idle(keeper: HostKeeper, spec: Specs, tmp_path: Path) -> None:
    client = await keeper.connect(spec(idle_unload_s=0.2))
    async for event in client.ask(question("hang go")):
        if isinstance(event, Delta):
            await stays(client, 0.5)  # more than twice the idle time
            (tmp_path / "go").touch()
    assert isinstance(event, Finished)


async def test_a_host_of_an_older_version_is_replaced_once_it_has_answered(
    folder: StateFolder, spec: Specs, tmp_path: Path
) -> None:
    old = await HostKeeper(folder, "1.9.0", FAKE_HOST).connect(spec())
    old_pid, texts = await pid_of(old), []

    async def ask(begun: anyio.Event) -> None:
        async for event in old.ask(question("hang go")):
            texts.append(event)
            begun.set()

    async with anyio.create_task_group() as group:
        begun = anyio.Event()
        group.start_soon(ask, begun)
        await begun.wait()

        async def finish_when_refused() -> None:
            with anyio.fail_after(10):
                while (await old.health()).state != "ending":
                    continue
            assert (await error_of(old, question("echo late"))).code == "model_failed"
            (tmp_path / "go").touch()

        group.start_soon(finish_when_refused)
        new = await HostKeeper(folder, "1.10.0", FAKE_HOST).connect(spec())
    assert isinstance(texts[-1], Finished)
    assert not exists(old_pid)
    health = await new.health()
    assert (health.version, health.pid != old_pid) == ("1.10.0", True)


async def test_a_server_of_an_older_version_shares_the_newer_host(folder: StateFolder, spec: Specs) -> None:
    new = await HostKeeper(folder, "1.10.0", FAKE_HOST).connect(spec())
    old = await HostKeeper(folder, "1.9.0", FAKE_HOST).connect(spec())
    assert await pid_of(old) == await pid_of(new)


async def test_a_load_that_fails_reaches_each_waiting_call_once_and_the_next_call_loads_anew(
    keeper: HostKeeper, spec: Specs, tmp_path: Path
) -> None:
    client = await keeper.connect(spec("fails-to-load", idle_unload_s=0.2))
    pid, loading, errors = await pid_of(client), [anyio.Event() for _ in range(3)], []

    async def ask(event: anyio.Event) -> None:
        with pytest.raises(OutOfMemory) as caught:
            async for stage in client.ask(question("echo x")):
                assert isinstance(stage, Stage)
                event.set()
        errors.append(caught.value)

    async with anyio.create_task_group() as group:
        for event in loading:
            group.start_soon(ask, event)
        for event in loading:
            await event.wait()
        (tmp_path / "go").touch()
    assert [(e.message, e.hint) for e in errors] == [("no room for the weights", "Free memory.")] * 3
    await gone(pid)
    assert await pid_of(await keeper.connect(spec("fails-to-load"))) != pid


async def test_health_tells_how_far_a_slow_load_is(keeper: HostKeeper, spec: Specs, tmp_path: Path) -> None:
    client = await keeper.connect(spec("slow", idle_unload_s=0.1))
    assert (await client.health()).state == "loading"
    await stays(client, 0.3)  # longer than the idle time: loading is no idleness
    assert (await client.health()).loaded == 0
    (tmp_path / "go").touch()
    assert await text_of(client, question("echo there")) == "there "


@pytest.mark.parametrize(
    ("variant", "code", "says"),
    [("cannot-be-made", "engine_unavailable", "No module named 'torch'"), ("broken", "model_failed", "broken")],
)
async def test_a_generator_that_cannot_be_made_is_one_clear_error(
    keeper: HostKeeper, spec: Specs, variant: str, code: str, says: str
) -> None:
    error = await error_of(await keeper.connect(spec(variant)), question("echo x"))
    assert (error.code, says in error.message) == (code, True)
    assert error.hint


async def test_a_host_that_dies_while_it_starts_tells_its_last_words(folder: StateFolder, spec: Specs) -> None:
    keeper = HostKeeper(folder, "1.0.0", (*FAKE_HOST, "die"))
    with pytest.raises(ModelFailed, match=r"status 1.*libmodel\.so: cannot open shared object file") as caught:
        await keeper.connect(spec())
    assert "internvl-mcp[local]" in caught.value.hint


async def test_a_command_that_does_not_exist_is_engine_unavailable(folder: StateFolder, spec: Specs) -> None:
    with pytest.raises(EngineUnavailable):
        await HostKeeper(folder, "1.0.0", (str(folder.run / "absent"),)).connect(spec())


async def test_what_a_dead_host_left_is_replaced(keeper: HostKeeper, spec: Specs, folder: StateFolder) -> None:
    pid = await pid_of(await keeper.connect(spec()))
    end_process(pid)
    key = host_key(spec())
    assert folder.record(key).exists()
    assert [status.health for status in await keeper.status()] == [None]
    second = await pid_of(await keeper.connect(spec()))
    assert second != pid
    end_process(second)
    folder.record(key).write_text("{ half a rec")
    assert await text_of(await keeper.connect(spec()), question("echo mended")) == "mended "


async def test_a_port_that_another_program_has_by_now_is_not_taken_for_the_host(
    keeper: HostKeeper, spec: Specs, folder: StateFolder, server: Callable[..., Server]
) -> None:
    other = server(plain("404 Not Found", b"<html>", "text/html"))
    pid = await pid_of(await keeper.connect(spec()))
    record = read_record(folder.record(host_key(spec())))
    assert record is not None
    end_process(pid)
    write_record(folder.record(record.key), record.model_copy(update={"address": Address(port=other.port)}))
    assert await text_of(await keeper.connect(spec()), question("echo mine")) == "mine "
    assert len(other.requests) == 3  # twice how it is, once to end


async def test_a_server_that_never_finishes_starting_the_host_is_told_of(
    keeper: HostKeeper, spec: Specs, folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.chat.keeper._LOCK_S", 0.1)
    folder.prepare()
    with filelock.FileLock(folder.lock(host_key(spec()))):
        with pytest.raises(ModelLoading):
            await keeper.connect(spec())


async def test_a_call_that_is_cancelled_leaves_no_thread_waiting(
    keeper: HostKeeper, spec: Specs, folder: StateFolder
) -> None:
    folder.prepare()
    threads = anyio.to_thread.current_default_thread_limiter()
    with filelock.FileLock(folder.lock(host_key(spec()))):
        with anyio.move_on_after(0.2):
            await keeper.connect(spec())
        with anyio.fail_after(5):
            while threads.borrowed_tokens:
                await anyio.lowlevel.checkpoint()
    assert await text_of(await keeper.connect(spec()), question("echo free")) == "free "


async def test_a_host_that_hangs_is_an_error_that_names_the_process(
    keeper: HostKeeper, spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await pid_of(await keeper.connect(spec()))
    monkeypatch.setattr(client_module, "_HEALTH_S", 0.3)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ModelFailed, match=rf"process {pid}\) does not answer"):
        await keeper.connect(spec())
    os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert await pid_of(await keeper.connect(spec())) == pid


async def test_status_lists_hosts_and_end_ends_them(keeper: HostKeeper, spec: Specs, folder: StateFolder) -> None:
    pids = [await pid_of(await keeper.connect(spec(variant))) for variant in ("one", "two")]
    found = {status.record.variant: status for status in await keeper.status()}
    assert sorted(found) == ["one", "two"]
    assert found["one"].health is not None
    assert found["one"].record.spec == spec("one")
    assert await keeper.end(found["one"].record.key)
    assert not exists(pids[0])
    assert exists(pids[1])
    assert not await keeper.end(found["one"].record.key)
    assert [status.record.variant for status in await keeper.status()] == ["two"]


async def test_a_host_that_still_answers_is_not_replaced_for_a_while(
    keeper: HostKeeper, spec: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.chat.keeper._REPLACE_S", 0.1)
    client = await keeper.connect(spec())
    async for event in client.ask(question("hang go")):
        if isinstance(event, Delta):
            with pytest.raises(Busy):
                await keeper.end(host_key(spec()))
            (tmp_path / "go").touch()
    assert isinstance(event, Finished)


async def test_sigterm_ends_a_host_within_a_second_with_an_error_for_what_it_works_on(
    keeper: HostKeeper, spec: Specs, folder: StateFolder
) -> None:
    client = await keeper.connect(spec())
    pid = await pid_of(client)
    with pytest.raises(ModelFailed, match="ending"):
        async for event in client.ask(question("wait")):
            if isinstance(event, Delta):
                os.kill(pid, signal.SIGTERM)
                told = time.monotonic()
    await gone(pid)
    assert time.monotonic() - told < 1.0
    assert nothing_left(folder)
