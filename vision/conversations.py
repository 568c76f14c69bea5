"""Conversations about what was seen: bounded, expiring, private to their owner, and kept across restarts.

On disk a picture is a reference to its source where that can be found again; others are kept as they were sent.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vision.cache import ByteBoundedCache
from vision.call import Digest
from vision.chat.types import ImagePart, Message, Origin
from vision.errors import InvalidArgument, StoreFailed
from vision.store import Store

# In memory. Pictures are held as they were sent: a handful of a phone's camera, hundreds of screenshots.
MOST_BYTES = 128 << 20
# On disk, of one conversation; a larger one lasts as long as the server.
_MOST_WRITTEN_BYTES = 48 << 20
logger = logging.getLogger("internvl_mcp")


@dataclass(frozen=True)
class Conversation:
    """`tool`, `arguments`: the call that it began with, as JSON values. `sources`: what a result says of them, as JSON
    values with name and sha256. `digests`: what those held that can be opened again, by how `arguments` name them.
    `folder`: where relative names start. `turns`: questions asked.

    `messages`: all turns with a model, its answer last; none where no model has answered yet. `max_tiles`: how its
    pictures are cut. `variant`: the model that answered last. `id`: None until it is kept. `from_disk`: whether another
    process saw it: its sources must be checked, and pictures that it holds by reference taken, before it goes on.
    """

    tool: str
    arguments: dict[str, Any] = field(repr=False)
    sources: tuple[dict[str, Any], ...]
    folder: Path
    digests: dict[str, Digest] = field(default_factory=dict, repr=False)
    turns: int = 1
    messages: tuple[Message, ...] = ()
    max_tiles: int = 1
    variant: str | None = None
    id: str | None = None
    from_disk: bool = False

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return self._size(lambda picture: len(picture.data))

    @property
    def size_on_disk(self) -> int:
        """Bytes on disk, about."""
        return self._size(lambda picture: len(picture.data) if picture.origin is None else 300)

    def _size(self, of_picture: Callable[[ImagePart], int]) -> int:
        parts = [part for message in self.messages for part in message.parts]
        seen = sum(of_picture(p) if isinstance(p, ImagePart) else 4 * len(p.text) + 100 for p in parts)
        return seen + _length(self.arguments) + 500 * len(self.sources)


def _length(value: Any) -> int:
    """Of a JSON value's text, about. It is not written for that: a data: URI among the arguments may have megabytes."""
    if isinstance(value, str):
        return len(value) + 4
    if isinstance(value, dict):
        return sum(_length(name) + _length(each) for name, each in value.items())
    return sum(map(_length, value)) if isinstance(value, list | tuple) else 20


@dataclass(frozen=True)
class Kept:
    """`id` is None where it is too large even for memory, or none was wanted; `lasts`: whether what was wanted outlives
    a restart. `apart`: whether it has a new id, since the conversation that it went on with got another turn meanwhile.
    """

    id: str | None
    lasts: bool
    apart: bool = False


