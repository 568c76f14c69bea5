"""Conversations about pictures: bounded, expiring, private to their owner, and kept across restarts."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.cache import ByteBoundedCache
from vision.chat.types import ImagePart, Message
from vision.errors import InvalidArgument, StoreFailed
from vision.store import Store

# In memory. Pictures are held as they were sent: a handful of a phone's camera, hundreds of screenshots.
MOST_BYTES = 128 << 20
# On disk, of one conversation; a larger one lasts as long as the server.
_MOST_WRITTEN_BYTES = 48 << 20
logger = logging.getLogger("internvl_mcp")


@dataclass(frozen=True)
class Conversation:
    """`messages`: all turns, the model's answer last. `max_tiles`: how its pictures are cut. `sources`: what a result
    says of them, as JSON values with name and sha256. `folder`: where relative names start. `variant`: the model that
    answered last. `from_disk`: whether another process saw it: its sources must be checked before it goes on.
    """

    messages: tuple[Message, ...]
    max_tiles: int
    sources: tuple[dict[str, Any], ...]
    variant: str
    folder: Path
    from_disk: bool = False

    @property
    def size(self) -> int:
        """Bytes, about."""
        parts = [part for message in self.messages for part in message.parts]
        return sum(len(p.data) if isinstance(p, ImagePart) else 4 * len(p.text) + 100 for p in parts)

    @property
    def turns(self) -> int:
        """Questions asked."""
        return sum(message.role == "user" for message in self.messages)


@dataclass(frozen=True)
class Kept:
    """`id` is None where it is too large even for memory; `lasts`: whether it outlives a restart."""

    id: str | None
    lasts: bool


class Conversations:
    def __init__(self, store: Store, max_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._known: ByteBoundedCache[Conversation] = ByteBoundedCache(max_bytes)

    async def keep(self, owner: str, conversation: Conversation, conversation_id: str | None = None) -> Kept:
        """Keeps it under its id, a new one unless given."""
        key = conversation_id or secrets.token_urlsafe(12)
        self._known.put(_key(owner, key), conversation, conversation.size)
        lasts = conversation.size <= _MOST_WRITTEN_BYTES
        if lasts:
            try:
                await self._store.write(lambda connection: _write(connection, owner, key, conversation))
            except StoreFailed as e:
                logger.warning("%s", e.message)
                lasts = False
        here = self._known.get(_key(owner, key)) is not None
        return Kept(key if here or lasts else None, lasts)

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Raises InvalidArgument for one that is not kept, or no longer, or is another owner's; StoreFailed."""
        known = self._known.get(_key(owner, conversation_id))
        since = time.time() - self._store.keep_s
        turns = await self._store.read(lambda connection: _turns(connection, owner, conversation_id, since))
        # Another server may have gone on with it.
        if known is not None and (turns is None or turns == known.turns):
            return known
        if turns is None:
            raise InvalidArgument(
                f"there is no conversation {conversation_id[:50]!r}: it was forgotten, or belongs to somebody else",
                "Ask about the pictures again with the tool that saw them; its result has a new conversation_id.",
            )
        return await self._store.read(lambda connection: _read(connection, conversation_id))


def _key(owner: str, conversation_id: str) -> str:
    return f"{owner}\0{conversation_id}"


def _turns(connection: sqlite3.Connection, owner: str, conversation_id: str, since: float) -> int | None:
    query = "SELECT turns FROM conversations WHERE id = ? AND owner = ? AND updated >= ?"
    row = connection.execute(query, (conversation_id, owner, since)).fetchone()
    return None if row is None else row["turns"]


def _write(connection: sqlite3.Connection, owner: str, conversation_id: str, conversation: Conversation) -> None:
    """The texts anew, the pictures once: they stay the same from turn to turn."""
    messages: list[dict[str, Any]] = []
    pictures: list[tuple[str, int, bytes]] = []
    for message in conversation.messages:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ImagePart):
                pictures.append((conversation_id, len(pictures), part.data))
                parts.append({"picture": len(pictures) - 1, "media_type": part.media_type})
            else:
                parts.append({"text": part.text})
        messages.append({"role": message.role, "parts": parts})
    contents = {
        "messages": messages,
        "max_tiles": conversation.max_tiles,
        "sources": conversation.sources,
        "variant": conversation.variant,
        "folder": str(conversation.folder),
    }
    connection.execute(
        "INSERT INTO conversations VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "updated = excluded.updated, size = excluded.size, turns = excluded.turns, contents = excluded.contents",
        (conversation_id, owner, time.time(), conversation.size, conversation.turns, json.dumps(contents)),
    )
    connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", pictures)


def _read(connection: sqlite3.Connection, conversation_id: str) -> Conversation:
    row = connection.execute("SELECT contents FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    contents = json.loads(row["contents"])
    query = "SELECT place, png FROM pictures WHERE conversation = ?"
    pictures = {found["place"]: found["png"] for found in connection.execute(query, (conversation_id,))}
    messages = [
        {"role": message["role"], "parts": [_part(part, pictures) for part in message["parts"]]}
        for message in contents["messages"]
    ]
    return Conversation(
        tuple(Message.model_validate(message) for message in messages),
        contents["max_tiles"],
        tuple(contents["sources"]),
        contents["variant"],
        Path(contents["folder"]),
        from_disk=True,
    )


def _part(part: dict[str, Any], pictures: dict[int, bytes]) -> dict[str, Any]:
    if "text" in part:
        return {"kind": "text", "text": part["text"]}
    return {"kind": "image", "data": pictures[part["picture"]], "media_type": part["media_type"]}
