"""What makes a server over HTTP answer at once, while others have it work."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from mcp_server import app, http_serve
from mcp_server.http import turns_of
from tests.mcp_server.http_serving import body_of, client, headers_of, serving
from vision.config import Settings

pytestmark = pytest.mark.anyio


def test_replies_in_small_parts_are_sent_at_once() -> None:
    """asyncio switches Nagle's algorithm off for sockets that it knows for TCP; by a listener's protocol it does."""
    with http_serve._bound(Settings(http_port=0)) as listener:
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_what_the_first_call_needs_is_loaded_before_anybody_calls() -> None:
    code = (
        "import gc, json, sys; from mcp_server import http_serve; http_serve._load_ahead(); before = set(sys.modules)\n"
        "import anyio, pathlib; from mcp_server.app import LazyService; from vision.config import Settings\n"
        "async def main():\n"
        "    async with anyio.create_task_group() as group:\n"
        "        LazyService(Settings(engine='ocr'), pathlib.Path()).jobs_in(group, None)\n"
        "        group.cancel_scope.cancel()\n"
        "anyio.run(main)\n"
        "new = [name for name in sys.modules if name.split('.')[0] in ('vision', 'tools', 'mcp_server')]\n"
        "print(json.dumps([gc.get_freeze_count(), sorted(set(new) - before)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    frozen, loaded_late = json.loads(done.stdout)
    assert frozen > 10_000 and not loaded_late


async def test_the_tool_list_is_read_once_however_many_calls_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reads = 0
    rendered = app.rendered_tools

    def counted() -> tuple[types.Tool, ...]:
        nonlocal reads
        reads += 1
        return rendered()

    monkeypatch.setattr(app, "rendered_tools", counted)
    settings = Settings(engine="ocr", state_folder=tmp_path)
    turns = turns_of(settings)
    status: dict[str, Any] = {"name": "manage_model", "arguments": {"action": "status"}}
    made = app.build_app(app.LazyService(settings, tmp_path), turns)
    assert reads == 0, "a server starts without it"
    async with serving(made, settings, turns) as url, client() as http:
        for _ in range(2):
            for method, params, name in (("tools/list", {}, None), ("tools/call", status, "manage_model")):
                body, headers = body_of(method, 1, True, **params), headers_of(method, True, name=name)
                assert (await http.post(f"{url}/mcp", content=body, headers=headers)).status_code == 200
        assert reads == 1
