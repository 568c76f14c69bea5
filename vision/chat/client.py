"""The client of the one wire: any server that speaks OpenAI's chat completions, our own model host among them.

httpx2 is imported here alone, with the first question. Nothing depends on what only our host sends: stages, tiles and
cached tiles are simply absent when another server answers.
"""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vision.chat.answers import AnswerReader, cut_off, not_a_stream
from vision.chat.faults import HttpRefusal, error_from_payload, error_from_status, message_of
from vision.chat.record import Address, Health
from vision.chat.request import OUR_HOST, Dialect, picture_bytes, write_request
from vision.chat.types import Ask, ChatEvent, Delta
from vision.errors import EngineUnavailable, ModelFailed, VisionError

if TYPE_CHECKING:
    import httpx2

M = TypeVar("M", bound=BaseModel)
L = TypeVar("L", bound="Loose")
# Encoding more pictures than this takes longer than other calls should wait for the event loop.
_LARGE = 256 << 10
_MAX_LINE = 16 << 20
_MAX_ERROR = 64 << 10
# A list of models is small; a server that sends more sends something else.
_MAX_ANSWER = 4 << 20
_CONNECT_S = 10.0
# Our host writes at least every five seconds, except while a library being loaded holds the interpreter's lock.
_HOST_SILENCE_S = 90.0
_HEALTH_S = 15.0


class HostGone(ModelFailed):
    """Nobody listens where the model host was."""


class HostSilent(ModelFailed):
    """Somebody listens, but nothing came for too long."""


class NoServer(EngineUnavailable):
    """Nobody listens where somebody else's server should be: nothing was sent."""


@dataclass(frozen=True)
class Endpoint:
    """A server. `base_url` ends in /v1 as OpenAI's does; `model`: None where the server runs only one.

    `socket`: the Unix socket to use instead of the address. `own_host`: it is a model host of ours, which is started
    anew when it ends. `silence_s`: how long it may send nothing at all while it works; `stall_s`: the same once its
    answer has begun, when nobody queues any more. `dialect`: what it takes beyond OpenAI's API.
    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    model: str | None = None
    socket: Path | None = None
    own_host: bool = False
    silence_s: float = 600.0
    stall_s: float = 120.0
    dialect: Dialect = OUR_HOST


def host_endpoint(address: Address, secret: str) -> Endpoint:
    """Our own model host at `address`."""
    authority = "model-host" if address.socket is not None else f"127.0.0.1:{address.port}"
    return Endpoint(
        base_url=f"http://{authority}/v1",
        key=secret,
        socket=address.socket,
        own_host=True,
        silence_s=_HOST_SILENCE_S,
    )


class Loose(BaseModel):
    """Part of what a server tells: what is not understood is no concern of ours."""

    model_config = ConfigDict(extra="ignore")


class HostTells(Loose):
    """What a host of ours tells of its model. `json_schema`: whether it holds an answer to one; `tile_side`: pixels."""

    json_schema: bool = False
    tile_side: int | None = Field(default=None, ge=1)


class OfferedModel(Loose):
    """A model as GET /models lists it. `owned_by` tells vLLM, SGLang, LMDeploy and llama.cpp apart; `root`: what vLLM
    loaded under the name `id`; `max_model_len`: its context in tokens; `internvl`: what our own host tells beside.
    """

    id: str
    owned_by: str | None = None
    root: str | None = None
    max_model_len: int | None = Field(default=None, ge=1)
    internvl: HostTells | None = None


class _Models(Loose):
    data: list[OfferedModel]


class ChatClient:
    """Holds no connection between calls, so that it needs no closing and works in any event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent, None]:
        """Stages and deltas as they come, then exactly one Finished.

        Closing the iterator (`contextlib.aclosing`) closes the connection, which makes the server drop the work.
        Raises the VisionError that the server reports, ModelFailed when it ends or breaks off, EngineUnavailable when
        somebody else's server is not there.
        """
        written = (ask, self.endpoint.model, self.endpoint.dialect)
        if picture_bytes(ask) <= _LARGE:
            body = write_request(*written)
        else:
            body = await anyio.to_thread.run_sync(write_request, *written)
        async with self._http(self.endpoint.silence_s) as http:
            request = http.build_request(
                "POST",
                f"{self.endpoint.base_url}/chat/completions",
                content=body,
                headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
            )
            response = await http.send(request, stream=True)
            try:
                async for event in _events(response, self.endpoint):
                    yield event
            finally:
                await response.aclose()

    async def models(self) -> tuple[OfferedModel, ...]:
        """The models that the server offers."""
        return tuple((await self._call("GET", f"{self.endpoint.base_url}/models", _Models)).data)

    async def properties(self, answer: type[L]) -> L:
        """What llama.cpp tells of itself at /props, beside /v1. Other servers refuse, mostly as not found."""
        return await self._call("GET", f"{self._root}/props", answer)

    async def health(self, *, keep: bool = False) -> Health:
        """How a model host of ours is; `keep`: a question follows, it shall not end for idleness before."""
        return await self._call("GET", f"{self._root}/health{'?keep=1' if keep else ''}", Health)

    async def shutdown(self) -> None:
        """Asks a model host of ours to end once it has answered what it works on."""
        await self._call("POST", f"{self._root}/shutdown", Loose)

    @property
    def _root(self) -> str:
        return self.endpoint.base_url.removesuffix("/v1")

    async def _call(self, method: str, url: str, answer: type[M]) -> M:
        async with self._http(_HEALTH_S) as http:
            response = await http.send(http.build_request(method, url), stream=True)
            try:
                if response.status_code != 200:
                    raise _refusal(response, await _beginning(response, _MAX_ERROR), self.endpoint.key)
                body = await _beginning(response, _MAX_ANSWER)
            finally:
                await response.aclose()
        try:
            return answer.model_validate_json(body)
        except ValidationError as e:
            raise not_a_stream() from e

    @asynccontextmanager
    async def _http(self, silence_s: float) -> AsyncIterator[httpx2.AsyncClient]:
        import httpx2

        endpoint = self.endpoint
        headers = {"Accept-Encoding": "identity", "User-Agent": "internvl-mcp"}
        if endpoint.key is not None:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        limits = httpx2.Limits(max_keepalive_connections=0)
        transport = None
        if endpoint.socket is not None:
            transport = httpx2.AsyncHTTPTransport(uds=str(endpoint.socket), verify=self._tls, limits=limits)
        with _mapped(endpoint, silence_s):
            async with httpx2.AsyncClient(
                transport=transport,
                headers=headers,
                limits=limits,
                verify=self._tls,
                trust_env=not endpoint.own_host,  # a proxy is right for a server far away, never for our own
                timeout=httpx2.Timeout(silence_s, connect=min(_CONNECT_S, silence_s)),
            ) as http:
                yield http

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext | bool:
        """Made once: reading the system's certificates takes 20 ms. False where no TLS is spoken."""
        return ssl.create_default_context() if self.endpoint.base_url.startswith("https:") else False


