"""Pages of documents: transcribing one, and answering a question from a few."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vision.chat.types import ImagePart
from vision.prompts.describe import HONESTLY
from vision.prompts.language import Words
from vision.prompts.prompt import Prompt, pictures_then, user

# As the reference's DocVQA evaluation; several pages share (MP-DocVQA: 18 each at most).
TILES = 18
_FENCE = re.compile(r"```(?:markdown|md)?\n(.*)\n```", re.DOTALL)
_TRANSCRIBE = (
    "Please extract all the text in the image exactly as it stands, line by line in reading order. Give only the text."
)
_TRANSCRIBE_PAGE = (
    "Please convert this page to Markdown: all text exactly as it stands, in reading order, headings, lists and tables "
    "kept. Give only the Markdown."
)
_CITE = Words(
    "Answer from these pages only, and name the page the answer stands on.",
    "请只根据这些页面回答，并指出答案所在的页码。",
)
_NUMBERS = Words("The images are pages {pages} of a document.", "这些图片依次是文档的第{pages}页。")
_NUMBER = Words("The image is page {pages} of a document.", "这张图片是文档的第{pages}页。")
_PASSAGE = Words("What follows is from page {pages} of a document.", "以下内容来自文档的第{pages}页。")
_NOT_THERE = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't) (?:be )?"
    r"(?:tell|told|determine|find|found|answer|identif|infer|say)"
    r"|\b(?:is|are|was|were) ?n[o']t (?:\w+ )?"
    r"(?:shown|mentioned|stated|specified|given|provided|included|visible|present|available|found|listed|in th)"
    r"|\b(?:do|does|did) ?n[o']t (?:\w+ )?"
    r"(?:say|state|mention|contain|show|specify|provide|include|give|tell|appear|have|indicate)"
    r"|\bno (?:information|mention|indication|answer)|\bunable to"
    r"|(?:无法|不能)(?:得知|确定|判断|回答|看出|找到|从)|(?:没有|未)(?:提到|提及|说明|显示|给出|包含|相关|找到|出现)"
    r"|不在(?:这|该|本|此)",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|[。！？])|.+$", re.DOTALL)
_TEXT = Words("Text read on page {page}:", "第{page}页上读出的文字：")


def transcribe(picture: ImagePart, max_tiles: int) -> Prompt:
    """The text of a picture, as it stands."""
    return Prompt(user(pictures_then(_TRANSCRIBE, [picture])), max_tiles)


def transcribe_page(picture: ImagePart, max_tiles: int) -> Prompt:
    """A page as Markdown."""
    return Prompt(user(pictures_then(_TRANSCRIBE_PAGE, [picture])), max_tiles)


def ask_pages(pages: Sequence[tuple[int, ImagePart | None, str]], question: str, max_tiles: int) -> Prompt:
    """A question about pages: (number, picture, the text that was read on it, which may be cut or empty). The pages of
    a document that has no pictures of them come without.
    """
    pictures = [picture for _, picture, _ in pages if picture is not None]
    lines = [*page_texts(pages, question), question]
    lines += [f"{_CITE.for_question(question)} {HONESTLY.for_question(question)}"]
    return Prompt(user(pictures_then("\n".join(lines), pictures)), max_tiles)


def page_texts(pages: Sequence[tuple[int, ImagePart | None, str]], question: str) -> list[str]:
    """Which pages the pictures show, and what was read on them, in the question's language."""
    numbers = ", ".join(str(number) for number, _, _ in pages)
    pictures = [picture for _, picture, _ in pages if picture is not None]
    told = _PASSAGE if not pictures else _NUMBERS if len(pages) > 1 else _NUMBER
    lines = [told.for_question(question).format(pages=numbers)]
    for number, _, text in pages:
        if text.strip():
            lines += [_TEXT.for_question(question).format(page=number), text.strip()]
    return lines


def is_refusal(answer: str) -> bool:
    """Whether the answer says that the pages do not hold what was asked for, as `ask_pages` asks it to."""
    first = _SENTENCE.match(answer.strip())
    return first is None or _NOT_THERE.search(first[0]) is not None


def without_fence(text: str) -> str:
    """Markdown as such: models like to put it into a code block."""
    found = _FENCE.fullmatch(text.strip())
    return found[1].strip() if found else text
