"""Fetches the keys of an authorisation server. Loads the HTTP client with the first signed token."""

from __future__ import annotations

import json
from typing import Any

import anyio

_WITHIN_S = 10.0
_MAX_BYTES = 1 << 20


class KeysUnreachable(Exception):
    """The keys could not be fetched, or what came are none."""


async def fetch_keys(url: str) -> list[dict[str, Any]]:
    """The entries of the JWK set (RFC 7517) at `url`; redirects are not followed. Raises KeysUnreachable."""
    import httpx2

    try:
        with anyio.fail_after(_WITHIN_S):
            async with (
                httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client,
                client.stream("GET", url, headers={"accept": "application/json"}) as response,
            ):
                if response.status_code != 200:
                    raise KeysUnreachable(f"status {response.status_code}")
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > _MAX_BYTES:
                        raise KeysUnreachable("the answer is too large")
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        raise KeysUnreachable(type(error).__name__) from error
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, LookupError, TypeError) as error:
        raise KeysUnreachable("the answer is no set of keys") from error
    if not isinstance(keys, list):
        raise KeysUnreachable("the answer is no set of keys")
    return [entry for entry in keys if isinstance(entry, dict)]