async def _events(response: httpx2.Response, endpoint: Endpoint) -> AsyncGenerator[ChatEvent, None]:
    if response.status_code != 200:
        raise _refusal(response, await _beginning(response, _MAX_ERROR), endpoint.key)
    reader = AnswerReader()
    lines, within_s = _lines(response), endpoint.silence_s
    while not reader.ended:
        try:
            with anyio.fail_after(within_s):
                line = await anext(lines, None)
        except TimeoutError as e:
            raise _silent(endpoint, within_s) from e
        if line is None:
            break
        event = reader.line(_without(endpoint.key, line))
        if event is not None:
            yield event
        if isinstance(event, Delta):
            within_s = min(endpoint.silence_s, endpoint.stall_s)
    yield reader.finished()


async def _beginning(response: httpx2.Response, most: int) -> bytes:
    """As much of the body as is of use."""
    found = bytearray()
    async for block in response.aiter_bytes():
        found += block
        if len(found) > most:
            break
    return bytes(found[:most])


async def _lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Lines as server-sent events have them. httpx2's own reader splits at U+2028 as well, which JSON may hold."""
    rest = bytearray()
    async for block in response.aiter_bytes():
        rest += block
        if b"\n" in block:
            *lines, last = rest.split(b"\n")
            for line in lines:
                yield bytes(line.removesuffix(b"\r"))
            rest = last
        if len(rest) > _MAX_LINE:
            raise not_a_stream()
    if rest and not b"data:".startswith(rest[:5]):  # an event that was cut off says nothing, anything else does
        yield bytes(rest)


def _refusal(response: httpx2.Response, body: bytes, key: str | None) -> VisionError:
    status, body = response.status_code, _without(key, body)
    try:
        payload: Any = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one too
        message = body[:500].decode(errors="replace").strip()
        error = error_from_status(status, message or "no reason given")
    else:
        message, error = message_of(payload), error_from_payload(payload, status)
    error.__cause__ = HttpRefusal(status, message, _seconds(response.headers.get("retry-after")))
    return error


def _without(key: str | None, said: bytes) -> bytes:
    """What a server said, without our key: some quote it when they refuse it."""
    return said if key is None else said.replace(key.encode(), b"***")


def _seconds(retry_after: str | None) -> float | None:
    """The header's seconds; None without it, or where it names a date, which needs both clocks to agree."""
    return float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None


@contextmanager
def _mapped(endpoint: Endpoint, silence_s: float) -> Iterator[None]:
    """httpx2's exceptions as ours."""
    import httpx2

    again = "Call again: it is started anew." if endpoint.own_host else "Call again; see the server's log."
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as e:
        if endpoint.own_host:
            raise HostGone("the model host has ended", again) from e
        if isinstance(cause := _root_cause(e), ssl.SSLError):
            why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "it speaks no TLS"
            raise EngineUnavailable(
                f"{endpoint.base_url}: no trusted TLS connection ({why})",
                "Check http or https, renew the certificate, or name its authority's file in SSL_CERT_FILE.",
            ) from e
        raise NoServer(
            f"no server answers at {endpoint.base_url}", "Start it, or check the address, the port and the network."
        ) from e
    except httpx2.TimeoutException as e:
        raise _silent(endpoint, silence_s) from e
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as e:
        raise EngineUnavailable(f"{endpoint.base_url} is no address of a server", "Give http://host:port/v1.") from e
    except httpx2.ProxyError as e:
        raise EngineUnavailable(
            f"the proxy on the way to {endpoint.base_url} refused", "Check HTTPS_PROXY, or name the host in NO_PROXY."
        ) from e
    except (httpx2.RequestError, httpx2.StreamError) as e:
        if endpoint.own_host:
            raise ModelFailed("the model host ended while it worked (killed, or out of memory?)", again) from e
        raise cut_off() from e


def _silent(endpoint: Endpoint, for_s: float) -> HostSilent:
    who = "the model host" if endpoint.own_host else "the model's server"
    hint = "Call again; see the server's log."
    if endpoint.own_host:
        hint = "Call again; if it happens again, end it: the next call starts it anew."
    return HostSilent(f"{who} sent nothing for {for_s:.0f} s", hint)


def _root_cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
