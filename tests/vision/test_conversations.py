from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vision.call import Digest
from vision.chat.types import ImagePart, Message, Origin, TextPart
from vision.conversations import Conversation, Conversations
from vision.errors import InvalidArgument, StoreFailed
from vision.store import MOST_BYTES, Store

pytestmark = pytest.mark.anyio
ORIGIN = Origin(source="a.png", sha256="0" * 64, page=2, region=(1, 2, 3, 4))


def conversation(size: int, turns: int = 1, origin: Origin | None = None, **changed: Any) -> Conversation:
    first = Message(role="user", parts=(ImagePart(data=b"x" * size, origin=origin), TextPart(text="What?")))
    more = Message(role="user", parts=(TextPart(text="And?"),))
    made = Conversation(
        tool="describe_image",
        arguments={"sources": ["a.png"], "detail": "brief"},
        sources=({"name": "a.png", "sha256": "0" * 64},),
        folder=Path("/here"),
        digests={"a.png": Digest(1000, "0" * 64)},
        turns=turns,
        messages=(first, *[more] * (turns - 1)),
        max_tiles=12,
        variant="InternVL3.5-8B",
    )
    return replace(made, **changed)


def written(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


def store(folder: Path, keep_s: float = 1000) -> Store:
    return Store(folder, keep_s)


async def kept_in(conversations: Conversations, said: Conversation, owner: str = "ann") -> str:
    key = (await conversations.keep(owner, said)).id
    assert key is not None
    return key


async def test_a_conversation_is_found_by_its_id_and_goes_on_under_it(tmp_path: Path) -> None:
    kept = Conversations(store(tmp_path))
    key = await kept_in(kept, conversation(10))
    found = await kept.get("ann", key)
    assert (found.turns, found.id) == (1, key)
    assert await kept_in(kept, replace(found, turns=2)) == key
    assert (await kept.get("ann", key)).turns == 2


async def test_another_server_finds_it_as_it_was_and_knows_that_it_comes_from_disk(tmp_path: Path) -> None:
    said = conversation(1000, turns=3)
    key = await kept_in(Conversations(store(tmp_path)), said)
    found = await Conversations(store(tmp_path)).get("ann", key)
    assert found == replace(said, id=key, from_disk=True)


async def test_one_that_no_model_has_answered_yet_is_found_too(tmp_path: Path) -> None:
    said = conversation(0, messages=(), variant=None)
    key = await kept_in(Conversations(store(tmp_path)), said)
    assert await Conversations(store(tmp_path)).get("ann", key) == replace(said, id=key, from_disk=True)


async def test_a_picture_that_can_be_taken_again_is_a_reference_on_disk(tmp_path: Path) -> None:
    said = conversation(200 << 20, origin=ORIGIN)
    kept = await Conversations(store(tmp_path)).keep("ann", said)
    assert kept.id is not None and kept.lasts
    assert sum(map(len, written(tmp_path))) < 1 << 20
    found = await Conversations(store(tmp_path)).get("ann", kept.id)
    assert found.messages[0].parts[0] == ImagePart(data=b"", origin=ORIGIN)


async def test_no_password_is_on_disk(tmp_path: Path) -> None:
    said = conversation(10, arguments={"source": "a.pdf", "password": "a-secret-word"})
    kept = Conversations(store(tmp_path))
    key = await kept_in(kept, said)
    assert (await kept.get("ann", key)).arguments == said.arguments
    assert (await Conversations(store(tmp_path)).get("ann", key)).arguments == {"source": "a.pdf"}
    assert not [data for data in written(tmp_path) if b"a-secret-word" in data]
    assert "a-secret-word" not in repr(said)


async def test_what_another_server_added_is_seen(tmp_path: Path) -> None:
    here, there = Conversations(store(tmp_path)), Conversations(store(tmp_path))
    key = await kept_in(here, conversation(10))
    await there.keep("ann", conversation(10, turns=2, id=key))
    assert (await here.get("ann", key)).turns == 2


@pytest.mark.parametrize(
    ("servers", "size"), [(1, 10), (2, 10), (1, 30_000)], ids=["one server", "two servers", "too large for the disk"]
)
async def test_two_turns_that_were_asked_at_the_same_time_are_two_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: int, size: int
) -> None:
    monkeypatch.setattr("vision.conversations._MOST_WRITTEN_BYTES", 20_000)
    here = Conversations(store(tmp_path))
    there = here if servers == 1 else Conversations(store(tmp_path))
    key = await kept_in(here, conversation(size))
    before = await there.get("ann", key)
    first = replace(before, turns=2, messages=(*before.messages, Message(role="user", parts=(TextPart(text="One"),))))
    second = replace(before, turns=2, messages=(*before.messages, Message(role="user", parts=(TextPart(text="Two"),))))
    kept = await here.keep("ann", first)
    apart = await there.keep("ann", second)
    assert (kept.id, kept.apart, apart.apart) == (key, False, True)
    assert apart.id is not None and apart.id != key and apart.lasts == kept.lasts
    for conversations in (here, there):
        assert (await conversations.get("ann", key)).messages[-1] == first.messages[-1]
    assert (await there.get("ann", apart.id)).messages[-1] == second.messages[-1]


