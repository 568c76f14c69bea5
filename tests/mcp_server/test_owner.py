from __future__ import annotations

from typing import Any

import pytest
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.requests import Request

from mcp_server.owner import ANYBODY, LOCAL, owner_of_request


def request(**scope: Any) -> Request:
    return Request({"type": "http", "headers": [], **scope})


def user(subject: str, **claims: str) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token="t", client_id="c", scopes=[], subject=subject, claims=claims))


def test_without_a_request_the_owner_is_the_one_local_client() -> None:
    assert owner_of_request(None) == LOCAL


def test_without_a_token_everybody_is_one_owner_who_is_not_the_local_one() -> None:
    assert owner_of_request(request()) == ANYBODY != LOCAL


@pytest.mark.parametrize("other", [user("b"), user("a", iss="https://x"), user("a", iss="https://y")])
def test_tokens_of_other_subjects_or_issuers_are_other_owners(other: AuthenticatedUser) -> None:
    first = owner_of_request(request(user=user("a")))
    assert first == owner_of_request(request(user=user("a")))
    assert owner_of_request(request(user=other)) not in (first, LOCAL, ANYBODY)
