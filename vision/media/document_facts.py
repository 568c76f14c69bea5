"""What a document says about itself beside its text: metadata, outline, links, forms, annotations. Pure values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vision.types import Box, Frozen

FieldKind = Literal["text", "checkbox", "radio", "choice", "signature", "button"]


class Metadata(Frozen):
    """As the document has it; times as ISO 8601 where they can be told."""

    format: str | None = None
    title: str | None = None
    author: str | None = None
    subject: str | None = None
    keywords: str | None = None
    created: str | None = None
    modified: str | None = None
    producer: str | None = None
    encrypted: bool = False
    attachments: tuple[str, ...] = Field(default=(), description="names of files inside the document")


class OutlineEntry(Frozen):
    """`level` from 1; `page`: None where the entry leads to no page of the document."""

    level: int
    title: str
    page: int | None = None


class Link(Frozen):
    """`uri` or `to_page`. Boxes here are points of the page as a viewer shows it."""

    page: int
    box: Box
    uri: str | None = None
    to_page: int | None = None


class FormField(Frozen):
    """`value`: a checkbox has true or false; a radio group is one field, its value the choice made; None: empty."""

    page: int
    name: str
    kind: FieldKind
    value: str | bool | None = None
    label: str | None = None
    choices: tuple[str, ...] = ()
    box: Box


class Annotation(Frozen):
    """`text`: what was noted; `marked`: the page's own words under a highlight or the like."""

    page: int
    kind: str
    box: Box
    text: str | None = None
    marked: str | None = None
    author: str | None = None


class DocumentFacts(Frozen):
    """`incomplete`: which of these parts are not all here, each with the reason."""

    page_count: int
    metadata: Metadata = Metadata()
    outline: tuple[OutlineEntry, ...] = ()
    links: tuple[Link, ...] = ()
    form_fields: tuple[FormField, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    incomplete: tuple[str, ...] = ()
