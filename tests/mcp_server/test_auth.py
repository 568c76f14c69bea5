"""Who is let in, by the server's own list of tokens; and what a client that is not let in is told."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_server.auth_tokens import OwnTokens
from mcp_server.http import http_app
from mcp_server.owner import owner_of
from tests.mcp_server.http_serving import MODERN, Work, body_of, client, headers_of, serving, session_of
from vision.config import Settings
from vision.errors import ConfigError

pytestmark = pytest.mark.anyio
ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"http_tokens": f"alice {ALICE}\n# gone: {'x' * 16}\n\n{BOB}", **more})


async def test_a_token_of_the_list_is_let_in_and_others_are_told_that_one_is_needed() -> None:
    async with serving(settings=settings()) as url, client() as http:
        for given in (None, "Bearer", f"Bearer {ALICE}x", f"Basic {ALICE}", f"Bearer {'x' * 16}"):
            headers = headers_of("ping") | ({"authorization": given} if given is not None else {})
            reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers)
            assert reply.status_code == 401 and reply.headers["www-authenticate"].startswith("Bearer"), given
        good = headers_of("tools/list", True) | {"authorization": f"bearer {BOB}"}
        assert (await http.post(f"{url}/mcp", content=body_of("tools/list", 1, True), headers=good)).status_code == 200


async def test_metrics_need_the_token_too_and_health_does_not() -> None:
    async with serving(settings=settings()) as url, client() as http:
        assert (await http.get(f"{url}/metrics")).status_code == 401
        assert (await http.get(f"{url}/metrics", headers={"authorization": f"Bearer {ALICE}"})).status_code == 200
        assert (await http.get(f"{url}/health")).status_code == 200


@pytest.mark.parametrize("mode", ["legacy", MODERN])
@pytest.mark.parametrize("stateless", [False, True])
async def test_each_token_is_an_owner_of_its_own(mode: str, stateless: bool) -> None:
    owners: list[str] = []
    server = Work().server()

    async def note(context: Any, call_next: Any) -> Any:
        owners.append(owner_of(context))
        return await call_next(context)

    server.middleware.append(note)
    async with serving(server, settings(http_stateless=stateless)) as url:
        for token in (ALICE, BOB, ALICE):
            async with client(authorization=f"Bearer {token}") as http:
                async with Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as asking:
                    owners.clear()
                    await asking.call_tool("say", {})
                    assert len(set(owners)) == 1
                    assert (owners[0] == "token alice") == (token == ALICE)
                    assert token not in owners[0]


async def test_a_session_is_of_no_use_to_another_token() -> None:
    async with serving(settings=settings()) as url:
        async with client(authorization=f"Bearer {ALICE}") as http:
            session = await session_of(http, url)
        async with client(authorization=f"Bearer {BOB}") as http:
            reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of("", session=session))
    assert reply.status_code == 404


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "short", "a b " + "x" * 16, "schlüssel-0123456789", f"a {ALICE}\nb {ALICE}", "name  short"],
)
def test_a_list_that_cannot_be_one_is_an_error_that_repeats_nothing_of_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OwnTokens(text)
    told = f"{caught.value.message} {caught.value.hint}"
    assert not [word for word in text.split() if len(word) > 5 and word in told and word != "nothing"]


async def test_commas_end_lines_as_an_environment_variable_needs() -> None:
    tokens = OwnTokens(f"alice {ALICE}, {BOB}")
    found = [await tokens.verify_token(token) for token in (ALICE, BOB, f"alice {ALICE}")]
    assert [token is not None for token in found] == [True, True, False]


async def test_the_token_is_kept_nowhere_in_what_requests_carry() -> None:
    found = await OwnTokens(ALICE).verify_token(ALICE)
    assert found is not None and ALICE not in f"{found!r} {vars(OwnTokens(ALICE))}"


@pytest.mark.parametrize(
    "alone", [{"oauth_jwks_url": "https://i.example/keys"}, {"oauth_audience": "x"}, {"oauth_scopes": ["s"]}]
)
def test_settings_of_signed_tokens_without_an_issuer_are_an_error(alone: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="without oauth_issuer"):
        http_app(Work().server(), Settings.model_validate(alone))
