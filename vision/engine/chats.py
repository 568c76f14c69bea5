"""Where the engine finds a model to talk to: the local host's keeper, or a test's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, ChatEvent


class Chat(Protocol):
    """A model, up or being loaded."""

    def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent]:
        """Stages, deltas, and Finished last. Raises VisionError. Closing the generator cancels the work."""
        ...


class ChatSource(Protocol):
    async def connect(self, spec: HostSpec) -> Chat:
        """Starts the model's process where it is not up. Raises VisionError."""
        ...

    async def running(self) -> tuple[HostSpec, ...]:
        """What the hosts were started with that are up now, of this server or another of the same user."""
        ...

    async def unload(self) -> tuple[HostSpec, ...]:
        """Ends the hosts that are up, and says which."""
        ...
