"""Tokens that an authorisation server signs: which are let in, which are not, and what clients find of it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.authentication import AuthenticationError

from mcp_server import auth_jwt
from mcp_server.auth_jwt import Keys, SignedTokens
from mcp_server.auth_keys import KeysUnreachable, fetch_keys
from mcp_server.http import http_app
from mcp_server.owner import owner_of
from tests.mcp_server.http_serving import Work, body_of, client, headers_of, serving
from tests.mcp_server.pages import Pages, published
from vision.config import Settings
from vision.errors import ConfigError

pytestmark = pytest.mark.anyio
ISSUER = "https://issuer.example"
RESOURCE = "https://vision.example.org/mcp"
KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    found = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**found, "kid": kid, "alg": algorithm, "use": "sig", **more}


def signed(key: Any = KEY, kid: str | None = "one", algorithm: str = "RS256", **changed: Any) -> str:
    claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "alice", "exp": time.time() + 60, "scope": "see read", **changed}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
async def keys() -> AsyncIterator[Pages]:
    async with published({"/keys": {"keys": [public(KEY, "one"), public(CURVE, "two")]}}) as pages:
        yield pages


def settings(keys: Pages, **more: Any) -> Settings:
    found = {"oauth_issuer": ISSUER, "oauth_jwks_url": f"{keys.url}/keys", "http_url": RESOURCE, **more}
    return Settings.model_validate(found)


async def status(url: str, token: str) -> int:
    async with client(authorization=f"Bearer {token}") as http:
        body, headers = body_of("tools/list", 1, True), headers_of("tools/list", True)
        return (await http.post(f"{url}/mcp", content=body, headers=headers)).status_code


async def test_a_token_of_the_issuer_for_this_server_is_let_in(keys: Pages) -> None:
    async with serving(settings=settings(keys)) as url:
        assert await status(url, signed()) == 200
        assert await status(url, signed(CURVE, "two", "ES256")) == 200
        assert await status(url, signed(aud=["https://else.example", RESOURCE])) == 200
    assert keys.asked == ["/keys"], "the keys are kept"


def by_public_key_as_secret() -> str:
    """What a verifier that lets the token choose its algorithm takes: HS256 with the published key as the secret."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "alice", "exp": time.time() + 60}
    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "one"}).encode())
    text = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{text}.{part(hmac.digest(pem, text.encode(), 'sha256'))}"


def refused() -> dict[str, str]:
    good = signed()
    return {
        "another audience": signed(aud="https://else.example/mcp"),
        "an audience that begins alike": signed(aud=f"{RESOURCE}/more"),
        "no audience": signed(aud=None),
        "expired": signed(exp=time.time() - 60),
        "without an end": signed(exp=None),
        "not yet good": signed(nbf=time.time() + 600),
        "another issuer": signed(iss="https://evil.example"),
        "no subject": signed(sub=None),
        "another key": signed(OTHER),
        "an unknown key": signed(OTHER, "three"),
        "no key's name where there are two": signed(kid=None),
        "unsigned": signed(None, "one", "none"),
        "the signature cut off": good.rsplit(".", 1)[0] + ".",
        "changed": good[:-20] + ("A" if good[-20] != "A" else "B") + good[-19:],
        "a public key as secret": by_public_key_as_secret(),
        "no token": "x" * 40,
    }


@pytest.mark.parametrize("why", refused())
async def test_every_other_token_is_refused(why: str, keys: Pages) -> None:
    async with serving(settings=settings(keys)) as url:
        assert await status(url, signed()) == 200
        assert await status(url, refused()[why]) == 401


async def test_a_symmetric_or_encryption_key_among_the_published_ones_is_no_key(keys: Pages) -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC0", "kid": "s", "alg": "HS256"}
    keys.pages["/keys"] = {"keys": [secret, public(KEY, "enc", use="enc"), "what", public(KEY, "one")]}
    async with serving(settings=settings(keys)) as url:
        assert await status(url, signed(b"secret-" * 5, "s", "HS256")) == 401
        assert await status(url, signed(kid="enc")) == 401
        assert await status(url, signed(kid=None)) == 200, "the only one needs no name"


async def test_scopes_that_are_wanted_must_be_there(keys: Pages) -> None:
    async with serving(settings=settings(keys, oauth_scopes=("see",))) as url:
        async with client(authorization=f"Bearer {signed(scope='read')}") as http:
            reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of(""))
        assert reply.status_code == 403 and 'error="insufficient_scope"' in reply.headers["www-authenticate"]
        assert await status(url, signed()) == 200
        assert await status(url, signed(scope=None, scp=["see"])) == 200
        assert await status(url, signed(scope=None, scp="see")) == 200


