"""A model on a server that our own host started: the host is asked where it is, the server everything else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio

from vision.chat.client import ChatClient
from vision.chat.faults import HttpRefusal
from vision.chat.types import Ask, ChatEvent, Delta, Message, TextPart
from vision.errors import EngineUnavailable, ModelFailed, VisionError
from vision.remote.servers import RemoteServers
from vision.serving.types import Served

# After a connection broke, so long for the host to notice that the server has ended, and to say why.
_REASON_S = 3.0
# What it says does not matter: a host that watches a server answers every question with where that is.
_LEASE = Ask(messages=(Message(role="user", parts=(TextPart(text="lease"),)),))


class ManagedChat:
    """See `vision.engine.chats.Chat`. `servers_at` gives what asks the server at an address: the same one each time, as
    it remembers what the server taught it.
    """

    def __init__(self, host: ChatClient, servers_at: Callable[[Served], RemoteServers]) -> None:
        self._host = host
        self._servers_at = servers_at

    async def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent]:
        """Stages while the server starts, then its answer. The lease is held until the end, so that nobody ends it."""
        async with aclosing(self._host.ask(_LEASE)) as lease:
            served: Served | None = None
            async for event in lease:
                if isinstance(event, Delta):
                    served = Served.model_validate_json(event.text)
                    break
                yield event
            if served is None:
                raise ModelFailed("the model's server was ended before it answered", "Call again: it is started anew.")
            try:
                async with aclosing(self._servers_at(served).ask(ask)) as events:
                    async for event in events:
                        yield event
            except (ModelFailed, EngineUnavailable) as e:
                why = None if isinstance(e.__cause__, HttpRefusal) else await _reason(lease)
                if why is None:
                    raise
                raise why from e


async def _reason(lease: AsyncGenerator[ChatEvent]) -> VisionError | None:
    """Why the server is gone, where it is."""
    try:
        with anyio.move_on_after(_REASON_S):
            async for _ in lease:
                pass
    except VisionError as why:
        return why
    return None
