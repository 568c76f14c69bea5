"""Where the engine finds a model to talk to: the local host's keeper, or a test's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, ChatEvent
from vision.remote.servers import EndpointState, RemoteModel
from vision.types import Frozen


class HostState(Frozen):
    """A model host that is up. `loaded`: share of the weights in place; `device_bytes`: memory it takes there."""

    spec: HostSpec
    state: str
    loaded: float = 1.0
    working: int = 0
    device_bytes: int | None = None


class Chat(Protocol):
    """A model, up or being loaded."""

    def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent]:
        """Stages, deltas, and Finished last. Raises VisionError. Closing the generator cancels the work."""
        ...


class ChatSource(Protocol):
    async def connect(self, spec: HostSpec) -> Chat:
        """Starts the model's process where it is not up. Raises VisionError."""
        ...

    async def running(self) -> tuple[HostState, ...]:
        """The hosts that are up now, started by this server or another of the same user."""
        ...

    async def end(self, spec: HostSpec) -> bool:
        """Ends a host; False where it was not up any more. Raises VisionError."""
        ...


class Remote(Chat, Protocol):
    """A model that somebody else serves, as `vision.remote.servers.RemoteServers`."""

    async def model(self) -> RemoteModel:
        """What would answer now. Raises VisionError where nothing would."""
        ...

    async def status(self) -> tuple[EndpointState, ...]:
        """How each server is, asked now."""
        ...