async def test_clients_find_who_gives_out_tokens(keys: Pages) -> None:
    async with serving(settings=settings(keys, oauth_scopes=("see",))) as url, client() as http:
        reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of(""))
        where = "/.well-known/oauth-protected-resource/mcp"
        assert reply.status_code == 401
        assert f'resource_metadata="https://vision.example.org{where}"' in reply.headers["www-authenticate"]
        found = (await http.get(url + where)).json()
    assert found["resource"] == RESOURCE and found["scopes_supported"] == ["see"]
    assert [server.rstrip("/") for server in found["authorization_servers"]] == [ISSUER]


async def test_an_audience_of_its_own_replaces_the_address(keys: Pages) -> None:
    async with serving(settings=settings(keys, oauth_audience="api://vision")) as url:
        assert await status(url, signed(aud="api://vision")) == 200
        assert await status(url, signed()) == 401


async def test_the_owner_is_issuer_and_subject_and_not_the_token(keys: Pages) -> None:
    owners: list[str] = []
    server = Work().server()

    async def note(context: Any, call_next: Any) -> Any:
        owners.append(owner_of(context))
        return await call_next(context)

    server.middleware.append(note)
    async with serving(server, settings(keys)) as url:
        for token in (signed(), signed(jti="2", exp=time.time() + 90), signed(sub="bob")):
            assert await status(url, token) == 200
    assert owners == [f"{ISSUER} alice", f"{ISSUER} alice", f"{ISSUER} bob"]


async def test_own_tokens_are_let_in_beside_signed_ones(keys: Pages) -> None:
    async with serving(settings=settings(keys, http_tokens="a-token-of-our-own")) as url:
        assert await status(url, "a-token-of-our-own") == 200
        assert await status(url, signed()) == 200
        assert await status(url, "another-token-of-our-own") == 401


async def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_token(
    keys: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(auth_jwt.time, "monotonic", lambda: now[0])
    known = Keys(f"{keys.url}/keys")
    assert await known.key("one") is not None
    keys.pages["/keys"] = {"keys": [public(OTHER, "new")]}
    for _ in range(5):
        assert await known.key("new") is None
    assert len(keys.asked) == 1, "asked again only after half a minute"
    now[0] += 31
    assert await known.key("new") is not None
    assert await known.key("one") is None, "a key that was withdrawn is not believed"


async def test_keys_that_cannot_be_had_again_are_believed_for_a_day(
    keys: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(auth_jwt.time, "monotonic", lambda: now[0])
    known = Keys(f"{keys.url}/keys")
    assert await known.key("one") is not None
    keys.pages.clear()
    now[0] += 3600
    assert await known.key("one") is not None
    now[0] += 24 * 3600
    with pytest.raises(KeysUnreachable):
        await known.key("one")


async def test_without_keys_the_client_is_told_to_come_again_and_not_that_its_token_is_bad(keys: Pages) -> None:
    keys.pages.clear()
    async with serving(settings=settings(keys)) as url, client(authorization=f"Bearer {signed()}") as http:
        reply = await http.post(f"{url}/mcp", content=body_of("ping"), headers=headers_of(""))
    assert reply.status_code == 503 and reply.json()["error"]["code"] == "busy"
    with pytest.raises(AuthenticationError):
        await SignedTokens(ISSUER, f"{keys.url}/keys", RESOURCE).verify_token(signed())


@pytest.mark.parametrize("page", ["not json", [], {"keys": {}}, {}, {"keys": ["x" * (2 << 20)]}])
async def test_what_is_no_set_of_keys_is_told_as_that(page: Any, keys: Pages) -> None:
    keys.pages["/keys"] = page
    with pytest.raises(KeysUnreachable):
        await fetch_keys(f"{keys.url}/keys")


async def test_redirects_are_not_followed(keys: Pages) -> None:
    keys.redirects["/old"] = "/keys"
    with pytest.raises(KeysUnreachable, match="30"):
        await fetch_keys(f"{keys.url}/old")


@pytest.mark.parametrize("missing", ["oauth_jwks_url", "http_url"])
def test_an_issuer_without_its_keys_or_an_audience_is_an_error(missing: str) -> None:
    given = {"oauth_issuer": ISSUER, "oauth_jwks_url": f"{ISSUER}/keys", "http_url": RESOURCE, missing: None}
    with pytest.raises(ConfigError, match="whom tokens are meant for"):
        http_app(Work().server(), Settings.model_validate(given))
