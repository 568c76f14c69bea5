"""Whose call it is: what jobs, conversations and limits are kept apart by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

LOCAL = "local"
ANYBODY = "anonymous"


def owner_of(context: ServerRequestContext[Any, Any]) -> str:
    """The owner of a request.

    "local" over standard input and output. Over HTTP the subject of the token that was checked: `token NAME` for a
    token of the server's own list, `ISSUER SUBJECT` for one that an authorisation server signed, so that a client that
    comes back, with a new session or a new token, finds what is its own. Without tokens "anonymous": everybody who can
    reach such a server is one owner (it listens on loopback, unless told otherwise).
    """
    return owner_of_request(context.request)


def owner_of_request(request: Any) -> str:
    """The same for a Starlette request, None where there is none."""
    if request is None:
        return LOCAL
    token = getattr(request.scope.get("user"), "access_token", None)
    return ANYBODY if token is None else f"{(token.claims or {}).get('iss', 'token')} {token.subject}"
