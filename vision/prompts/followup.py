"""The next turn of a conversation."""

from __future__ import annotations

from vision.chat.types import Message, TextPart
from vision.prompts.prompt import Prompt


def follow_up(messages: tuple[Message, ...], question: str, max_tiles: int) -> Prompt:
    """`messages`: the conversation so far, which ends with the model's answer. `max_tiles`: as it was asked before, so
    that the pictures are cut as before and what was computed for them holds.
    """
    return Prompt((*messages, Message(role="user", parts=(TextPart(text=question),))), max_tiles)
