"""Every setting of a server over HTTP changes what it says it changes; `tests/test_settings_effect.py` has the others.

Tested where they are read: oauth_issuer, oauth_jwks_url, oauth_audience and oauth_scopes in `test_auth_jwt.py`;
http_tokens in `test_auth.py` and, with http_tokens_file, in `test_settings.py`; log_format in `test_logs.py`;
http_port, http_drain_s and http_stateless in `test_http_process.py`; http_without_token in `test_http.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from mcp_server.http import allowed_hosts, turns_of
from mcp_server.http_serve import for_strangers
from tests.mcp_server.http_serving import Work, body_of, client, headers_of, serving
from vision.access.opened import open_source
from vision.access.policy import AccessPolicy
from vision.call import Call
from vision.config import Settings
from vision.errors import AccessDenied, Busy

pytestmark = pytest.mark.anyio


async def status(settings: Settings, size: int = 10, **headers: str) -> int:
    body = body_of("tools/call", 1, True, name="say", arguments={"source": "x" * size})
    async with serving(settings=settings) as url, client(**headers) as http:
        return (
            await http.post(f"{url}/mcp", content=body, headers=headers_of("tools/call", True, name="say"))
        ).status_code


@pytest.mark.parametrize(
    ("changed", "size", "headers"),
    [
        ({"http_allowed_hosts": ("gpu.lan",)}, 10, {"host": "gpu.lan:8000"}),
        ({"http_host": "192.0.2.7", "http_without_token": True}, 10, {"host": "192.0.2.7:8000"}),
        ({"http_url": "https://vision.example.org/mcp"}, 10, {"host": "vision.example.org"}),
        ({"http_allowed_origins": ("https://app.example.org/",)}, 10, {"origin": "https://app.example.org"}),
        ({"http_max_body_bytes": 128 << 20}, 65 << 20, {}),
    ],
)
async def test_what_is_refused_otherwise_is_taken(changed: dict[str, Any], size: int, headers: dict[str, str]) -> None:
    assert await status(Settings(), size, **headers) in (403, 413, 421)
    assert await status(Settings.model_validate(changed), size, **headers) == 200


async def at_work(ask: Callable[[int], str], settings: Settings) -> tuple[int, int, int]:
    """Of four calls by the owners that `ask` names: how many are at work, wait and are refused."""
    turns = turns_of(settings)
    refused = 0

    async def call(owner: str) -> None:
        nonlocal refused
        try:
            async with turns.turn(owner, "read_document", Call(60)):
                await anyio.sleep_forever()
        except Busy:
            refused += 1

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(call, ask(number))
            await anyio.wait_all_tasks_blocked()
        found = turns.running, turns.waiting, refused
        group.cancel_scope.cancel()
    return found


async def test_calls_at_work_of_one_owner_and_in_all_and_those_that_wait_are_bounded() -> None:
    assert await at_work(str, Settings()) == (4, 0, 0)
    assert await at_work(str, Settings(http_max_calls=2)) == (2, 2, 0)
    assert await at_work(lambda _: "one", Settings(http_max_calls_per_client=1)) == (1, 3, 0)
    assert await at_work(str, Settings(http_max_calls=1, http_max_waiting_calls=1)) == (1, 1, 2)


async def test_the_clipboard_can_be_left_out_and_is_over_http(tmp_path: Any) -> None:
    with pytest.raises(AccessDenied, match="clipboard"):
        await open_source("clipboard", AccessPolicy(roots=(), clipboard=False), tmp_path)
    remote = for_strangers(Settings(roots=(tmp_path,)))
    assert (remote.use_clipboard, remote.use_working_directory, remote.use_client_roots) == (False, False, False)
    assert remote.roots == (tmp_path,)


async def test_without_sessions_none_is_kept() -> None:
    assert "[2001:db8::1]:*" in allowed_hosts(Settings(http_host="2001:db8::1"))
    for stateless, expected in ((False, 404), (True, 200)):
        async with serving(Work().server(), Settings(http_stateless=stateless)) as url, client() as http:
            body = body_of("tools/call", name="say", arguments={})
            reply = await http.post(f"{url}/mcp", content=body, headers=headers_of("", session="unknown"))
            assert reply.status_code == expected
