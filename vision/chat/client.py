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

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, ValidationError

from vision.chat.answers import AnswerReader, cut_off, not_a_stream
from vision.chat.faults import error_from_payload, error_from_status
from vision.chat.record import Address, Health
from vision.chat.request import picture_bytes, write_request
from vision.chat.types import Ask, ChatEvent
from vision.errors import EngineUnavailable, ModelFailed, VisionError

if TYPE_CHECKING:
    import httpx2

M = TypeVar("M", bound=BaseModel)
# Encoding more pictures than this takes longer than other calls should wait for the event loop.
_LARGE = 256 << 10
_MAX_LINE = 16 << 20
_MAX_ERROR = 64 << 10
_CONNECT_S = 10.0
# Our host writes at least every five seconds, except while a library being loaded holds the interpreter's lock.
_HOST_SILENCE_S = 90.0
_HEALTH_S = 15.0


class HostGone(ModelFailed):
    """Nobody listens where the model host was."""


class HostSilent(ModelFailed):
    """Somebody listens, but nothing came for too long."""


@dataclass(frozen=True)
class Endpoint:
    """A server. `base_url` ends in /v1 as OpenAI's does; `model`: None where the server runs only one.

    `socket`: the Unix socket to use instead of the address. `own_host`: it is a model host of ours, which is started
    anew when it ends. `silence_s`: how long it may send nothing at all while it works.
    """

    base_url: str
    key: str | None = field(default=None, repr=False)
    model: str | None = None
    socket: Path | None = None
    own_host: bool = False
    silence_s: float = 600.0


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


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str


class _Models(BaseModel):
    model_config = ConfigDict(extra="ignore")
    data: list[_Model]


class _Anything(BaseModel):
    model_config = ConfigDict(extra="ignore")


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
        if picture_bytes(ask) <= _LARGE:
            body = write_request(ask, self.endpoint.model)
        else:
            body = await anyio.to_thread.run_sync(write_request, ask, self.endpoint.model)
        async with self._http(self.endpoint.silence_s) as http:
            request = http.build_request(
                "POST",
                f"{self.endpoint.base_url}/chat/completions",
                content=body,
                headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
            )
            response = await http.send(request, stream=True)
            try:
                async for event in _events(response):
                    yield event
            finally:
                await response.aclose()

    async def models(self) -> tuple[str, ...]:
        """The names of the models that the server offers."""
        found = await self._call("GET", f"{self.endpoint.base_url}/models", _Models, _HEALTH_S)
        return tuple(model.id for model in found.data)

    async def health(self, *, keep: bool = False) -> Health:
        """How a model host of ours is; `keep`: a question follows, it shall not end for idleness before."""
        return await self._call("GET", f"{self._root}/health{'?keep=1' if keep else ''}", Health, _HEALTH_S)

    async def shutdown(self) -> None:
        """Asks a model host of ours to end once it has answered what it works on."""
        await self._call("POST", f"{self._root}/shutdown", _Anything, _HEALTH_S)

    @property
    def _root(self) -> str:
        return self.endpoint.base_url.removesuffix("/v1")

    async def _call(self, method: str, url: str, answer: type[M], timeout_s: float) -> M:
        async with self._http(timeout_s) as http:
            response = await http.request(method, url)
        if response.status_code != 200:
            raise _refusal(response.status_code, response.content)
        try:
            return answer.model_validate_json(response.content)
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


async def _events(response: httpx2.Response) -> AsyncGenerator[ChatEvent, None]:
    if response.status_code != 200:
        raise _refusal(response.status_code, await _beginning(response))
    reader = AnswerReader()
    async for line in _lines(response):
        event = reader.line(line)
        if event is not None:
            yield event
        if reader.ended:
            break
    yield reader.finished()


async def _beginning(response: httpx2.Response) -> bytes:
    """As much of the body as an error needs."""
    found = bytearray()
    async for block in response.aiter_bytes():
        found += block
        if len(found) > _MAX_ERROR:
            break
    return bytes(found[:_MAX_ERROR])


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


def _refusal(status: int, body: bytes) -> VisionError:
    try:
        payload: Any = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one too
        return error_from_status(status, body[:500].decode(errors="replace").strip() or "no reason given")
    return error_from_payload(payload, status)


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
        if isinstance(_root_cause(e), ssl.SSLError):
            raise EngineUnavailable(
                f"{endpoint.base_url}: no TLS, or its certificate is not trusted",
                "Check http or https, and add the certificate to the system's.",
            ) from e
        raise EngineUnavailable(
            f"no server answers at {endpoint.base_url}", "Start it, or check the address, the port and the network."
        ) from e
    except httpx2.TimeoutException as e:
        who = "the model host" if endpoint.own_host else "the model's server"
        hint = "Call again; if it happens again, end it: the next call starts it anew."
        raise HostSilent(f"{who} sent nothing for {silence_s:.0f} s", hint) from e
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as e:
        raise EngineUnavailable(f"{endpoint.base_url} is no address of a server", "Give http://host:port/v1.") from e
    except (httpx2.RequestError, httpx2.StreamError) as e:
        if endpoint.own_host:
            raise ModelFailed("the model host ended while it worked (killed, or out of memory?)", again) from e
        raise cut_off() from e


def _root_cause(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
