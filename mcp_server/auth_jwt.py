"""Tokens that an authorisation server signed (JWT, RFC 9068). The one module that imports PyJWT."""

from __future__ import annotations

import logging
import time
from typing import Any

import anyio
import jwt
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthenticationError

from mcp_server.auth_keys import KeysUnreachable, fetch_keys

logger = logging.getLogger("internvl_mcp.http")
# Signatures by a private key only: with a secret key (HS*) or none at all, anybody could make what a public key allows.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S = 10
_KEEP_S = 600.0
# A server whose keys cannot be had again: its tokens are believed this long.
_KEEP_AT_MOST_S = 24 * 3600.0
_ASK_AGAIN_S = 30.0


class SignedTokens:
    """Tokens by `issuer` for `audience`, checked with the keys at `jwks_url`."""

    def __init__(self, issuer: str, jwks_url: str, audience: str) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys = Keys(jwks_url)

    async def verify_token(self, token: str) -> AccessToken | None:
        """None for every token that is not good; the log says why, and never shows it.

        Raises AuthenticationError where the keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError("its algorithm is not accepted")
            key = await self._keys.key(header.get("kid"))
            if key is None:
                raise jwt.InvalidKeyError("it names no key of the issuer")
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            logger.info("a token was refused", extra={"fields": {"why": type(error).__name__}})
            return None
        except KeysUnreachable as error:
            raise AuthenticationError("the authorisation server's keys cannot be had") from error
        client = claims.get("client_id") or claims.get("azp") or claims["sub"]
        # expires_at stays empty: it has been checked, and would be again without leeway.
        return AccessToken(
            token="",
            client_id=str(client),
            subject=claims["sub"],
            scopes=_scopes(claims),
            claims={"iss": self._issuer},
        )


def _scopes(claims: dict[str, Any]) -> list[str]:
    """`scope` as RFC 8693 has it, or `scp`, which others write as words or as a list."""
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, str):
        return found.split()
    return [scope for scope in found if isinstance(scope, str)] if isinstance(found, list) else []


class Keys:
    """The public keys at an address, kept for ten minutes; asked for again, twice a minute at most, for one unknown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._had = self._asked = float("-inf")
        self._lock = anyio.Lock()

    async def key(self, kid: Any) -> jwt.PyJWK | None:
        """The key of that id; without an id the only one. Raises KeysUnreachable."""
        async with self._lock:
            now = time.monotonic()
            stale = now - self._had > _KEEP_S or self._named(kid) is None
            if stale and now - self._asked > _ASK_AGAIN_S:
                self._asked = now
                await self._fetch(now)
            if now - self._had > _KEEP_AT_MOST_S:
                raise KeysUnreachable
            return self._named(kid)

    def _named(self, kid: Any) -> jwt.PyJWK | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid) if isinstance(kid, str) else None

    async def _fetch(self, now: float) -> None:
        try:
            found = await fetch_keys(self._url)
        except KeysUnreachable as error:
            logger.warning("the keys at oauth_jwks_url cannot be had: %s", error)
            return
        self._keys = {entry.get("kid"): key for entry in found if (key := _usable(entry)) is not None}
        self._had = now


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """The entry as a key that signatures can be checked with; None for keys of other kinds."""
    if entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry)
    except jwt.PyJWTError:
        return None
    return key if key.algorithm_name in ALGORITHMS else None
