"""In which language the model is spoken to: the question's."""

from __future__ import annotations

import re
from typing import NamedTuple

_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")


class Words(NamedTuple):
    """The same instruction in the two languages that InternVL is trained in most."""

    english: str
    chinese: str

    def for_question(self, question: str | None) -> str:
        return self.chinese if is_chinese(question) else self.english


def is_chinese(text: str | None) -> bool:
    """Whether the text has Chinese characters and none of those that only Japanese or Korean has."""
    return bool(text and _CJK.search(text) and not _KANA_OR_HANGUL.search(text))