async def test_another_owner_s_reads_as_not_there(tmp_path: Path) -> None:
    kept = Conversations(store(tmp_path))
    key = await kept_in(kept, conversation(10))
    for conversations in (kept, Conversations(store(tmp_path))):
        with pytest.raises(InvalidArgument, match="no conversation") as caught:
            await conversations.get("bob", key)
        assert caught.value.hint


async def test_it_expires(tmp_path: Path) -> None:
    key = await kept_in(Conversations(store(tmp_path)), conversation(10))
    with pytest.raises(InvalidArgument):
        await Conversations(store(tmp_path, keep_s=-1)).get("ann", key)


async def test_pictures_that_must_be_kept_are_bounded_and_go_with_the_longest_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST_BYTES, "owner", 25_000)
    monkeypatch.setattr("vision.store._SWEEP_EVERY_S", -1.0)
    kept = Conversations(store(tmp_path))
    keys = [await kept_in(kept, conversation(10_000)) for _ in range(6)]
    with sqlite3.connect(tmp_path / "store-3.sqlite3") as connection:
        left = [key for (key,) in connection.execute("SELECT id FROM conversations")]
        pictures = connection.execute("SELECT DISTINCT conversation FROM pictures").fetchall()
    connection.close()
    assert set(left) == set(keys[-2:]) == {key for (key,) in pictures}


async def test_a_folder_that_cannot_be_written_keeps_it_in_memory_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = await Conversations(store(tmp_path / "file" / "below")).keep("ann", conversation(10))
    assert kept.id is not None and not kept.lasts


async def test_a_turn_that_could_not_be_written_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Conversations(store(tmp_path))
    key = await kept_in(kept, conversation(10))
    monkeypatch.setattr("vision.conversations._MOST_WRITTEN_BYTES", 0)
    assert not (await kept.keep("ann", conversation(10, turns=2, id=key))).lasts
    assert (await kept.get("ann", key)).turns == 2
    assert (await Conversations(store(tmp_path)).get("ann", key)).turns == 1


async def test_a_folder_that_cannot_be_read_leaves_those_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Conversations(store(tmp_path / "file" / "below"))
    key = await kept_in(kept, conversation(10))
    assert (await kept.get("ann", key)).turns == 1
    with pytest.raises(StoreFailed):
        await kept.get("ann", "another")


async def test_one_that_is_swept_by_another_server_meanwhile_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await kept_in(Conversations(store(tmp_path)), conversation(10))
    read, reads = Store.read, 0

    async def swept_after(self: Store, work: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await read(self, work)
        await store(tmp_path).write(lambda connection: connection.execute("DELETE FROM conversations"))
        return found

    monkeypatch.setattr(Store, "read", swept_after)
    there = Conversations(store(tmp_path))
    assert (await there.get("ann", key)).messages and reads == 1
    with pytest.raises(InvalidArgument, match="no conversation"):
        await there.get("ann", key)


def test_the_size_of_large_arguments_is_not_found_by_writing_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "data:;base64," + "A" * 1_000_000
    said = conversation(0, messages=(), arguments={"sources": [uri, "a.png"], "region": [1, 2, 3, 4]})
    monkeypatch.delattr("json.dumps")
    assert said.size == said.size_on_disk == pytest.approx(len(uri), rel=0.01)


async def test_what_is_too_large_for_memory_and_disk_has_no_id(tmp_path: Path) -> None:
    kept = await Conversations(store(tmp_path), max_bytes=100).keep("ann", conversation(49 << 20))
    assert kept.id is None and not kept.lasts
