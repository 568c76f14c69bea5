"""What a model said, as a tool needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vision.chat.types import Message, TextPart, Usage
from vision.engine.choice import Choice
from vision.prompts.prompt import Prompt

# Tokens that end a turn, in the templates of the family; a host may leave them in the text for the boxes' sake.
_ENDS = re.compile(r"<\|im_end\|>|<\|endoftext\|>|<\|return\|>|<\|end\|>|</s>")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """`text` is None where nothing was said in time, or nothing but thoughts. `raw`: as it came, for the next turn.

    `finish` "time": the reply was due before the answer was complete. `prompt`: what was asked in the end.
    """

    text: str | None
    raw: str
    finish: Literal["stop", "length", "repetition", "time"]
    usage: Usage
    notices: tuple[str, ...]
    choice: Choice
    prompt: Prompt

    @property
    def truncated(self) -> bool:
        return self.text is not None and self.finish in ("length", "time")

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation with this answer."""
        return (*self.prompt.messages, Message(role="assistant", parts=(TextPart(text=self.raw),)))


def clean(text: str) -> str:
    """The answer alone: no end tokens, no thoughts (of which the last may have been cut off), no blank ends."""
    text = _THOUGHT.sub("", _ENDS.sub("", text))
    thought = text.find("<think>")
    if thought >= 0:
        text = text[:thought]
    # Some templates open the thought in the prompt, so that only its end is in the answer.
    return text.rpartition("</think>")[2].strip()
