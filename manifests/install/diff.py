"""A change as a unified diff without context: settings files hold keys of other servers, which nobody asked to see."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from manifests.install.plan import Change

_SHORT = 2
# A line of an entry that says how its server is started, and nothing else: what an update changes.
_OURS = re.compile(r"""\s*"?(command|args|type)"?\s*[:=][^{}]*$""")


def diff(change: Change) -> str:
    """The change as text; empty where nothing changes. Of lines that change in part, what stays is left out: …"""
    old_name = "/dev/null" if change.before is None else str(change.path)
    new_name = "/dev/null" if change.after is None else str(change.path)
    lines = _hunks(_lines(change.before), _lines(change.after))
    return "\n".join((f"--- {old_name}", f"+++ {new_name}", *lines)) if lines else ""


def _hunks(old: list[str], new: list[str]) -> list[str]:
    """The lines that go and come, under headers that say where."""
    shared = _alike(old, new)
    tail = _alike(old[shared:][::-1], new[shared:][::-1])
    old, new = old[shared : len(old) - tail], new[shared : len(new) - tail]
    told: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        told.append(f"@@ -{_range(shared + i, j - i)} +{_range(shared + k, m - k)} @@")
        told += _told(old[i:j], new[k:m])
    return told


def _told(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """A line of others that ours were put beside, such as by a comma, is shown without what it says."""
    gone, come = list(old), list(new)
    if gone and come and not _OURS.match(gone[0]):
        gone[0], come[0] = _in_part(gone[0], come[0])
    return [f"-{line}" for line in gone] + [f"+{line}" for line in come]


def _in_part(old: str, new: str) -> tuple[str, str]:
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    head, tail = _head(old[:start]), old[len(old) - end :]
    tail = tail if len(tail) <= _SHORT else "…"
    return head + old[start : len(old) - end] + tail, head + new[start : len(new) - end] + tail


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many items both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _head(text: str) -> str:
    """Up to where a value begins."""
    cut = min((at for at in (text.find(":"), text.find("=")) if at >= 0), default=-1)
    return text if cut < 0 or len(text) - cut <= _SHORT else f"{text[: cut + 1]} …"


def _lines(data: bytes | None) -> list[str]:
    return (data or b"").decode("utf-8", "replace").splitlines()


def _range(start: int, count: int) -> str:
    first = start + 1 if count else start
    return str(first) if count == 1 else f"{first},{count}"
