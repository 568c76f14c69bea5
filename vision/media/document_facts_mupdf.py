"""Reads what an open document says about itself; a part that cannot be read leaves the others as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from vision.errors import DamagedMedia, LimitExceeded
from vision.media.document_facts import (
    Annotation,
    DocumentFacts,
    FieldKind,
    FormField,
    Link,
    Metadata,
    OutlineEntry,
)
from vision.media.document_mupdf import mupdf_errors, pymupdf
from vision.media.document_reader import Document
from vision.types import Box

# Of each; more of them is a list that nobody reads, or a hostile file.
_MOST = {"outline": 10_000, "links": 10_000, "form_fields": 5_000, "annotations": 2_000}
_LONGEST = 1_000
_MOST_CHOICES = 50
_PDF_TIME = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:(Z)|([+-]\d{2})'?(\d{2})?)?")
# By MuPDF's name of a widget's type.
_KINDS: dict[str, FieldKind] = {
    "Text": "text",
    "CheckBox": "checkbox",
    "RadioButton": "radio",
    "ComboBox": "choice",
    "ListBox": "choice",
    "Signature": "signature",
}
_NO_NOTES = {"Link", "Widget", "Popup"}
_MARKS = {"Highlight", "Underline", "StrikeOut", "Squiggly"}
T = TypeVar("T")


def read_facts(document: Document) -> DocumentFacts:
    """Everything but the text, of all pages; fast enough for hundreds (0.1 s for 400 pages)."""
    handle: Any = document.handle
    incomplete: list[str] = []

    def part(name: str, read: Callable[[Any], Iterator[T]]) -> tuple[T, ...]:
        found: list[T] = []
        try:
            with mupdf_errors(f"Reading the {name}"):
                for one in islice(read(handle), _MOST[name] + 1):
                    found.append(one)
        except (DamagedMedia, LimitExceeded) as e:
            incomplete.append(f"{name}: {e.message}")
        if len(found) > _MOST[name]:
            incomplete.append(f"{name}: there are more than {_MOST[name]}")
        return tuple(found[: _MOST[name]])

    return DocumentFacts(
        page_count=document.page_count,
        metadata=_metadata(document, incomplete),
        outline=part("outline", _outline),
        links=part("links", _links),
        form_fields=part("form_fields", _form_fields),
        annotations=part("annotations", _annotations),
        incomplete=tuple(incomplete),
    )


def _metadata(document: Document, incomplete: list[str]) -> Metadata:
    handle: Any = document.handle
    try:
        with mupdf_errors("Reading the document's metadata"):
            data: dict[str, Any] = handle.metadata or {}
            names = tuple(_text(name) or "" for name in handle.embfile_names()[:_MOST_CHOICES]) if handle.is_pdf else ()
    except (DamagedMedia, LimitExceeded) as e:
        incomplete.append(f"metadata: {e.message}")
        return Metadata()
    return Metadata(
        **{name: _text(data.get(name)) for name in ("format", "title", "author", "subject", "keywords", "producer")},
        created=_time(data.get("creationDate")),
        modified=_time(data.get("modDate")),
        encrypted=bool(data.get("encryption")),
        attachments=names,
    )


def _outline(handle: Any) -> Iterator[OutlineEntry]:
    for level, title, page, *_ in handle.get_toc():
        known = page if 1 <= page <= handle.page_count else None
        yield OutlineEntry(level=int(level), title=_text(title) or "", page=known)


def _pages(handle: Any) -> Iterator[Any]:
    for number in range(handle.page_count):
        try:
            with mupdf_errors(f"Reading page {number + 1}"):
                page = handle.load_page(number)
        except (DamagedMedia, LimitExceeded):
            continue  # a page that cannot be read is named when it is read
        yield page


def _links(handle: Any) -> Iterator[Link]:
    for page in _pages(handle):
        for link in page.get_links():
            to = link.get("page", -1)
            inside = isinstance(to, int) and 0 <= to < handle.page_count and link["kind"] in _INSIDE
            uri = _text(link.get("uri") or link.get("file"))
            if inside or uri:
                yield Link(page=page.number + 1, box=_box(link["from"]), uri=uri, to_page=to + 1 if inside else None)


_INSIDE = (pymupdf.LINK_GOTO, pymupdf.LINK_NAMED)


def _form_fields(handle: Any) -> Iterator[FormField]:
    if not (handle.is_pdf and handle.is_form_pdf):
        return
    groups: dict[str, FormField] = {}
    for page in _pages(handle):
        for widget in page.widgets():
            field = _form_field(widget, page)
            if field.kind != "radio":
                yield field
            elif field.name in groups:
                groups[field.name] = _joined(groups[field.name], field)
            else:
                groups[field.name] = field
    yield from groups.values()


def _form_field(widget: Any, page: Any) -> FormField:
    kind = _KINDS.get(str(widget.field_type_string), "button")
    value: str | bool | None = _text(widget.field_value)
    choices = tuple(_choice(one) for one in (widget.choice_values or ())[:_MOST_CHOICES])
    if kind in ("checkbox", "radio"):
        on = str(widget.on_state() or "Yes")
        chosen = str(widget.field_value) == on
        value = chosen if kind == "checkbox" else on if chosen else None
        choices = (on,) if kind == "radio" else ()
    return FormField(
        page=page.number + 1,
        name=_text(widget.field_name) or "",
        kind=kind,
        value=value,
        label=_text(widget.field_label),
        choices=choices,
        box=_box(widget.rect),
    )


def _choice(one: Any) -> str:
    """Choices are texts, or pairs of what is stored and what is shown."""
    return _text(one[1] if isinstance(one, list | tuple) else one) or ""


def _joined(group: FormField, button: FormField) -> FormField:
    """One more button of a radio group; the box is that of the button chosen."""
    choices = (*group.choices, *button.choices)[:_MOST_CHOICES]
    if button.value is None:
        return group.model_copy(update={"choices": choices})
    return button.model_copy(update={"choices": choices})


def _annotations(handle: Any) -> Iterator[Annotation]:
    for page in _pages(handle):
        for annotation in page.annots():
            kind = str(annotation.type[1])
            if kind in _NO_NOTES:
                continue
            info = annotation.info
            yield Annotation(
                page=page.number + 1,
                kind=kind,
                box=_box(annotation.rect),
                text=_text(info.get("content")),
                marked=_text(page.get_textbox(annotation.rect)) if kind in _MARKS else None,
                author=_text(info.get("title")),
            )


def _time(value: Any) -> str | None:
    """PDF's D:YYYYMMDDHHmmSSOHH'mm' as ISO 8601; anything else as it stands."""
    text = _text(value)
    found = _PDF_TIME.match(text or "")
    if found is None:
        return text
    year, month, day, hour, minute, second, utc, offset, offset_minutes = found.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None:
        return date
    zone = "Z" if utc else f"{offset}:{offset_minutes or '00'}" if offset else ""
    return f"{date}T{hour}:{minute or '00'}:{second or '00'}{zone}"


def _text(value: Any) -> str | None:
    """Printable, on one line, not endless; None where there is none."""
    text = "".join(character if character.isprintable() else " " for character in str(value or ""))
    return " ".join(text.split())[:_LONGEST] or None


def _box(rect: Any) -> Box:
    return (round(rect[0], 1), round(rect[1], 1), round(rect[2], 1), round(rect[3], 1))
