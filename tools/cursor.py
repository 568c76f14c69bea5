"""Cursors: where the next reply begins, and with which parameters, so that a cursor alone goes on with the same call.

They are sent to clients and come back from them: nothing in one is believed before it is checked, and no password is
ever in one.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from tools.tool import Parameters
from vision.errors import InvalidArgument

_LONGEST = 4000
_LARGEST = 1 << 50
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Start:
    """Where a call begins: `place` is all zeros without a cursor. `digest`: the source that the cursor was made for."""

    place: tuple[int, ...]
    digest: str | None = None

    def check(self, sha256: str) -> None:
        """Raises InvalidArgument for the cursor of another source."""
        if self.digest is not None and self.digest != sha256[:16]:
            raise InvalidArgument(
                "this cursor belongs to another source, or the file has changed since", "Start again without a cursor."
            )


@dataclass(frozen=True)
class Cursors:
    """How a tool's cursors are made: `keeps` names the parameters that they remember, `places` counts the numbers that
    say where to go on.
    """

    tool: str
    places: int
    keeps: tuple[str, ...]

    def make(self, sha256: str, parameters: Parameters, *place: int) -> str:
        assert len(place) == self.places
        kept = parameters.model_dump(mode="json", include=set(self.keeps), exclude_defaults=True)
        text = json.dumps([self.tool, sha256[:16], place, kept], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def resume(self, parameters: P, cursor: str | None) -> tuple[P, Start]:
        """The parameters with those that the cursor remembers, and where to begin.

        Raises InvalidArgument for a cursor that is broken or another tool's, or was made with other parameters than
        were given beside it.
        """
        if cursor is None:
            return parameters, Start((0,) * self.places)
        digest, place, kept = self._read(cursor)
        rest = parameters.model_dump(exclude=set(self.keeps), exclude_unset=True)
        try:
            resumed = type(parameters).model_validate({**rest, **kept})
        except ValidationError as e:
            raise _broken() from e
        for name in self.keeps:
            given = getattr(parameters, name)
            if name in parameters.model_fields_set and given is not None and given != getattr(resumed, name):
                raise InvalidArgument(
                    f"the cursor was made with another {name}",
                    f"Leave {name} out to go on as before, or leave the cursor out to begin anew.",
                )
        return resumed, Start(place, digest)

    def _read(self, cursor: str) -> tuple[str, tuple[int, ...], dict[str, Any]]:
        try:
            if len(cursor) > _LONGEST:
                raise _broken()
            found: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            tool, digest, place, kept = found
            usable = (
                tool == self.tool
                and isinstance(digest, str)
                and isinstance(place, list)
                and len(place) == self.places
                and all(type(number) is int and 0 <= number < _LARGEST for number in place)
                and isinstance(kept, dict)
                and kept.keys() <= set(self.keeps)
            )
        except (ValueError, TypeError, RecursionError) as e:  # binascii.Error and UnicodeError are ValueErrors
            raise _broken() from e
        if not usable:
            raise _broken()
        return digest, tuple(place), kept


def _broken() -> InvalidArgument:
    return InvalidArgument(
        "this cursor is not one of this tool's", "Pass next_cursor of the tool's last result unchanged."
    )


def past_the_end() -> InvalidArgument:
    return InvalidArgument("this cursor points past the end", "Start again without a cursor.")
