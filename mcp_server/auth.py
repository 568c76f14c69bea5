"""Whose token a request over HTTP carries: one of the server's own list, or one that an authorisation server signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.authentication import AuthenticationBackend
from starlette.routing import Route

from mcp_server import settings as configured
from mcp_server.auth_tokens import OwnTokens
from vision.config import Settings
from vision.errors import ConfigError


@dataclass(frozen=True)
class Authorisation:
    """`metadata_url`: where clients read who gives out tokens; None where only the server's own list counts."""

    verifier: TokenVerifier
    scopes: tuple[str, ...] = ()
    metadata_url: AnyHttpUrl | None = None
    routes: tuple[Route, ...] = ()

    @property
    def backend(self) -> AuthenticationBackend:
        # The verifiers check audience themselves: what a token says there need not be this server's address.
        return BearerAuthBackend(self.verifier)


class _Either:
    """The first verifier that knows a token has the word."""

    def __init__(self, verifiers: Sequence[TokenVerifier]) -> None:
        self._verifiers = verifiers

    async def verify_token(self, token: str) -> AccessToken | None:
        for verifier in self._verifiers:
            found = await verifier.verify_token(token)
            if found is not None:
                return found
        return None


def authorisation_of(settings: Settings) -> Authorisation | None:
    """None where no token is asked for. Raises ConfigError."""
    verifiers: list[TokenVerifier] = []
    tokens = configured.http_tokens(settings)
    if tokens is not None:
        verifiers.append(OwnTokens(tokens, settings.oauth_scopes))
    if settings.oauth_issuer is None:
        _nothing_without_issuer(settings)
        return Authorisation(verifiers[0]) if verifiers else None
    from mcp_server.auth_jwt import SignedTokens  # cryptography, which most servers do without

    audience = settings.oauth_audience or settings.http_url
    if settings.oauth_jwks_url is None or audience is None:
        raise ConfigError(
            "oauth_issuer alone does not tell whom tokens are meant for and by which keys they are signed",
            "Set oauth_jwks_url, and http_url or oauth_audience.",
        )
    verifiers.append(SignedTokens(settings.oauth_issuer, settings.oauth_jwks_url, audience))
    resource = AnyHttpUrl(settings.http_url or f"http://{settings.http_host}:{settings.http_port}/mcp")
    scopes = list(settings.oauth_scopes)
    routes = create_protected_resource_routes(resource, [AnyHttpUrl(settings.oauth_issuer)], scopes or None)
    return Authorisation(
        _Either(verifiers), settings.oauth_scopes, build_resource_metadata_url(resource), tuple(routes)
    )


def _nothing_without_issuer(settings: Settings) -> None:
    """Raises ConfigError for settings that would check nothing."""
    for name in ("oauth_jwks_url", "oauth_audience", "oauth_scopes"):
        if getattr(settings, name):
            raise ConfigError(f"{name} is set without oauth_issuer", "Set oauth_issuer too, or leave it out.")
