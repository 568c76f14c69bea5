"""What stands around the protocol: addresses, origins, sizes, probes and figures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mcp import Client

from mcp_server.http import allowed_hosts, http_app, is_loopback, turns_of
from tests.mcp_server.http_serving import HELLO, MODERN, Work, body_of, client, headers_of, serving, session_of
from vision.config import Settings
from vision.errors import ConfigError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stateless", [False, True])
@pytest.mark.parametrize("mode", ["legacy", MODERN, "auto"])
async def test_clients_of_both_eras_call_tools_with_and_without_sessions(mode: str, stateless: bool) -> None:
    async with serving(settings=Settings(http_stateless=stateless)) as url:
        async with Client(f"{url}/mcp", mode=mode) as asking:
            assert {tool.name for tool in (await asking.list_tools()).tools} == {"wait", "say"}
            result = await asking.call_tool("say", {})
            assert result.content[0].model_dump()["text"] == "said"


async def test_without_sessions_an_id_is_handed_out_but_any_is_taken() -> None:
    async with serving(settings=Settings(http_stateless=True)) as url, client() as http:
        assert await session_of(http, url) != await session_of(http, url)
        body = body_of("tools/call", name="say", arguments={})
        reply = await http.post(f"{url}/mcp", content=body, headers=headers_of("", session="of-another-process"))
        assert reply.status_code == 200 and "said" in reply.text


async def test_with_sessions_an_unknown_one_is_not_found() -> None:
    async with serving() as url, client() as http:
        reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of("", session="unknown"))
        assert reply.status_code == 404


@pytest.fixture
async def url() -> AsyncIterator[str]:
    settings = Settings(http_max_body_bytes=5000, http_allowed_origins=("https://app.example.org",))
    async with serving(settings=settings) as made:
        yield made


@pytest.mark.parametrize("path", ["/mcp", "/metrics"])
async def test_a_name_bent_to_this_address_is_refused_on_every_path(url: str, path: str) -> None:
    async with client(host="evil.example") as http:
        reply = await http.get(url + path)
    assert reply.status_code == 421 and "http_allowed_hosts" in reply.json()["error"]["hint"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null"])
async def test_a_page_of_another_origin_is_refused(url: str, origin: str) -> None:
    async with client(origin=origin) as http:
        reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of(""))
        asked = await http.options(f"{url}/mcp", headers={"access-control-request-method": "POST"})
    assert reply.status_code == 403 and "http_allowed_origins" in reply.json()["error"]["hint"]
    assert "access-control-allow-origin" not in asked.headers | reply.headers


@pytest.mark.parametrize("origin", ["https://app.example.org", "http://localhost:6274"])
async def test_a_page_that_is_allowed_may_send_and_read_what_the_protocol_needs(url: str, origin: str) -> None:
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, mcp-name"}
    async with client(origin=origin) as http:
        asked = await http.options(f"{url}/mcp", headers=asking)
        reply = await http.post(f"{url}/mcp", content=body_of("initialize", **HELLO), headers=headers_of(""))
    assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == origin
    assert "mcp-name" in asked.headers["access-control-allow-headers"]
    assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == origin
    exposed = reply.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("mcp-session-id", "www-authenticate", "x-request-id"))


@pytest.mark.parametrize("modern", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused_with_what_to_do(url: str, modern: bool, chunked: bool) -> None:
    body = body_of("tools/call", 1, modern, name="say", arguments={"source": "x" * 5000})

    async def parts() -> AsyncIterator[bytes]:
        yield body

    async with client() as http:
        headers = headers_of("tools/call", modern, name="say")
        reply = await http.post(f"{url}/mcp", content=parts() if chunked else body, headers=headers)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "limit_exceeded" and "http_max_body_bytes" in reply.json()["error"]["hint"]


async def test_a_body_within_the_limit_is_taken() -> None:
    body = body_of("tools/call", 1, True, name="say", arguments={"source": "x" * (5 << 20)})
    async with serving() as url, client() as http:
        reply = await http.post(f"{url}/mcp", content=body, headers=headers_of("tools/call", True, name="say"))
    assert reply.status_code == 200 and "said" in reply.text


async def test_health_answers_by_any_name_and_tells_when_the_server_is_ending() -> None:
    turns = turns_of(Settings())
    async with serving(turns=turns) as url, client(host="10.1.2.3") as http:
        well = await http.get(f"{url}/health")
        turns.close()
        ending = await http.get(f"{url}/health")
    assert (well.status_code, well.json()) == (200, {"status": "ok"})
    assert (ending.status_code, ending.json()) == (503, {"status": "draining"})


async def test_every_answer_has_a_request_id_of_its_own(url: str) -> None:
    async with client() as http:
        ids = {(await http.get(url + path)).headers["x-request-id"] for path in ("/health", "/metrics", "/nowhere")}
    assert len(ids) == 3


async def test_metrics_count_calls_by_tool_and_outcome(url: str) -> None:
    async with Client(f"{url}/mcp", mode=MODERN) as asking, client() as http:
        for _ in range(3):
            await asking.call_tool("say", {})
        shown = (await http.get(f"{url}/metrics")).text
    # The test's tool is none of the product's.
    assert 'internvl_mcp_calls_total{outcome="ok",tool="unknown"} 3.0' in shown
    assert 'internvl_mcp_call_seconds_count{tool="unknown"} 3.0' in shown
    assert "internvl_mcp_calls_running 0.0" in shown and "internvl_mcp_calls_waiting 0.0" in shown


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "vision.example.org", ""])
def test_an_address_that_others_reach_needs_a_token_or_the_word_that_none_is_wanted(host: str) -> None:
    with pytest.raises(ConfigError, match="no token"):
        http_app(Work().server(), Settings(http_host=host))
    assert http_app(Work().server(), Settings(http_host=host, http_without_token=True))
    assert http_app(Work().server(), Settings.model_validate({"http_host": host, "http_tokens": "a" * 16}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host) and http_app(Work().server(), Settings(http_host=host))


def test_on_every_address_only_known_names_are_answered() -> None:
    settings = Settings(http_host="0.0.0.0", http_url="https://vision.example.org/mcp", http_allowed_hosts=("gpu.lan",))
    names = allowed_hosts(settings)
    assert {"vision.example.org", "gpu.lan", "gpu.lan:*", "127.0.0.1:*"} <= set(names)
    assert "*" not in names and not [name for name in names if name.startswith(":")]
