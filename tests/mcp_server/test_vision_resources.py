"""Results as a client lists and reads them: in both eras, and none of anybody else's."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from mcp_server.app import LazyService, build_app
from mcp_server.http_turns import Turns
from mcp_server.job_store import JobStore, KeptJob, Outcome
from tests.mcp_server.http_serving import body_of, client, headers_of, serving
from vision.config import Settings
from vision.store import Store

pytestmark = pytest.mark.anyio
ERAS = ("legacy", "auto")
DAY_S = 24 * 3600.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    """The file that a server with this state folder uses as well."""
    file = Store(tmp_path / "state", DAY_S)
    jobs = JobStore(file)
    yield jobs
    jobs.close()
    file.close()


async def keep(
    store: JobStore, job_id: str, value: dict[str, Any] | None, owner: str = "local", is_error: bool = False
) -> None:
    now = time.time()
    job = KeptJob(
        id=job_id,
        owner=owner,
        tool="read_document",
        arguments={},
        folder=Path("/"),
        runner="",
        created=now,
        updated=now,
    )
    await store.add(job)
    if value is not None:
        await store.finish(job_id, "done", Outcome(value=value, is_error=is_error))


@asynccontextmanager
async def connected(tmp_path: Path, mode: Any = "auto") -> AsyncIterator[Client]:
    service = LazyService(Settings(state_folder=tmp_path / "state"), tmp_path)
    async with Client(build_app(service), mode=mode) as client:
        yield client


@pytest.mark.parametrize("mode", ERAS)
async def test_an_owner_lists_what_its_calls_gave_and_reads_it_again(
    tmp_path: Path, store: JobStore, mode: Any
) -> None:
    await keep(store, "first", {"answer": "fünf"})
    await keep(store, "second", {"error": {"code": "source_not_found"}}, is_error=True)
    async with connected(tmp_path, mode) as client:
        listed = await client.list_resources()
        read = (await client.read_resource("vision://results/first")).contents[0]
        failed = (await client.read_resource("vision://results/second")).contents[0]
    assert [resource.uri for resource in listed.resources] == ["vision://results/second", "vision://results/first"]
    assert (listed.resources[0].mime_type, listed.cache_scope) == ("application/json", "private")
    assert json.loads(read.text) == {"answer": "fünf"}
    assert json.loads(failed.text)["error"]["code"] == "source_not_found"


@pytest.mark.parametrize("mode", ERAS)
async def test_what_is_not_there_cannot_be_told_from_what_is_somebody_elses(
    tmp_path: Path, store: JobStore, mode: Any
) -> None:
    await keep(store, "theirs", {"answer": "secret"}, owner="anonymous")
    async with connected(tmp_path, mode) as client:
        assert (await client.list_resources()).resources == []
        said = {}
        for uri in ("vision://results/theirs", "vision://results/nothng", "vision://results/", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="No such resource") as raised:
                await client.read_resource(uri)
            said[uri] = (raised.value.code, raised.value.message.replace(f"{uri}.", "URI."), raised.value.data)
    assert {code for code, _, _ in said.values()} == {-32602}
    assert len({message for _, message, _ in said.values()}) == 1
    assert all(data == {"uri": uri} for uri, (_, _, data) in said.items())


async def test_over_http_each_token_has_its_own(tmp_path: Path, store: JobStore) -> None:
    tokens = f"alice {'a' * 16}, bob {'b' * 16}"
    settings = Settings.model_validate({"http_tokens": tokens, "state_folder": tmp_path / "state"})
    await keep(store, "hers", {"answer": "1"}, owner="token alice")
    turns = Turns(1, 1, 1, 45)
    uri = "vision://results/hers"
    said = {}
    async with serving(build_app(LazyService(settings, tmp_path), turns), settings, turns) as url:
        for token in ("a" * 16, "b" * 16):
            async with client(authorization=f"Bearer {token}") as http:
                listed = body_of("resources/list", modern=True)
                there = await http.post(f"{url}/mcp", content=listed, headers=headers_of("resources/list", modern=True))
                read = body_of("resources/read", modern=True, uri=uri)
                headers = headers_of("resources/read", modern=True, name=uri)
                reply = (await http.post(f"{url}/mcp", content=read, headers=headers)).json()
            found = [resource["uri"] for resource in there.json()["result"]["resources"]]
            said[token[0]] = (found, reply.get("error", {}).get("code"))
    assert said == {"a": ([uri], None), "b": ([], -32602)}


async def test_what_expired_is_gone(tmp_path: Path, store: JobStore) -> None:
    await keep(store, "old", {"answer": "1"})
    [file] = (tmp_path / "state").glob("*.sqlite3")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE jobs SET updated = updated - ?", (DAY_S,))
    connection.close()
    async with connected(tmp_path) as client:
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="No such resource"):
            await client.read_resource("vision://results/old")


async def test_a_job_at_work_is_no_result_yet(tmp_path: Path, store: JobStore) -> None:
    await keep(store, "begun", None)
    async with connected(tmp_path) as client:
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match="get_result") as raised:
            await client.read_resource("vision://results/begun")
    assert raised.value.code == -32602


async def test_a_store_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, where a folder has to be")
    async with connected(tmp_path) as client:
        with pytest.raises(MCPError, match="state_folder"):
            await client.list_resources()


async def test_the_template_is_listed_and_its_id_completed(tmp_path: Path, store: JobStore) -> None:
    await keep(store, "abc", {"answer": "1"})
    await keep(store, "xyz", {"answer": "2"})
    async with connected(tmp_path) as client:
        [template] = (await client.list_resource_templates()).resource_templates
        results = ResourceTemplateReference(uri=template.uri_template)
        found = await client.complete(results, {"name": "id", "value": "x"})
        variants = await client.complete(PromptReference(name="set_up_model"), {"name": "variant", "value": "3.5-1B"})
    assert template.uri_template == "vision://results/{id}"
    assert found.completion.values == ["xyz"]
    assert "InternVL3.5-1B" in variants.completion.values
