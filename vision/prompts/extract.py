"""Values from pages, as JSON: what is wanted in words; the shape is held by the schema that goes beside the prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vision.chat.types import ImagePart
from vision.prompts.documents import page_texts
from vision.prompts.language import Words
from vision.prompts.prompt import Prompt, pictures_then, user
from vision.schema.holding import held_schema
from vision.schema.shape import Choice, Leaf, Node, Record

# As for a question about a page.
TILES = 18
_FILL = Words(
    "Give what these pages say as JSON. Copy texts and numbers as they stand; null for what is not there.",
    "请把页面上的内容以JSON给出。文字和数字照原样抄录；没有的写null。",
)
_WANTED = Words("What is wanted:", "需要的内容：")
_LIST = "array"
_MOST_NAMED = 20


def extract(pages: Sequence[tuple[int, ImagePart | None, str]], node: Node, max_tiles: int) -> Prompt:
    """`pages`: (number, picture, the text that was read on it, which may be cut or empty)."""
    wanted = "\n".join(_described(node, ""))
    lines = [*page_texts(pages, wanted), _FILL.for_question(wanted), _WANTED.for_question(wanted), wanted]
    pictures = [picture for _, picture, _ in pages if picture is not None]
    return Prompt(user(pictures_then("\n".join(lines), pictures)), max_tiles, held_schema(node))


def _described(node: Node, path: str) -> Iterator[str]:
    """A line for each value: its name as in the JSON, what it is, of what type."""
    if isinstance(node, Record):
        for name, inner in node.properties:
            yield from _described(inner, f"{path}.{name}" if path else name)
    elif isinstance(node, Choice):
        for option in node.options:
            yield from _described(option, path)
    elif isinstance(node, Leaf):
        yield _line(node, path, _type(node))
    else:
        yield _line(node, path, _LIST)
        yield from _described(node.item, f"{path}[]")


def _line(node: Node, path: str, type_: str) -> str:
    said = " – ".join(part for part in (node.words.title, node.words.description) if part)
    return f"{path or '.'}: {said} ({type_})" if said else f"{path or '.'} ({type_})"


def _type(leaf: Leaf) -> str:
    if leaf.enum is not None:
        named = [str(value) for value in leaf.enum if value is not None]
        return " | ".join(named[:_MOST_NAMED]) + (" | …" if len(named) > _MOST_NAMED else "")
    kinds = leaf.kinds - {"null"} - ({"integer"} if "number" in leaf.kinds else frozenset())
    return " | ".join(sorted(kinds)) + (f", {leaf.format}" if leaf.format else "")
