"""What a job asks its client while it goes on as a task: the client polls for it, and answers with tasks/update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import mcp_types as types
from pydantic import TypeAdapter

# A question that nobody answers must not hold the work, and its place among others, for as long as it may take.
_WITHIN_S = 60.0
_RESPONSE: TypeAdapter[types.InputResponse] = TypeAdapter(types.InputResponse)


class Questions:
    """Of one job, by names that are other ones each time."""

    def __init__(self) -> None:
        self._asked: types.InputRequests = {}
        self._answers: types.InputResponses = {}
        self._changed = anyio.Event()

    @property
    def open(self) -> types.InputRequests:
        """Those that wait for their answer."""
        return dict(self._asked)

    async def ask(self, requests: types.InputRequests) -> types.InputResponses:
        """The answers: fewer than the questions, when the time for them is over."""
        self._asked |= requests
        try:
            with anyio.move_on_after(_WITHIN_S):
                while requests.keys() & self._asked.keys():
                    await self._changed.wait()
        finally:
            for name in requests:
                self._asked.pop(name, None)
        return {name: self._answers.pop(name) for name in requests if name in self._answers}

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Takes what is waited for of these JSON values; the rest means nothing. Raises ValidationError."""
        waited = [name for name in self._asked if name in responses]
        self._answers |= {name: _RESPONSE.validate_python(responses[name], by_name=False) for name in waited}
        for name in waited:
            del self._asked[name]
        self._changed.set()
        self._changed = anyio.Event()
