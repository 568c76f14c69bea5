"""Leaves a server alone that fails again and again, so that calls do not wait for it one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

_OPENS_AFTER = 3
_STAYS_OPEN_S = 15.0

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed: questions pass. Open, after so many failures in a row: none passes for a while. Half-open: one passes,
    and decides.
    """

    def __init__(
        self,
        opens_after: int = _OPENS_AFTER,
        stays_open_s: float = _STAYS_OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opens_after = opens_after
        self._stays_open_s = stays_open_s
        self._clock = clock
        self._opened_at = float("-inf")
        self._trying_since = float("-inf")
        self.failures = 0
        self.last_failure = ""

    @property
    def state(self) -> State:
        if self.failures < self._opens_after:
            return "closed"
        return "open" if self.left_s > 0 else "half-open"

    @property
    def left_s(self) -> float:
        """How long nothing passes yet."""
        return max(0.0, self._opened_at + self._stays_open_s - self._clock())

    def admits(self) -> bool:
        """Whether a question may go now. Half-open, the first one that asks so is the trial; the next waits as long as
        for a failure, lest a trial that never ends keeps the server out for ever.
        """
        if self.state == "closed":
            return True
        now = self._clock()
        if self.state == "open" or now - self._trying_since < self._stays_open_s:
            return False
        self._trying_since = now
        return True

    def succeeded(self) -> None:
        self.failures = 0
        self.last_failure = ""
        self._trying_since = float("-inf")

    def failed(self, why: str) -> None:
        self.failures += 1
        self.last_failure = why
        if self.failures >= self._opens_after:
            self._opened_at = self._clock()
        self._trying_since = float("-inf")
