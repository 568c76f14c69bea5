"""Words as they are compared: folded, without endings; Chinese and other scripts without spaces as pairs of characters.

Pairs of characters find as well as a dictionary's words do (benchmarks/results/document_whole.json).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_SPACELESS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
# A number with its separators is one word (1,548.00; 2.3.59.1; 2026-11-23), then a run without spaces, then a word.
_TOKEN = re.compile(rf"\d+(?:[.,:/-]\d+)+|([{_SPACELESS}]+)|[^\W_{_SPACELESS}]+")
_QUOTED = re.compile(r"[\"“”„«»「」『』]([^\"“”„«»「」『』]{2,200})[\"“”„«»「」『』]")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]\s*\n\s*(?=[^\W\d_])|\u00ad")
_MOST_TERMS = 64
_STOP_ENGLISH = """
a about all an and any are as at be been by can could do does did document find for from give given had has have how i
if in into is it its list many me much my not of on or our page please say says shall she should so some tell than that
the their them then there these they this those to us was we were what when where which who whom whose why will with
would you your
"""
_STOP = frozenset(_STOP_ENGLISH.split())
_STOP_CHINESE = re.compile(
    "请问|请|告诉我|什么时候|什么|多少|哪些|哪个|哪里|哪年|哪|几个|几|怎么样|怎么|怎样|如何|为什么|为何|是否|是不是|有没有|"
    "是谁|谁|吗|呢|的|是|了|在|和|与|有|这|那|文档|文件|本文|其中"
)


@dataclass(frozen=True)
class Query:
    """`terms`: folded, each once, in their order; `phrases`: folded, all of which a passage must hold."""

    terms: tuple[str, ...]
    phrases: tuple[str, ...] = ()


def folded(text: str) -> str:
    """The text in one case and one form of each character; words that a line's end parts are whole again."""
    return unicodedata.normalize("NFKC", _HYPHEN.sub("", text)).casefold()


def query(text: str) -> Query:
    """What to look for: every word, and what stands in quotation marks as it is."""
    phrases = tuple(" ".join(folded(found).split()) for found in _QUOTED.findall(text))
    return Query(tuple(dict.fromkeys(terms(folded(text))))[:_MOST_TERMS], phrases)


def question(text: str) -> Query:
    """What to look for to answer a question: the words in it that tell something."""
    plain = folded(text)
    found = [term for term in terms(_STOP_CHINESE.sub(" ", plain)) if term not in _STOP]
    return Query(tuple(dict.fromkeys(found))[:_MOST_TERMS])


def terms(text: str) -> list[str]:
    """The words of folded text in their order: stems, and pairs of characters where there are no spaces."""
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        run = match[1]
        if run is None:
            found.append(stem(match[0]))
        elif len(run) == 1:
            found.append(run)
        else:
            found.extend(run[at : at + 2] for at in range(len(run) - 1))
    return found


def is_spaceless(term: str) -> bool:
    """Whether it is of a script without spaces, so that it is looked for anywhere and not among words."""
    match = _TOKEN.match(term)
    return bool(match and match[1])


def stem(word: str) -> str:
    """An English word without its plural's ending (Harman's S stemmer), a number without the commas of thousands."""
    if word[0].isdigit():
        return word.replace(",", "")
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-2] if word.endswith(("xes", "ches", "shes", "sses")) else word[:-1]
    return word
