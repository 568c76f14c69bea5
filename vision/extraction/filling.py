"""A schema filled from pages that were read: form fields first, then labels and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from vision.extraction.found import NOTHING, Filling, Found, Missing
from vision.extraction.layout import Page
from vision.extraction.matching import Wanted, match, phrases_of
from vision.extraction.rows import rows_from_tables
from vision.extraction.words import Tokens, likeness
from vision.media.document_facts import FormField
from vision.schema.dates import dates_in, day_comes_first
from vision.schema.shape import Choice, Leaf, Node, Record, Rows, pointer
from vision.schema.values import Misfit, value_from
from vision.types import TextTable

_FORM_LIKE, _BY_LOOKS = 0.85, 0.7
_LISTED = re.compile(r"\s*[,;、，；/|]\s*")
_PHONE = re.compile(r"(?<![\w.,/-])\+?\(?\d[\d ()/.-]{6,18}\d(?![\w/])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URI = re.compile(r"https?://[^\s<>\"]+|www\.[\w-]+(?:\.[\w/-]+)+")
_CLOCK = re.compile(r"(?<![\d:.])\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\b)?(?![\d:])")
# What is known by its looks, for a property that is called nothing else.
_LOOKS: dict[Tokens, Callable[[str], list[str]]] = {
    ("email",): _EMAIL.findall,
    ("email", "address"): _EMAIL.findall,
    ("website",): _URI.findall,
    ("iban",): _IBAN.findall,
    ("phone",): lambda text: [found for found in _PHONE.findall(text) if not dates_in(found, None)],
    ("phone", "number"): lambda text: [found for found in _PHONE.findall(text) if not dates_in(found, None)],
    ("date",): lambda text: [found for found, _ in dates_in(text, None)],
    ("time",): _CLOCK.findall,
}


@dataclass(frozen=True)
class Seen:
    """All that was read: pages and tables in their order, and the document's form fields."""

    pages: tuple[Page, ...]
    tables: tuple[TextTable, ...]
    fields: tuple[FormField, ...] = ()


def fill(node: Node, seen: Seen) -> Filling:
    """What can be told without a model. Pure; takes about a millisecond a page and property."""
    day_first = day_comes_first(line.text for page in seen.pages for line in page.lines)
    return _fill(node, "", (), seen, day_first)


def _fill(node: Node, path: str, within: tuple[Tokens, ...], seen: Seen, day_first: bool | None) -> Filling:
    wanted = list(_wanted(node, path, within))
    filling = Filling()
    rest: list[Wanted] = []
    for one in wanted:
        known = _from_form(one, seen.fields, day_first)
        if known is None:
            rest.append(one)
        else:
            filling.values[one.path] = known
    filling.values.update(match(rest, seen.pages, day_first))
    for one in rest:
        # Where labels were found that are in doubt, looks tell nothing more.
        if filling.values[one.path] == Missing(NOTHING) and (known := _anywhere(one, seen, day_first)) is not None:
            filling.values[one.path] = known
    for at, inner in _arrays(node, path):
        filling.add(_array(at, inner, seen, day_first))
    for at, choice in _choices(node, path):
        filling.add(_choice(at, choice, within, seen, day_first))
    return filling


def _wanted(node: Node, path: str, within: tuple[Tokens, ...]) -> Iterator[Wanted]:
    """The single values of a tree; arrays and alternatives are filled by themselves."""
    if isinstance(node, Leaf):
        yield Wanted(path, node, phrases_of(node.words), within)
    elif isinstance(node, Record):
        around = phrases_of(node.words) or within
        for name, inner in node.properties:
            yield from _wanted(inner, pointer(path, name), around)


def _arrays(node: Node, path: str) -> Iterator[tuple[str, Rows]]:
    if isinstance(node, Rows):
        yield path, node
    elif isinstance(node, Record):
        for name, inner in node.properties:
            yield from _arrays(inner, pointer(path, name))


def _choices(node: Node, path: str) -> Iterator[tuple[str, Choice]]:
    if isinstance(node, Choice):
        yield path, node
    elif isinstance(node, Record):
        for name, inner in node.properties:
            yield from _choices(inner, pointer(path, name))


