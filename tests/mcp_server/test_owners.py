"""Two owners of one server over HTTP: what the one has is, for the other, as if it never was."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_server.app import LazyService, build_app
from mcp_server.http import turns_of
from mcp_server.tasks import EXTENSION
from tests.mcp_server.http_serving import MODERN, client, headers_of, serving
from vision.config import Settings

pytestmark = pytest.mark.anyio
_TOKENS = {"alice": "a" * 16, "bob": "b" * 16}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}},
}
_NOBODYS = "nobody-s-id"


class Owner:
    """One of the clients, with a token of its own."""

    def __init__(self, http: Any, url: str) -> None:
        self._http, self._url = http, url

    async def ask(self, method: str, about: str | None = None, /, **params: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
        headers = headers_of(method, modern=True, name=about)
        reply = await self._http.post(f"{self._url}/mcp", content=json.dumps(body), headers=headers, timeout=120)
        text = reply.text
        if reply.headers["content-type"].startswith("text/event-stream"):
            text = [line for line in text.splitlines() if line.startswith("data: ")][-1].removeprefix("data: ")
        return json.loads(text)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return (await self.ask("tools/call", tool, name=tool, arguments=arguments))["result"]

    async def task(self, task_id: str) -> dict[str, Any]:
        return await self.ask("tasks/get", task_id, taskId=task_id)

    async def ended(self, task_id: str) -> dict[str, Any]:
        """The result of a task that is this owner's."""
        with anyio.fail_after(120):
            while (found := (await self.task(task_id))["result"])["status"] == "working":
                await anyio.lowlevel.checkpoint()
        return found["result"]

    async def whole(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool says in the end, as a result or through a task."""
        found = await self.call(tool, **arguments)
        return await self.ended(found["taskId"]) if found["resultType"] == "task" else found


@asynccontextmanager
async def two_owners(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Owner, Owner]]:
    tokens = ", ".join(f"{name} {token}" for name, token in _TOKENS.items())
    values = {"http_tokens": tokens, "state_folder": tmp_path / "state", "engine": "ocr", **settings}
    made = Settings.model_validate(values)
    turns = turns_of(made)
    alice, bob = (client(authorization=f"Bearer {token}") for token in _TOKENS.values())
    async with serving(build_app(LazyService(made, tmp_path), turns), made, turns) as url, alice as hers, bob as his:
        yield Owner(hers, url), Owner(his, url)


def scan(sample_files: Any) -> str:
    return f"data:application/pdf;base64,{base64.b64encode(sample_files.report_scan.read_bytes()).decode()}"


def message(reply: dict[str, Any]) -> str:
    return reply["error"]["message"] if "error" in reply else reply["content"][0]["text"]


Ask = Callable[[Owner, str], Any]
_JOBS: dict[str, Ask] = {
    "get_result": lambda owner, job: owner.call("get_result", job_id=job, wait_s=0),
    "get_result, to cancel": lambda owner, job: owner.call("get_result", job_id=job, cancel=True),
    "resources/read": lambda owner, job: owner.ask(
        "resources/read", f"vision://results/{job}", uri=f"vision://results/{job}"
    ),
    "tasks/get": lambda owner, job: owner.task(job),
    "tasks/cancel": lambda owner, job: owner.ask("tasks/cancel", job, taskId=job),
}


async def test_jobs_at_work_and_results_are_their_owner_s_alone(sample_files: Any, tmp_path: Path) -> None:
    async with two_owners(tmp_path, reply_within_s=0.2) as (alice, bob):
        job = (await alice.call("read_document", source=scan(sample_files), pages="1"))["taskId"]
        for done in (False, True):
            for how, ask in _JOBS.items():
                refused = message(await ask(bob, job))
                assert refused.replace(job, _NOBODYS) == message(await ask(bob, _NOBODYS)), how
            assert (await bob.ask("resources/list"))["result"]["resources"] == []
            if not done:
                hers = await alice.ended(job)
        assert hers["structuredContent"]["page_count"] == 3
        assert (await _JOBS["get_result"](alice, job))["structuredContent"] == hers["structuredContent"]
        read = await _JOBS["resources/read"](alice, job)
        assert json.loads(read["result"]["contents"][0]["text"]) == hers["structuredContent"]


async def test_conversations_are_their_owner_s_alone(sample_files: Any, tmp_path: Path) -> None:
    chart = f"data:image/png;base64,{base64.b64encode(sample_files.chart.read_bytes()).decode()}"
    async with two_owners(tmp_path) as (alice, bob):
        first = (await alice.whole("extract_text", source=chart))["structuredContent"]
        key = first["conversation_id"]
        refused = await bob.whole("ask_followup", conversation_id=key, question="And?")
        unknown = await bob.whole("ask_followup", conversation_id=_NOBODYS, question="And?")
        assert refused["isError"] and "no conversation" in message(refused)
        assert message(refused).replace(key, _NOBODYS) == message(unknown)
        again = await alice.whole("ask_followup", conversation_id=key, question="And?")
        assert again["structuredContent"]["text"] == first["text"] and again["structuredContent"]["turn"] == 2
