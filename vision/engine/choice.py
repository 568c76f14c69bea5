"""What was chosen to answer, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from vision.chat.host_spec import HostSpec
from vision.types import Frozen
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan


class Choice(Frozen):
    """`reason`: why this engine, and why not a better one. `advice`: what would make it better, a command mostly; ""
    where nothing would. `plan` and `folder` (the checkpoint) are there for internvl only.
    """

    name: Literal["ocr", "internvl"]
    reason: str
    advice: str = ""
    plan: Plan | None = None
    folder: Path | None = None

    @property
    def says(self) -> str:
        """Reason and advice, for a result."""
        return f"{self.reason}. {self.advice}" if self.advice else self.reason


class Machine(Protocol):
    """Looks at the hardware, the weights and the settings. It may take a second: it is called in threads."""

    def choose(self, running: tuple[HostSpec, ...], variant: str | None = None) -> Choice:
        """What answers. `variant`: the only one wanted, and its error is raised.

        `running`: what model hosts were started with that are up; one of them is taken before a new plan, as its own
        memory would make that smaller. Raises the precise VisionError where the settings demand InternVL and it cannot
        be had.
        """
        ...

    def hardware(self) -> Hardware: ...

    def plan(self, variant: str | None) -> Plan:
        """What would run were its weights here. Raises VisionError: an unknown variant, or nothing that fits."""
        ...
