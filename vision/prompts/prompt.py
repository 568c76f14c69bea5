"""A prompt as the tools make it: pictures and words in InternVL's order.

The model was trained on `<image>\\n{question}` for one picture and `Image-1: <image>\\nImage-2: <image>\\n{question}`
for several (OpenGVLab/InternVL, model cards and evaluation scripts). The host writes a picture part as its image tokens
and a line break, so the parts here hold neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from vision.chat.types import ImagePart, Message, TextPart

Parts = tuple[TextPart | ImagePart, ...]
TOKENS_A_TILE = 256


@dataclass(frozen=True)
class Prompt:
    """`messages`: the conversation, its last one the user's; the system message is the engine's to add.

    `max_tiles`: most tiles for each picture. `json_schema`: what the answer is held to.
    """

    messages: tuple[Message, ...]
    max_tiles: int
    json_schema: dict[str, Any] | None = None

    @property
    def pictures(self) -> int:
        return sum(isinstance(part, ImagePart) for message in self.messages for part in message.parts)

    def lighter(self) -> tuple[Prompt, str] | None:
        """The same question for half the memory, and how that is told; None where there is nothing to leave out."""
        if self.max_tiles <= 1:
            return None
        fewer = self.max_tiles // 2
        return replace(self, max_tiles=fewer), f"looked at with at most {fewer} tiles a picture"


def user(parts: Parts) -> tuple[Message, ...]:
    """A conversation that begins with these parts."""
    return (Message(role="user", parts=parts),)


def pictures_then(text: str, pictures: Sequence[ImagePart]) -> Parts:
    """The pictures, numbered where there are several, then the text."""
    if len(pictures) == 1:
        return (pictures[0], TextPart(text=text))
    parts: list[TextPart | ImagePart] = []
    for number, picture in enumerate(pictures, 1):
        parts += [TextPart(text=f"Image-{number}: "), picture]
    return (*parts, TextPart(text=text))


def tiles_each(wanted: int, pictures: int, *, most: int, room: int) -> int:
    """Tiles a picture so that all of them stay within what one may have (`most`) and within `room` tokens of context.

    Several pictures share: max(1, n // pictures), as InternVL's multi-image evaluations. A picture's thumbnail is one
    tile more.
    """
    fit = room // (TOKENS_A_TILE * pictures) - 1
    return max(1, min(wanted, most, max(1, wanted // pictures), fit))
