"""Conversations about pictures: kept in memory, bounded in bytes, the longest unused forgotten first."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from vision.cache import ByteBoundedCache
from vision.chat.types import ImagePart, Message
from vision.errors import InvalidArgument
from vision.types import Frozen

# Pictures are held as they were sent: a handful of a phone's camera, hundreds of screenshots.
MOST_BYTES = 128 << 20


@dataclass(frozen=True)
class Conversation:
    """`messages`: all turns, the model's answer last. `max_tiles`: how its pictures are cut. `sources`: what a result
    says of them. `variant`: the model that answered last.
    """

    messages: tuple[Message, ...]
    max_tiles: int
    sources: tuple[Frozen, ...]
    variant: str

    @property
    def size(self) -> int:
        """Bytes, about."""
        parts = [part for message in self.messages for part in message.parts]
        return sum(len(p.data) if isinstance(p, ImagePart) else 4 * len(p.text) + 100 for p in parts)


class Conversations:
    def __init__(self, max_bytes: int = MOST_BYTES) -> None:
        self._kept: ByteBoundedCache[Conversation] = ByteBoundedCache(max_bytes)

    def keep(self, conversation: Conversation, conversation_id: str | None = None) -> str | None:
        """Its id (a new one unless given); None where it is too large to be kept."""
        key = conversation_id or secrets.token_urlsafe(9)
        self._kept.put(key, conversation, conversation.size)
        return key if self._kept.get(key) is not None else None

    def get(self, conversation_id: str) -> Conversation:
        """Raises InvalidArgument for one that is not kept, or no longer."""
        found = self._kept.get(conversation_id)
        if found is None:
            raise InvalidArgument(
                f"there is no conversation {conversation_id[:50]!r}: it was forgotten, or belongs to another server",
                "Ask about the pictures again with the tool that saw them; its result has a new conversation_id.",
            )
        return found