def _choice(path: str, node: Choice, within: tuple[Tokens, ...], seen: Seen, day_first: bool | None) -> Filling:
    """The alternative of which most was found; the first of several."""
    tried: list[Filling] = []
    for option in node.options:
        named = replace(option, words=replace(option.words, name=option.words.name or node.words.name))
        tried.append(_fill(named, path, within, seen, day_first))
    best = max(range(len(tried)), key=lambda place: (len(tried[place].found(path)), -place))
    tried[best].chosen[path] = best
    return tried[best]


def _array(path: str, node: Rows, seen: Seen, day_first: bool | None) -> Filling:
    if isinstance(node.item, Record):
        wanted = list(_wanted(node.item, "", ()))
        # Within a table's row the objects around a value are not named.
        plain = [replace(one, within=()) for one in wanted]
        return rows_from_tables(path, plain, seen.pages, seen.tables, day_first)
    if isinstance(node.item, Leaf):
        return _list(path, node, node.item, seen, day_first)
    filling = Filling()
    filling.values[path] = Missing("only a model can tell such lists")
    return filling


def _list(path: str, node: Rows, item: Leaf, seen: Seen, day_first: bool | None) -> Filling:
    """Single values: a table's column of that name, or a list behind its label."""
    phrases = (*phrases_of(node.words), *phrases_of(item.words))
    filling = rows_from_tables(path, [Wanted("", item, phrases)], seen.pages, seen.tables, day_first)
    if filling.counts.get(path):
        return filling
    filling = Filling()
    label = Wanted(path, Leaf(node.words, frozenset({"string"})), phrases)
    found = match([label], seen.pages, day_first)[path]
    values: list[Found] = []
    for part in _LISTED.split(found.text) if isinstance(found, Found) else ():
        value = value_from(item, part, day_first)
        if isinstance(found, Found) and part and not isinstance(value, Misfit):
            values.append(replace(found, value=value, text=part))
    if not values:
        filling.values[path] = found if isinstance(found, Missing) else Missing(NOTHING)
        return filling
    filling.counts[path] = len(values)
    filling.values.update({f"{path}/{place}": value for place, value in enumerate(values)})
    return filling


def _from_form(one: Wanted, fields: Sequence[FormField], day_first: bool | None) -> Found | Missing | None:
    """The form field of that name; None where there is none, or several that fit as well."""
    phrases = (*one.phrases, *((*around, *phrase) for around in one.within for phrase in one.phrases))
    scored = [(max(_field_likeness(phrase, field) for phrase in phrases), field) for field in fields] if phrases else []
    best = max((score for score, _ in scored), default=0.0)
    fitting = [field for score, field in scored if score >= max(best - 0.01, _FORM_LIKE)]
    if len(fitting) != 1:
        return None
    (field,) = fitting
    if field.value is None:
        return Missing(f"the form field {field.label or field.name!r} is empty")
    text = {True: "yes", False: "no"}[field.value] if isinstance(field.value, bool) else field.value
    value = value_from(one.leaf, text, day_first)
    if isinstance(value, Misfit):
        return Missing(value.reason)
    return Found(value, text, field.page, field.box, round(best, 2), "form")


def _field_likeness(phrase: Tokens, field: FormField) -> float:
    """Names of fields are paths such as form1[0].Page1[0].LastName[0]."""
    name = re.sub(r"\[\d+\]", "", field.name).rpartition(".")[2]
    return max(likeness(phrase, name), likeness(phrase, field.label or ""))


def _anywhere(one: Wanted, seen: Seen, day_first: bool | None) -> Found | None:
    """What looks like what the property is called, where all pages hold only one such."""
    looks = next((look for phrase in one.phrases if (look := _LOOKS.get(phrase)) is not None), None)
    if looks is None or one.within:
        return None
    found = [(text, line) for page in seen.pages for line in page.lines for text in looks(line.text)]
    if len({"".join(text.split()) for text, _ in found}) != 1:
        return None
    text, line = found[0]
    if isinstance(value := value_from(one.leaf, text, day_first), Misfit):
        return None
    return Found(value, text, line.page, line.box, round(_BY_LOOKS * line.confidence, 2), "text")
