"""Questions to a real host process: what crosses, who may ask, and who leaves."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from tests.vision.chat.conftest import FAKE_HOST, end_process, error_of, pid_of, question, text_of, wait_until
from vision.chat.client import ChatClient
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.record import StateFolder, host_key, read_record
from vision.chat.types import Delta, Finished, Stage
from vision.errors import AccessDenied

pytestmark = pytest.mark.anyio
Specs = Callable[..., HostSpec]


async def test_a_question_crosses_to_a_real_host_and_the_answer_comes_back(keeper: HostKeeper, spec: Specs) -> None:
    client = await keeper.connect(spec())
    events = [event async for event in client.ask(question("echo a red square", b"picture"))]
    assert events[0] == Stage(name="seeing", done=0, total=1)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "a red square "
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.cached_tokens == 3
    assert events[-1].usage.tiles == 1


async def test_leaving_an_answer_cancels_its_work_at_once(keeper: HostKeeper, spec: Specs, tmp_path: Path) -> None:
    client = await keeper.connect(spec())
    async with aclosing(client.ask(question("wait"))) as events:
        async for event in events:
            if isinstance(event, Delta):
                break
        left = time.monotonic()
    await anyio.to_thread.run_sync(wait_until, (tmp_path / "cancelled").exists)
    assert time.monotonic() - left < 0.2
    assert (await client.health()).working == 0


async def test_cancelling_the_call_cancels_its_work_while_the_model_loads(
    keeper: HostKeeper, spec: Specs, tmp_path: Path
) -> None:
    client = await keeper.connect(spec("slow"))
    async with anyio.create_task_group() as group:
        loading = anyio.Event()

        async def ask() -> None:
            async for _ in client.ask(question("wait")):
                loading.set()

        group.start_soon(ask)
        await loading.wait()
        group.cancel_scope.cancel()
    (tmp_path / "go").touch()
    await anyio.to_thread.run_sync(wait_until, (tmp_path / "cancelled").exists)


async def test_two_clients_are_answered_side_by_side(keeper: HostKeeper, spec: Specs, tmp_path: Path) -> None:
    first, second = await keeper.connect(spec()), await keeper.connect(spec())
    async for event in first.ask(question("hang go")):
        if isinstance(event, Delta):
            assert await text_of(second, question("echo meanwhile")) == "meanwhile "
            (tmp_path / "go").touch()
    assert isinstance(event, Finished)


async def test_a_large_picture_crosses_byte_for_byte(keeper: HostKeeper, spec: Specs) -> None:
    picture = os.urandom(24 << 20)
    client = await keeper.connect(spec())
    assert (await text_of(client, question("tiles", picture, b"small"))).split() == [
        hashlib.sha256(data).hexdigest() for data in (picture, b"small")
    ]


async def test_a_folder_too_deep_for_a_socket_is_served_on_loopback(tmp_path: Path, spec: Specs) -> None:
    folder = StateFolder(tmp_path / ("deep" * 30), tmp_path / "log")
    assert folder.socket(host_key(spec())) is None
    client = await HostKeeper(folder, "1.0.0", FAKE_HOST).connect(spec())
    try:
        assert client.endpoint.base_url.startswith("http://127.0.0.1:")
        assert await text_of(client, question("echo by tcp")) == "by tcp "
    finally:
        end_process(await pid_of(client))


async def test_without_the_secret_nothing_is_answered(keeper: HostKeeper, spec: Specs) -> None:
    client = await keeper.connect(spec())
    for key in (None, "wrong", f"{client.endpoint.key}x"):
        stranger = ChatClient(dataclasses.replace(client.endpoint, key=key))
        assert isinstance(await error_of(stranger, question("echo x")), AccessDenied)
        for call in (stranger.health, stranger.models, stranger.shutdown):
            with pytest.raises(AccessDenied):
                await call()
    assert (await client.health()).state == "ready"


async def test_folders_socket_record_and_log_are_the_users_alone(
    keeper: HostKeeper, spec: Specs, folder: StateFolder
) -> None:
    await keeper.connect(spec())
    key = host_key(spec())
    socket = folder.socket(key)
    assert socket is not None
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder.run, folder.logs)}
    assert set(modes.values()) == {0o700}
    for path in (socket, folder.record(key), folder.log(key)):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0


async def test_the_secret_and_the_question_stand_in_no_log_and_no_command_line(
    keeper: HostKeeper, spec: Specs, folder: StateFolder
) -> None:
    client = await keeper.connect(spec())
    await text_of(client, question("echo confidential"))
    await error_of(client, question("raise model_failed"))
    pid = await pid_of(client)
    logged = b"".join(path.read_bytes() for path in folder.logs.iterdir())
    command = command_line(pid)
    assert client.endpoint.key is not None
    for seen in (logged, command, repr(client.endpoint).encode(), repr(read_record(folder.record(host_key(spec()))))):
        assert client.endpoint.key not in str(seen)
        assert "confidential" not in str(seen)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
