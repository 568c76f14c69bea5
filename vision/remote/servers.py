"""The servers that the setting `endpoints` names: which one is asked, when again, and what is told of them.

Round robin over those that are well, no more: balancing by load is what the engines' own routers are for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio

from vision.chat.faults import HttpRefusal
from vision.chat.request import pictures
from vision.chat.types import Ask, ChatEvent, ImagePart
from vision.errors import ConfigError, EngineUnavailable, VisionError
from vision.media.tile_grid import Fit
from vision.remote.capabilities import ASSUMED_CONTEXT, Capabilities
from vision.remote.refusal import OtherModel, PromptTooLong, asks_again_in_s, too_long, too_many_pictures
from vision.remote.schema import held_to, not_held
from vision.remote.server import RemoteServer
from vision.types import Frozen

# Of one question, the first time included.
_ATTEMPTS = 4
# A server that was silent for so long is counted as failing when its question is given up.
_SILENT_S = 30.0

# Prepares a picture for a server: how, for how many tiles at most, of how many pixels a side.
Fitter = Callable[[ImagePart, Fit, int, int], Awaitable[ImagePart]]


class RemoteModel(Frozen):
    """The model that answers, and the server that was asked about it."""

    url: str
    servers: int
    capabilities: Capabilities


class EndpointState(Frozen):
    """How a server is. `breaker`: open while it is left alone after failures. `problem` and `advice` are empty where
    nothing is wrong.
    """

    url: str
    reachable: bool
    breaker: str
    latency_ms: int | None = None
    capabilities: Capabilities | None = None
    problem: str = ""
    advice: str = ""


@dataclass
class _Question:
    """One question on its way. `heard`: something came of an answer, which is never asked for twice. `failure`: the
    last one of a server that serves the model. `avoided`: servers that others are asked before; `blamed`: those whose
    failure was counted, once a question.
    """

    server: RemoteServer
    began: float
    heard: bool = False
    failure: VisionError | None = None
    avoided: set[str] = field(default_factory=set)
    blamed: set[str] = field(default_factory=set)

    def goes_to(self, server: RemoteServer) -> None:
        self.server, self.began = server, time.monotonic()


class RemoteServers:
    """`fit` prepares the pictures. Used by one event loop at a time."""

    def __init__(self, urls: Sequence[str], key: str | None, model: str | None, fit: Fitter) -> None:
        self._servers = tuple(RemoteServer(url, key, model) for url in urls)
        self._fit = fit
        self._turn = 0
        self._name: str | None = None

    async def model(self) -> RemoteModel:
        """What would answer now. Raises the VisionError of the last server tried when none can."""
        error: VisionError | None = None
        for server in self._servers:  # in the order given, so that it stays the same
            if server.breaker.state == "open":
                continue
            try:
                found = await server.capabilities()
            except VisionError as e:
                server.learn(e)
                error = e
            else:
                self._name = found.name
                return RemoteModel(url=server.url, servers=len(self._servers), capabilities=found)
        raise error or self._none()

    async def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent]:
        """Stages, deltas, and Finished last. Closing the generator closes the connection, which ends the work there.

        It is asked again, or elsewhere, only before anything came, and when the failure says that nothing was done:
        a refused connection, 429 with a time that fits, 502, 503, 504. Raises PromptTooLong when a lighter question may
        pass, EngineUnavailable when every server is left alone, and what the servers fail with.
        """
        question = _Question(self._chosen(frozenset()), time.monotonic())
        for number in range(1, _ATTEMPTS + 1):
            try:
                async with aclosing(self._answer(question, ask)) as events:
                    async for event in events:
                        yield event
                return
            except VisionError as error:
                wait_s = self._again(question, error, number)
                if not isinstance(error, OtherModel):
                    question.failure = error
                if wait_s is None:
                    cause = question.failure or error
                    raise too_long(cause) or cause from cause.__cause__
                await anyio.sleep(wait_s)
                question.goes_to(self._chosen(question.avoided))

    async def _answer(self, question: _Question, ask: Ask) -> AsyncGenerator[ChatEvent]:
        server = question.server
        try:
            capabilities = await server.capabilities()
            if self._name not in (None, capabilities.name):
                raise OtherModel(
                    f"the server at {server.url} serves {capabilities.name}, not {self._name}",
                    "Name the model (endpoint_model), or leave that address out.",
                )
            prepared = await self._prepared(ask, capabilities)
            answer = server.client(capabilities).ask(prepared)
            if ask.json_schema is not None and capabilities.json_schema is None:
                answer = held_to(ask.json_schema, answer, capabilities.name)
            async with aclosing(answer) as events:
                async for event in events:
                    question.heard = True
                    yield event
        except anyio.get_cancelled_exc_class():
            if not question.heard and time.monotonic() - question.began > _SILENT_S:
                server.breaker.failed(f"it sent nothing for {_SILENT_S:.0f} s")
            raise
        server.breaker.succeeded()

    async def _prepared(self, ask: Ask, capabilities: Capabilities) -> Ask:
        """The question as this server can take it. Raises PromptTooLong, and InvalidArgument for a schema."""
        shown = pictures(ask)
        most = capabilities.max_pictures
        if most is not None and len(shown) > most:
            raise too_many_pictures(most)
        if ask.json_schema is not None and capabilities.json_schema is False:
            raise not_held(capabilities.name)
        tiles = min(ask.max_tiles or capabilities.max_tiles, capabilities.max_tiles)
        messages = []
        for message in ask.messages:
            parts = [
                await self._fitted(p, capabilities, tiles) if isinstance(p, ImagePart) else p for p in message.parts
            ]
            messages.append(message.model_copy(update={"parts": tuple(parts)}))
        longest = (capabilities.context or ASSUMED_CONTEXT) // 2
        return ask.model_copy(
            update={"messages": tuple(messages), "max_tiles": tiles, "max_tokens": min(ask.max_tokens, longest)}
        )

    async def _fitted(self, picture: ImagePart, capabilities: Capabilities, tiles: int) -> ImagePart:
        return await self._fit(picture, capabilities.fit, tiles, capabilities.tile_side)

    def _again(self, question: _Question, error: VisionError, number: int) -> float | None:
        """Seconds to wait before the question is asked again, here or elsewhere; None where it must not be."""
        server = question.server
        helped = server.learn(error, blame=server.url not in question.blamed)
        question.blamed.add(server.url)
        if question.heard or number == _ATTEMPTS or isinstance(error, PromptTooLong):
            return None
        if helped:
            return 0.0
        wait_s = asks_again_in_s(error, number)
        if wait_s is None:
            return None
        question.avoided.add(server.url)
        if any(other.breaker.state != "open" for other in self._servers if other.url not in question.avoided):
            return 0.0
        question.avoided.clear()
        return wait_s if wait_s < anyio.current_effective_deadline() - anyio.current_time() else None

    def _chosen(self, avoided: Set[str]) -> RemoteServer:
        """The next one in turn that is well, before those under trial. Raises EngineUnavailable."""
        first = self._turn % max(1, len(self._servers))
        self._turn += 1
        in_turn = (*self._servers[first:], *self._servers[:first])
        order = [server for server in in_turn if server.url not in avoided]
        well = [server for server in order if server.breaker.state == "closed"]
        for server in [*well, *order]:
            if server.breaker.admits():
                return server
        raise self._none()

    def _none(self) -> EngineUnavailable:
        if not self._servers:
            return EngineUnavailable(
                "no address of a model's server is set", "Set it: --endpoint http://host:8000/v1 (endpoints)."
            )
        server = min(self._servers, key=lambda server: server.breaker.left_s)
        breaker = server.breaker
        return EngineUnavailable(
            f"the server at {server.url} failed {breaker.failures} times in a row and is left alone for "
            f"{max(1, round(breaker.left_s))} s more; the last time: {breaker.last_failure}",
            "Call again after that; see how it is with manage_model or: internvl-mcp doctor",
        )

    async def status(self) -> tuple[EndpointState, ...]:
        """Looks at every server now, side by side, also at those that are left alone."""
        found: dict[str, EndpointState] = {}

        async def look(server: RemoteServer) -> None:
            found[server.url] = await _state(server)

        async with anyio.create_task_group() as group:
            for server in self._servers:
                group.start_soon(look, server)
        return tuple(found[server.url] for server in self._servers)


async def _state(server: RemoteServer) -> EndpointState:
    began = time.monotonic()
    try:
        found = await server.look()
    except VisionError as error:
        there = isinstance(error, ConfigError) or isinstance(error.__cause__, HttpRefusal)
        return EndpointState(
            url=server.url, reachable=there, breaker=server.breaker.state, problem=error.message, advice=error.hint
        )
    latency = round(1000 * (time.monotonic() - began))
    return EndpointState(
        url=server.url, reachable=True, breaker=server.breaker.state, latency_ms=latency, capabilities=found
    )
