"""What a document says about itself, in a reply: a little beside its text, all of it for format outline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pydantic import Field

from tools.cursor import past_the_end
from tools.paging import Budget, tokens_of
from vision.media.document_facts import Annotation, DocumentFacts, FormField, Link, Metadata, OutlineEntry
from vision.types import Frozen

# Longer documents begin with their outline, which takes a share of the reply at most, and so do the other parts.
LONG_PAGES = 20
_OUTLINE_SHARE, _PARTS_SHARE = 0.3, 0.15
_SECTIONS = ("outline", "form_fields", "annotations", "links")


class DocumentParts(Frozen):
    """`has`: how many there are of each part; format outline gives them all."""

    metadata: Metadata
    has: dict[str, int] = Field(default={})
    outline: tuple[OutlineEntry, ...] = ()
    form_fields: tuple[FormField, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    links: tuple[Link, ...] = ()
    incomplete: tuple[str, ...] = Field(default=(), description="parts that could not all be read, and why")


def beside_text(facts: DocumentFacts, pages: Sequence[int] | None, budget: Budget) -> DocumentParts | None:
    """What comes with a document's first pages: metadata, the outline of a long one, and form fields with values and
    annotations of the chosen pages. None where not even the metadata fit. `pages`: None for all of them.
    """
    parts = _frame(facts)
    if not budget.take_all(parts):
        return None
    chosen = None if pages is None else set(pages)
    outline: tuple[OutlineEntry, ...] = ()
    if chosen is None and facts.page_count > LONG_PAGES:
        outline = _fitting_outline(facts.outline, int(_OUTLINE_SHARE * budget.left))
    fields = [
        field
        for field in facts.form_fields
        if field.value not in (None, False) and (chosen is None or field.page in chosen)
    ]
    notes = [note for note in facts.annotations if chosen is None or note.page in chosen]
    share = int(_PARTS_SHARE * budget.left)
    update = {
        "outline": outline,
        "form_fields": _within(fields, share),
        "annotations": _within(notes, share),
    }
    for values in update.values():
        budget.spend(sum(tokens_of(value) for value in values))
    return parts.model_copy(update=update)


def everything(
    facts: DocumentFacts, pages: Sequence[int] | None, start: tuple[int, int], budget: Budget
) -> tuple[DocumentParts, tuple[int, int] | None]:
    """All the parts, of the chosen pages, from item `start` (part, item) on, and where the next reply begins."""
    chosen = None if pages is None else set(pages)
    parts = _frame(facts)
    budget.spend(tokens_of(parts))
    if start[0] >= len(_SECTIONS):
        raise past_the_end()
    found: dict[str, tuple[Frozen, ...]] = {}
    for at, name in enumerate(_SECTIONS):
        if at < start[0]:
            continue
        items = [item for item in getattr(facts, name) if chosen is None or item.page in chosen]
        first = start[1] if at == start[0] else 0
        if first and first >= len(items):
            raise past_the_end()
        for number in range(first, len(items)):
            if not budget.take_all(items[number]) and any(found.values()):
                found[name] = tuple(items[first:number])
                return parts.model_copy(update=found), (at, number)
            found[name] = tuple(items[first : number + 1])
    return parts.model_copy(update=found), None


def _frame(facts: DocumentFacts) -> DocumentParts:
    counts = {name: len(getattr(facts, name)) for name in _SECTIONS}
    return DocumentParts(
        metadata=facts.metadata,
        has={name: count for name, count in counts.items() if count},
        incomplete=facts.incomplete,
    )


def _fitting_outline(entries: Sequence[OutlineEntry], tokens: int) -> tuple[OutlineEntry, ...]:
    """The whole outline, or its upper levels, as many as fit; where not even the first does, its beginning."""
    levels = [level for level, _ in groupby(sorted(entry.level for entry in entries))]
    for level in reversed(levels):
        kept = tuple(entry for entry in entries if entry.level <= level)
        if sum(tokens_of(entry) for entry in kept) <= tokens:
            return kept
    return _within([entry for entry in entries if entry.level == levels[0]], tokens) if levels else ()


def _within(items: Sequence[Frozen], tokens: int) -> tuple:
    """As many of the items, from the first on, as fit."""
    spent = 0
    for count, item in enumerate(items):
        spent += tokens_of(item)
        if spent > tokens:
            return tuple(items[:count])
    return tuple(items)
