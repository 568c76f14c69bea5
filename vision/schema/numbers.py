"""Numbers as they are printed: grouped, with a unit or a currency, with a point or a comma."""

from __future__ import annotations

import re

_GROUP = "'’`´\u00a0\u2009\u202f "
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<open>\()?(?P<sign>[-−–+]\s?)?(?P<money>[$€£¥￥₹]\s?)?(?P<digits>\d{{1,3}}(?:[{_GROUP}]\d{{3}})+(?:[.,]\d+)?(?!\d)|\d[\d.,]*\d|\d|\.\d+)"
)  # fmt: skip
# PAT-38 is no number.
_CODE = re.compile(r"[^\W\d][-−–/]\d+$")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_TIMES = {"万": 10**4, "億": 10**8, "亿": 10**8, "million": 10**6, "billion": 10**9, "thousand": 10**3, "mio": 10**6}
_SCALE = re.compile(r"\s*(万|亿|億|million\b|billion\b|thousand\b|mio\b)", re.IGNORECASE)


def numbers_in(text: str, *, whole: bool = False) -> list[float | int]:
    """The numbers of a text, in order; integral ones as int. Digits within a word or a code are none.

    1,234 and 1'234 are grouped; 1.234 is so only where a `whole` number is wanted; 1.234,56 and 1,234.56 tell which is
    which. In brackets, as in accounts, a number is below zero.
    """
    found: list[float | int] = []
    for match in _NUMBER.finditer(text):
        rest = text[match.end() :]
        if _ORDINAL.match(rest) or _CODE.search(text[: match.end()]):
            continue
        value = _value(match["digits"], whole)
        if value is None:
            continue
        if scale := _SCALE.match(rest):
            value = round(value * _TIMES[scale[1].lower()], 6)
        bracketed = match["open"] and rest.lstrip("%").startswith(")") and text.strip().startswith("(")
        if bracketed or (match["sign"] or "").strip() in ("-", "−", "–"):
            value = -value
        found.append(int(value) if value == int(value) else value)
    return found


def _value(digits: str, whole: bool) -> float | None:
    plain = re.sub(f"[{_GROUP}]", "", digits).rstrip(".,")
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        mark = max(".", ",", key=plain.rfind)
        other = "," if mark == "." else "."
        if plain.count(mark) > 1 or not _grouped(plain.split(mark)[0], other):
            return None
        plain = plain.replace(other, "").replace(mark, ".")
    elif commas:
        if _grouped(plain, ","):
            plain = plain.replace(",", "")
        elif commas == 1:
            plain = plain.replace(",", ".")
        else:
            return None
    elif points > 1 or (points and whole and _grouped(plain, ".")):
        if not _grouped(plain, "."):
            return None  # 1.2.3 is a version or a date
        plain = plain.replace(".", "")
    return float(plain)


def _grouped(digits: str, mark: str) -> bool:
    first, *rest = digits.split(mark)
    return 1 <= len(first) <= 3 and first.isdigit() and first != "0" and all(len(p) == 3 and p.isdigit() for p in rest)
