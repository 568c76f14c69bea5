"""Messages become token ids: the checkpoint's own chat template, each picture expanded to its tiles' tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from vision.chat.types import ImagePart, Message, TextPart
from vision.errors import InvalidArgument
from vision.host.tiling import cut

IMAGE, IMAGE_START, IMAGE_END = "<IMG_CONTEXT>", "<img>", "</img>"
# The tokenizer's own tokens give a conversation its structure. Text that happens to hold one (a page on chat formats,
# or a page that wants to give orders) must stay text; a zero-width space after the bracket keeps it readable and makes
# it inert. These are none of structure: questions and instructions mean them.
_MEANT = frozenset(f"<{slash}{mark}>" for mark in ("ref", "box", "quad", "think") for slash in ("", "/"))
_INERT = "\u200b"
# Room in a key for the place within a tile: no tile has more tokens.
_PLACE_BITS = 12


@dataclass(frozen=True)
class Prompt:
    """`ids`: (tokens,) int64. `keys`: the ids, but at a picture's tokens numbers below zero that tell the tile's
    content and the place in it: equal keys up to a place mean equal KV up to there (compare `digests` too). `tiles`:
    all tiles of all pictures, in order, (tiles, side, side, 3).
    """

    ids: np.ndarray
    keys: np.ndarray
    tiles: np.ndarray
    digests: tuple[bytes, ...]
    image_id: int


@dataclass(frozen=True)
class TileShape:
    """How large a tile is: `side` pixels, `tokens` in the prompt."""

    side: int
    tokens: int


def build(messages: tuple[Message, ...], tokenizer: Any, shape: TileShape, max_tiles: int) -> Prompt:
    """The prompt that ends where the assistant's answer begins. Raises InvalidArgument for an undecodable picture."""
    pictures = [
        cut(part.data, max_tiles, shape.side)
        for message in messages
        for part in message.parts
        if isinstance(part, ImagePart)
    ]
    image_id = int(tokenizer.convert_tokens_to_ids(IMAGE))
    text = text_of(messages, tokenizer)
    short = np.array(tokenizer(text, add_special_tokens=False).input_ids, dtype=np.int64)
    if np.count_nonzero(short == image_id) != len(pictures):
        raise InvalidArgument("the chat template lost a picture", "This checkpoint's chat template takes no pictures.")
    counts = np.ones(len(short), dtype=np.int64)
    counts[short == image_id] = [len(tiles) * shape.tokens for tiles in pictures]
    ids = np.repeat(short, counts)
    digests = tuple(digest for tiles in pictures for digest in tiles.digests)
    none = np.empty((0, shape.side, shape.side, 3), dtype=np.uint8)
    pixels = np.concatenate([tiles.pixels for tiles in pictures]) if pictures else none
    return Prompt(ids, _keys(ids, image_id, digests, shape.tokens), pixels, digests, image_id)


def text_of(messages: tuple[Message, ...], tokenizer: Any) -> str:
    """The prompt as text, one image token a picture between its two marks."""
    structure = _structure(tokenizer)
    turns = [{"role": message.role, "content": _content(message, structure)} for message in messages]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return rendered.replace(IMAGE, f"{IMAGE_START}{IMAGE}{IMAGE_END}")


def _content(message: Message, structure: re.Pattern[str]) -> str | list[dict[str, str]]:
    parts: list[dict[str, str]] = []
    for pictured, run in groupby(message.parts, lambda part: isinstance(part, ImagePart)):
        if pictured:
            parts += [{"type": "image"} for _ in run]
        else:  # as one: halves of a token in two texts would be whole in the prompt
            text = "".join(part.text for part in run if isinstance(part, TextPart))
            parts.append({"type": "text", "text": structure.sub(rf"\g<0>{_INERT}", text)})
    if not any(part["type"] == "image" for part in parts):
        return "".join(part["text"] for part in parts)  # templates differ in whether a system message may be a list
    return parts


def _structure(tokenizer: Any) -> re.Pattern[str]:
    """Finds the bracket with which a token of structure begins."""
    own = {token.content for token in tokenizer.added_tokens_decoder.values()}
    tokens = sorted(token for token in own - _MEANT if token[0] in "<[" and len(token) > 1)
    return re.compile("|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in tokens) or "(?!)")


def _keys(ids: np.ndarray, image_id: int, digests: tuple[bytes, ...], tokens: int) -> np.ndarray:
    keys = ids.copy()
    if digests:
        contents = np.array([int.from_bytes(digest[:6], "big") for digest in digests], dtype=np.int64)
        places = np.arange(tokens, dtype=np.int64)
        keys[ids == image_id] = -1 - ((contents[:, None] << _PLACE_BITS) + places).ravel()
    return keys
