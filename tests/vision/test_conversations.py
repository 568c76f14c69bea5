from __future__ import annotations

import pytest

from vision.chat.types import ImagePart, Message, TextPart
from vision.conversations import Conversation, Conversations
from vision.errors import InvalidArgument


def conversation(size: int) -> Conversation:
    message = Message(role="user", parts=(ImagePart(data=b"x" * size), TextPart(text="What?")))
    return Conversation((message,), 12, (), "InternVL3.5-8B")


def test_a_conversation_is_found_by_its_id_and_replaced_under_it() -> None:
    kept = Conversations()
    key = kept.keep(conversation(10))
    assert key is not None and kept.get(key).size < 200
    assert kept.keep(conversation(1000), key) == key and kept.get(key).size > 1000


def test_the_longest_unused_is_forgotten_first() -> None:
    kept = Conversations(max_bytes=3000)
    first, second = kept.keep(conversation(1000)), kept.keep(conversation(1000))
    assert first is not None and second is not None
    kept.get(first)
    third = kept.keep(conversation(1000))
    assert third is not None and kept.get(first) and kept.get(third)
    with pytest.raises(InvalidArgument) as caught:
        kept.get(second)
    assert caught.value.hint


def test_what_is_larger_than_all_room_is_not_kept() -> None:
    assert Conversations(max_bytes=500).keep(conversation(1000)) is None
