"""What a model said under the schema, joined with what was found without it: each value looked for on the pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vision.extraction.found import Filling, Found, Missing
from vision.extraction.lookup import look_up
from vision.schema.dates import day_comes_first
from vision.schema.shape import Choice, Leaf, Node, Record, Rows, pointer
from vision.schema.validity import complaints
from vision.schema.values import folded, misfit
from vision.types import TextLine

# A model's value that stands in no text that was read: it may be in the picture alone, or made up.
UNSEEN = 0.3
_NOT_SEEN = "the model saw no such value on the pages it was shown"
_CUT_OFF = "the model's answer was cut off before this value"


def join(node: Node, read: Filling, said: Any, lines: Sequence[TextLine], page: int | None, *, whole: bool) -> Filling:
    """`read`: what was found without the model. `page`: where it looked, None for several. `whole`: it came to its end.

    Form fields stand as they are. A value of the model's that stands on the pages wins over one found beside a label;
    one that stands nowhere does not.
    """
    joining = _Joining(read, lines, day_comes_first(line.text for line in lines), page, whole)
    joining.node(node, "", said)
    return joining.joined


class _Joining:
    def __init__(
        self, read: Filling, lines: Sequence[TextLine], day_first: bool | None, page: int | None, whole: bool
    ) -> None:
        self._read, self._lines, self._day_first = read, lines, day_first
        self._page, self._whole = page, whole
        self.joined = Filling()

    def node(self, node: Node, path: str, said: Any) -> None:
        if isinstance(node, Leaf):
            self._leaf(node, path, said)
        elif isinstance(node, Record):
            values = said if isinstance(said, dict) else {}
            for name, inner in node.properties:
                self.node(inner, pointer(path, name), values.get(name))
        elif isinstance(node, Choice):
            self._choice(node, path, said)
        else:
            self._rows(node, path, said)

    def _leaf(self, leaf: Leaf, path: str, said: Any) -> None:
        known = self._read.values.get(path)
        values = self.joined.values
        if isinstance(known, Found) and known.source == "form":
            values[path] = known
            return
        wrong = None if said is None else misfit(leaf, said)
        if said is None or wrong is not None:
            missing = Missing(f"the model said {str(said)[:60]!r}, but {wrong}" if wrong else self._why_not(known))
            values[path] = known if isinstance(known, Found) else missing
            return
        place = look_up(leaf, said, self._lines, self._day_first)
        if isinstance(known, Found) and (place is None or _same(known.value, said)):
            values[path] = known
        elif place is not None:
            values[path] = Found(said, place.text, place.page, place.box, round(place.confidence, 2), "model")
        else:
            values[path] = Found(said, str(said), self._page, None, UNSEEN, "model")

    def _why_not(self, known: Found | Missing | None) -> str:
        return _NOT_SEEN if self._whole else _CUT_OFF

    def _choice(self, node: Choice, path: str, said: Any) -> None:
        fitting = [place for place, option in enumerate(node.options) if _fits(option, said)]
        chosen = fitting[0] if fitting else self._read.chosen.get(path, 0)
        self.joined.chosen[path] = chosen
        if chosen != self._read.chosen.get(path, 0):
            for at in [at for at in self._read.values if at == path or at.startswith(f"{path}/")]:
                del self._read.values[at]  # of another alternative
        self.node(node.options[chosen], path, said)

    def _rows(self, node: Rows, path: str, said: Any) -> None:
        """The model's items, or those of the tables that were read where these are at least as many."""
        filling = self.joined
        items = said if isinstance(said, list) else []
        known = self._read.counts.get(path, 0)
        if known >= len(items):
            inside = f"{path}/"
            filling.values.update({at: v for at, v in self._read.values.items() if at == path or at.startswith(inside)})
            filling.counts.update({at: n for at, n in self._read.counts.items() if at == path or at.startswith(inside)})
            if not known:
                filling.values[path] = Missing(self._why_not(None))
            return
        read, self._read = self._read, Filling()
        for place, item in enumerate(items):
            self.node(node.item, pointer(path, place), item)
        self._read = read
        filling.counts[path] = len(items)


def _fits(option: Node, said: Any) -> bool:
    """Whether it is this alternative: nothing is wrong with it but what is null."""
    return said is not None and all(_null_at(said, at) for at, _ in complaints(option, said))


def _null_at(said: Any, path: str) -> bool:
    for step in path.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(said, list):
            said = said[int(name)]
        elif isinstance(said, dict) and name in said:
            said = said[name]
        else:
            return False
    return said is None


def _same(one: Any, other: Any) -> bool:
    return folded(one) == folded(other) if isinstance(one, str) and isinstance(other, str) else one == other
