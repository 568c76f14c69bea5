"""Words of a schema and words on a page, made comparable: how well a label names a property."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

# One word or several, as labels and property names shorten them.
_MEANS = {
    "no": "number", "nr": "number", "num": "number", "№": "number", "#": "number", "qty": "quantity", "amt": "amount",
    "tel": "phone", "telephone": "phone", "telefon": "phone", "mobil": "mobile", "addr": "address", "dob": "date birth",
    "birthday": "date birth", "birthdate": "date birth", "ssn": "social security number", "soc": "social",
    "ss": "social security",
    "sec": "security", "ein": "employer identification number", "desc": "description", "dept": "department",
    "mail": "email", "id": "identification", "ident": "identification", "max": "maximum", "min": "minimum",
    "website": "website", "url": "website", "internet": "website", "homepage": "website", "web": "website",
    "inv": "invoice", "acct": "account", "curr": "currency", "pct": "percent", "comp": "compensation", "wgt": "weight",
}  # fmt: skip
_SAME = {
    "姓名": "name", "名称": "name", "日期": "date", "出生日期": "date birth", "电话": "phone", "手机": "mobile",
    "地址": "address", "邮箱": "email", "电子邮箱": "email", "金额": "amount", "总金额": "total amount",
    "合计": "total", "总计": "total", "小计": "subtotal", "数量": "quantity", "单价": "unit price", "价格": "price",
    "税额": "tax", "税率": "tax rate", "发票号码": "invoice number", "发票日期": "invoice date", "编号": "number",
    "公司": "company", "公司名称": "company name", "性别": "gender", "年龄": "age", "国籍": "nationality",
    "职位": "position", "部门": "department", "备注": "remarks", "说明": "description", "描述": "description",
    "状态": "status", "类型": "type", "币种": "currency", "订单号": "order number", "开户行": "bank", "账号": "account",
    "身份证号": "identification number", "项目": "item", "标题": "title", "作者": "author", "国家": "country",
    "城市": "city", "邮编": "postcode", "网址": "website", "时间": "time", "开始日期": "start date",
    "结束日期": "end date",
}  # fmt: skip
_STOP = frozenset({"of", "the", "and", "or", "for", "a", "an", "your", "my", "in", "on", "at", "to", "by", "is", "per"})
# Words that add nothing to what a label names.
WEAK = frozenset({"name", "value", "field", "info", "information", "detail", "data", "text", "amount"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CJK = re.compile(r"[\u3400-\u9fff]")
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+|[#№]")
_ALIKE = 0.84
_LONG_ENOUGH = 5
_MOST_TOKENS = 12

Tokens = tuple[str, ...]


@lru_cache(4096)
def tokens(text: str) -> Tokens:
    """The words that count, each in one form; Chinese by the sign. At most a dozen."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    plain = re.sub(r"'s\b", "", _CAMEL.sub(" ", plain)).casefold().replace("e-mail", "email")
    found: list[str] = []
    for token in _TOKEN.findall(plain)[: 2 * _MOST_TOKENS]:
        found += _MEANS.get(token, _singular(token)).split()
    kept = [token for token in found if token not in _STOP] or found
    return tuple(dict.fromkeys(kept))[:_MOST_TOKENS]


def _singular(token: str) -> str:
    if len(token) > 3 and token.endswith("s") and not token.endswith(("ss", "us", "is")):
        return token[:-1]
    return token


@lru_cache(4096)
def variants(text: str) -> tuple[Tokens, ...]:
    """What a label may be called: all of it, without its brackets, what stands in them, each of two scripts, without
    the letter or number that it is listed under, and in English where it is a common Chinese one.
    """
    texts = [text]
    if bracket := re.search(r"[(（]([^)）]+)[)）]", text):
        texts += [text[: bracket.start()] + text[bracket.end() :], bracket[1]]
    texts += [re.sub(r"^\s*(?:[a-z]|\d{1,2})[.)]?\s+(?=\S)", "", part, flags=re.IGNORECASE) for part in texts[:2]]
    signs, rest = "".join(_CJK.findall(text)), _CJK.sub(" ", text)
    if signs:
        texts += [signs, _SAME.get(signs, "")]
        texts += [rest] if re.search(r"[^\W\d_]{2}", rest) else []
    made = [tokens(part) for part in texts]
    return tuple(dict.fromkeys(part for part in made if part))


@lru_cache(1 << 16)
def likeness(wanted: Tokens, label: str) -> float:
    """How well a label names what is wanted, 0 to 1. 1: the same words; below 0.6 it may be something else."""
    return max((_likeness(wanted, part, label) for part in variants(label)), default=0.0)


def _likeness(wanted: Tokens, said: Tokens, label: str) -> float:
    if wanted == said or "".join(wanted) == "".join(said):  # HbA1c, Sub-Total
        return 1.0
    left, extra, unsure = _compared(wanted, said)
    if not left and not extra:
        return 0.97 if not unsure else 0.9
    if len(left) < len(wanted) and all(word in WEAK for word in left) and all(word in WEAK for word in extra):
        return 0.92 if not unsure else 0.85
    if left:
        return 0.5 if not extra and len(left) < len(wanted) else 0.0
    # The label says more than is wanted: it begins with it, and goes on after a comma or the like, or it is numbered.
    begins = said[: len(wanted)] == wanted
    if begins and (wanted[0].isdecimal() and len(wanted) > 1):
        return 0.85
    head = re.split(r"[,/;(（–—]", label, maxsplit=1)[0]
    if begins and head != label and any(_covers(wanted, part) for part in variants(head)):
        return 0.85
    return 0.45 if begins else 0.3


def _covers(wanted: Tokens, said: Tokens) -> bool:
    left, extra, _ = _compared(wanted, said)
    return not left and not extra


def _compared(wanted: Tokens, said: Tokens) -> tuple[list[str], list[str], bool]:
    """(wanted and not said, said and not wanted, whether a word was only nearly the same)."""
    extra = [word for word in said if word not in wanted]
    left: list[str] = []
    unsure = False
    for word in wanted:
        if word in said:
            continue
        near = next((other for other in extra if _alike(word, other)), None)
        if near is None:
            left.append(word)
        else:
            extra.remove(near)
            unsure = True
    return left, extra, unsure


@lru_cache(1 << 14)
def _alike(one: str, other: str) -> bool:
    """Whether one may be the other misread."""
    if (
        min(len(one), len(other)) < _LONG_ENOUGH
        or abs(len(one) - len(other)) > 2
        or one.isdecimal()
        or other.isdecimal()
    ):
        return False
    return SequenceMatcher(None, one, other).ratio() >= _ALIKE


class Vocabulary:
    """Finds which of many phrases a label may name at all, without comparing it with each."""

    def __init__(self, phrases: Iterable[tuple[int, Tokens]]) -> None:
        self._owners: dict[str, set[int]] = {}
        self._known: dict[str, frozenset[int]] = {}
        for owner, phrase in phrases:
            for word in (*phrase, "".join(phrase)):
                self._owners.setdefault(word, set()).add(owner)

    def owners(self, label: str) -> frozenset[int]:
        """Whose phrases share a word with the label, or nearly so."""
        found: set[int] = set()
        for said in variants(label):
            for word in (*said, "".join(said)):
                found |= self._of(word)
        return frozenset(found)

    def _of(self, word: str) -> frozenset[int]:
        known = self._known.get(word)
        if known is None:
            near = [owners for other, owners in self._owners.items() if other == word or _alike(word, other)]
            known = self._known[word] = frozenset().union(*near)
        return known
