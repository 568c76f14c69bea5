"""Fetch a picture or document from an address, as a stranger's address deserves.

The name is resolved here, every address it has is checked, and the connection goes to a checked address: no second
look-up that could answer differently. Redirects are followed by hand and checked the same way. Proxies named in the
environment are not used: a proxy resolves names itself, so the check could not hold.

This module alone imports httpcore2, and is imported when the first address is fetched: start-up stays light.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import urljoin, urlsplit

import anyio
import anyio.to_thread
import httpcore2

from vision.access.addresses import Endpoint, Network, checked_endpoints
from vision.access.policy import AccessPolicy
from vision.access.source import MAX_URL_CHARS, shown_url
from vision.errors import AccessDenied, InvalidArgument, LimitExceeded, SourceNotFound, SourceUnreadable

MAX_REDIRECTS = 5
_MAX_ADDRESSES_TRIED = 4
_WRITE_CHUNK = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"https": 443, "http": 80}
_USE_A_FILE = "Save the file locally and give its path."


@dataclass(frozen=True)
class Target:
    """One address to ask, taken apart. `host` is ASCII (IDNA), without brackets; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


async def fetch(url: str, policy: AccessPolicy, network: Network) -> BinaryIO:
    """The body in an unlinked temporary file, positioned at its start.

    Raises AccessDenied, InvalidArgument, LimitExceeded, SourceNotFound, SourceUnreadable. No error repeats what the
    server sent.
    """
    try:
        with anyio.fail_after(policy.fetch_timeout_s):
            return await _follow(url, policy, network)
    except TimeoutError as error:
        raise LimitExceeded(
            f"{shown_url(url)} did not arrive within {policy.fetch_timeout_s:g} s",
            f"{_USE_A_FILE} Or raise INTERNVL_MCP_FETCH_TIMEOUT_S.",
        ) from error


async def _follow(url: str, policy: AccessPolicy, network: Network) -> BinaryIO:
    target = parse_target(url, policy)
    for _ in range(MAX_REDIRECTS + 1):
        async with _get(target, policy, network) as response:
            if response.status not in _REDIRECTS:
                _require_success(response.status, url)
                return await _save(response, policy, url)
            location = _header(response, b"location")
        if not location:
            raise SourceUnreadable(f"{shown_url(url)} redirects to nowhere", _USE_A_FILE)
        url = urljoin(url, location)
        next_target = parse_target(url, policy)
        if target.scheme == "https" and next_target.scheme == "http":
            raise AccessDenied("the address redirects from https to http", _USE_A_FILE)
        target = next_target
    raise SourceUnreadable(f"more than {MAX_REDIRECTS} redirects", _USE_A_FILE)


def parse_target(url: str, policy: AccessPolicy) -> Target:
    """Take `url` apart. Raises AccessDenied for a scheme or login that is not allowed, InvalidArgument if malformed."""
    if len(url) > MAX_URL_CHARS:
        raise InvalidArgument(f"the URL is longer than {MAX_URL_CHARS} characters", _USE_A_FILE)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise InvalidArgument("the URL is malformed", "Check the address.") from error
    if parts.scheme not in ("https", "http"):
        raise AccessDenied(f"{parts.scheme or 'such'}: addresses are not opened", "Give an https:// address.")
    if parts.scheme == "http" and not policy.allow_http:
        raise AccessDenied("plain http:// is not allowed", "Use https://, or set INTERNVL_MCP_ALLOW_HTTP=1.")
    if "@" in parts.netloc:
        raise AccessDenied("the URL holds a user name or password", f"Leave them out. {_USE_A_FILE}")
    if not host:
        raise InvalidArgument("the URL has no host", "Check the address.")
    path = _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path)


def _quoted(text: str) -> str:
    """Percent-encode what may not stand in a request line; what is encoded already stays."""
    return "".join(
        char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    )


@asynccontextmanager
async def _get(target: Target, policy: AccessPolicy, network: Network) -> AsyncIterator[httpcore2.Response]:
    endpoints = await checked_endpoints(target.host, target.port, policy.allowed_hosts, network.resolver)
    headers = [
        ("Host", target.host_header),
        ("User-Agent", "internvl-mcp"),
        ("Accept", "image/*, video/*, application/pdf, */*;q=0.5"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    try:
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=network.ssl_context, network_backend=_CheckedBackend(endpoints, policy.fetch_timeout_s)
            ) as pool,
            pool.stream("GET", url, headers=headers) as response,
        ):
            yield response
    except httpcore2.ConnectError as error:
        detail = "its certificate is not trusted" if isinstance(_root_cause(error), ssl.SSLError) else "no connection"
        raise SourceUnreadable(
            f"{target.host}: {detail}", f"Check the address and the network; proxies are not used. {_USE_A_FILE}"
        ) from error
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise SourceUnreadable(f"{target.host}: the transfer broke off", f"Try again later. {_USE_A_FILE}") from error


def _root_cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to the first endpoint that answers, whatever name it is asked for: TLS still checks the name."""

    def __init__(self, endpoints: tuple[Endpoint, ...], timeout_s: float) -> None:
        self._endpoints = endpoints[:_MAX_ADDRESSES_TRIED]
        self._timeout_s = timeout_s
        # Its type is lost where httpcore2 declares it, inside a try.
        self._inner = cast(httpcore2.AsyncNetworkBackend, httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        *others, last = self._endpoints
        for endpoint in others:
            try:
                share = self._timeout_s / (2 * len(others))
                return await self._inner.connect_tcp(endpoint.address, endpoint.port, share)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(last.address, last.port, self._timeout_s)


def _require_success(status: int, url: str) -> None:
    shown = shown_url(url)
    if status in (404, 410):
        raise SourceNotFound(f"{shown} does not exist (HTTP {status})", "Check the address.")
    if status in (401, 403):
        raise SourceUnreadable(f"{shown} is not open to everybody (HTTP {status})", _USE_A_FILE)
    if status != 200:
        raise SourceUnreadable(f"{shown} answered HTTP {status}", f"Try again later. {_USE_A_FILE}")


def _header(response: httpcore2.Response, name: bytes) -> str:
    values = [value for key, value in response.headers if key.lower() == name]
    return values[0].decode("latin-1").strip() if values else ""


async def _save(response: httpcore2.Response, policy: AccessPolicy, url: str) -> BinaryIO:
    shown = shown_url(url)
    if _header(response, b"content-encoding").lower() not in ("", "identity"):
        raise SourceUnreadable(f"{shown} came compressed although that was not asked for", _USE_A_FILE)
    declared = _header(response, b"content-length")
    if declared.isascii() and declared.isdigit():
        _require_within(int(declared), policy, shown)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller, closed here on failure
    try:
        size, pending = 0, bytearray()
        async for chunk in response.aiter_stream():
            size += len(chunk)
            _require_within(size, policy, shown)
            pending += chunk
            if len(pending) >= _WRITE_CHUNK:
                await anyio.to_thread.run_sync(file.write, bytes(pending))
                pending.clear()
        await anyio.to_thread.run_sync(file.write, bytes(pending))
        if size == 0:
            raise SourceUnreadable(f"{shown} is empty", "Check the address.")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _require_within(size: int, policy: AccessPolicy, shown: str) -> None:
    if size > policy.max_bytes:
        raise LimitExceeded(
            f"{shown} is larger than {policy.max_bytes} bytes",
            "Ask for a smaller version, save it locally and give its path, or raise INTERNVL_MCP_MAX_BYTES.",
        )
