from __future__ import annotations

from pathlib import Path

import pytest

from vision.chat.types import ImagePart, Message, TextPart
from vision.conversations import Conversation, Conversations
from vision.errors import InvalidArgument
from vision.store import Store

pytestmark = pytest.mark.anyio


def conversation(size: int, turns: int = 1) -> Conversation:
    first = Message(role="user", parts=(ImagePart(data=b"x" * size), TextPart(text="What?")))
    more = Message(role="user", parts=(TextPart(text="And?"),))
    return Conversation((first, *[more] * (turns - 1)), 12, ({"name": "a.png"},), "InternVL3.5-8B", Path("/here"))


def store(folder: Path, keep_s: float = 1000) -> Store:
    return Store(folder, keep_s)


async def test_a_conversation_is_found_by_its_id_and_goes_on_under_it(tmp_path: Path) -> None:
    kept = Conversations(store(tmp_path))
    key = (await kept.keep("ann", conversation(10))).id
    assert key is not None and (await kept.get("ann", key)).turns == 1
    assert (await kept.keep("ann", conversation(10, turns=2), key)).id == key
    assert (await kept.get("ann", key)).turns == 2


async def test_another_server_finds_it_as_it_was_and_knows_that_it_comes_from_disk(tmp_path: Path) -> None:
    said = conversation(1000, turns=3)
    key = (await Conversations(store(tmp_path)).keep("ann", said)).id
    assert key is not None
    found = await Conversations(store(tmp_path)).get("ann", key)
    assert found.from_disk and found.messages == said.messages
    assert (found.max_tiles, found.sources, found.variant, found.folder) == (
        said.max_tiles, said.sources, said.variant, said.folder,
    )  # fmt: skip


async def test_what_another_server_added_is_seen(tmp_path: Path) -> None:
    here, there = Conversations(store(tmp_path)), Conversations(store(tmp_path))
    key = (await here.keep("ann", conversation(10))).id
    assert key is not None
    await there.keep("ann", conversation(10, turns=2), key)
    assert (await here.get("ann", key)).turns == 2


async def test_another_owner_s_reads_as_not_there(tmp_path: Path) -> None:
    kept = Conversations(store(tmp_path))
    key = (await kept.keep("ann", conversation(10))).id
    assert key is not None
    for conversations in (kept, Conversations(store(tmp_path))):
        with pytest.raises(InvalidArgument, match="no conversation") as caught:
            await conversations.get("bob", key)
        assert caught.value.hint


async def test_it_expires(tmp_path: Path) -> None:
    key = (await Conversations(store(tmp_path)).keep("ann", conversation(10))).id
    assert key is not None
    with pytest.raises(InvalidArgument):
        await Conversations(store(tmp_path, keep_s=-1)).get("ann", key)


async def test_a_folder_that_cannot_be_written_keeps_it_in_memory_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = await Conversations(store(tmp_path / "file" / "below")).keep("ann", conversation(10))
    assert kept.id is not None and not kept.lasts
