"""Describing a picture, answering about it, comparing several. The requests are those of InternVL's model cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vision.chat.types import ImagePart
from vision.prompts.language import Words
from vision.prompts.prompt import Prompt, pictures_then, user

Detail = Literal["brief", "normal", "full"]

# As in the reference's evaluations: fewer for a glance, 12 by default, 24 for documents with small print (InfoVQA).
TILES: dict[str, int] = {"brief": 6, "normal": 12, "full": 24}
HONESTLY = Words(
    "If it cannot be told from what is shown, say so.",
    "如果从图中无法得知，请直接说明无法得知。",
)
_ONE: dict[str, str] = {
    "brief": "Please describe the image shortly.",
    "normal": "Please describe the image.",
    "full": "Please describe the image in detail.",
}
_SEVERAL: dict[str, str] = {
    "brief": "Please describe shortly what these images have in common and how they differ.",
    "normal": "What are the similarities and differences between these images?",
    "full": "Describe these images in detail, then their similarities and differences.",
}


def describe(pictures: Sequence[ImagePart], question: str | None, detail: Detail, max_tiles: int) -> Prompt:
    """Answers `question` about the pictures; without one describes the picture, or compares several."""
    if question:
        text = f"{question}\n{HONESTLY.for_question(question)}"
    else:
        text = (_ONE if len(pictures) == 1 else _SEVERAL)[detail]
    return Prompt(user(pictures_then(text, pictures)), max_tiles)
