"""One thing that doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`state`: ok, absent (works without it) or broken (does not work until it is mended)."""

    state: Literal["ok", "absent", "broken"]
    what: str
    advice: str = ""