class Conversations:
    def __init__(self, store: Store, max_bytes: int = MOST_BYTES) -> None:
        self._store = store
        self._known: ByteBoundedCache[Conversation] = ByteBoundedCache(max_bytes)

    async def keep(self, owner: str, conversation: Conversation) -> Kept:
        """Keeps it under its id, or a new one. No turn takes the place of another that was asked at the same time."""
        key = conversation.id or secrets.token_urlsafe(12)
        conversation = replace(conversation, id=key)
        known = self._known.get(_key(owner, key))
        if known is not None and known.turns >= conversation.turns:
            return await self._keep_apart(owner, conversation)
        self._known.put(_key(owner, key), conversation, conversation.size)
        size = conversation.size_on_disk
        lasts = size <= _MOST_WRITTEN_BYTES
        if lasts:
            try:
                if not await self._store.write(lambda connection: _write(connection, owner, key, conversation, size)):
                    self._known.drop(_key(owner, key))
                    return await self._keep_apart(owner, conversation)
            except StoreFailed as e:
                logger.warning("%s", e.message)
                lasts = False
        here = self._known.get(_key(owner, key)) is not None
        return Kept(key if here or lasts else None, lasts)

    async def _keep_apart(self, owner: str, conversation: Conversation) -> Kept:
        return replace(await self.keep(owner, replace(conversation, id=None)), apart=True)

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Raises InvalidArgument for one that is not kept, or no longer, or is another owner's; StoreFailed where it
        can only be on disk and that cannot be read.
        """
        known = self._known.get(_key(owner, conversation_id))
        since, turns = time.time() - self._store.keep_s, 0 if known is None else known.turns
        try:
            # Another server may have gone on with it. Its last turn may also be here alone: it could not be written.
            further = await self._store.read(lambda c: _read(c, owner, conversation_id, since, turns))
        except StoreFailed as e:
            if known is None:
                raise
            logger.warning("%s", e.message)
            further = None
        found = further or known
        if found is None:
            raise InvalidArgument(
                f"there is no conversation {conversation_id[:50]!r}: it was forgotten, or belongs to somebody else",
                "Ask about the pictures again with the tool that saw them; its result has a new conversation_id.",
            )
        return found


def _key(owner: str, conversation_id: str) -> str:
    return f"{owner}\0{conversation_id}"


def _write(
    connection: sqlite3.Connection, owner: str, conversation_id: str, conversation: Conversation, size: int
) -> bool:
    """False where as many turns are there already: another server's. A password is left out: nothing that opens a
    document is on disk.
    """
    messages: list[dict[str, Any]] = []
    pictures: list[tuple[str, int, bytes]] = []
    for message in conversation.messages:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ImagePart) and part.origin is not None:
                parts.append({"origin": part.origin.model_dump(mode="json"), "media_type": part.media_type})
            elif isinstance(part, ImagePart):
                pictures.append((conversation_id, len(pictures), part.data))
                parts.append({"picture": len(pictures) - 1, "media_type": part.media_type})
            else:
                parts.append({"text": part.text})
        messages.append({"role": message.role, "parts": parts})
    contents = {
        "tool": conversation.tool,
        "arguments": {name: value for name, value in conversation.arguments.items() if name != "password"},
        "sources": conversation.sources,
        "digests": {source: asdict(digest) for source, digest in conversation.digests.items()},
        "folder": str(conversation.folder),
        "messages": messages,
        "max_tiles": conversation.max_tiles,
        "variant": conversation.variant,
    }
    written = connection.execute(
        "INSERT INTO conversations VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "updated = excluded.updated, size = excluded.size, turns = excluded.turns, contents = excluded.contents "
        "WHERE turns < excluded.turns",
        (conversation_id, owner, time.time(), size, conversation.turns, json.dumps(contents)),
    )
    if written.rowcount != 1:
        return False
    connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?)", pictures)
    return True


def _read(
    connection: sqlite3.Connection, owner: str, conversation_id: str, since: float, after: int
) -> Conversation | None:
    """The conversation where it has more than `after` turns on disk."""
    query = "SELECT turns, contents FROM conversations WHERE id = ? AND owner = ? AND updated >= ? AND turns > ?"
    row = connection.execute(query, (conversation_id, owner, since, after)).fetchone()
    if row is None:
        return None
    contents = json.loads(row["contents"])
    query = "SELECT place, png FROM pictures WHERE conversation = ?"
    pictures = {found["place"]: found["png"] for found in connection.execute(query, (conversation_id,))}
    messages = [
        {"role": message["role"], "parts": [_part(part, pictures) for part in message["parts"]]}
        for message in contents["messages"]
    ]
    return Conversation(
        tool=contents["tool"],
        arguments=contents["arguments"],
        sources=tuple(contents["sources"]),
        folder=Path(contents["folder"]),
        digests={source: Digest(**digest) for source, digest in contents["digests"].items()},
        turns=row["turns"],
        messages=tuple(Message.model_validate(message) for message in messages),
        max_tiles=contents["max_tiles"],
        variant=contents["variant"],
        id=conversation_id,
        from_disk=True,
    )


def _part(part: dict[str, Any], pictures: dict[int, bytes]) -> dict[str, Any]:
    if "text" in part:
        return {"kind": "text", "text": part["text"]}
    if "origin" in part:
        origin = Origin.model_validate(part["origin"])
        return {"kind": "image", "data": b"", "media_type": part["media_type"], "origin": origin}
    return {"kind": "image", "data": pictures[part["picture"]], "media_type": part["media_type"]}
