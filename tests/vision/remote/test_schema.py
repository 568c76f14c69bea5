"""Answers of servers that may ignore a schema, looked at in linear time."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import pytest

from vision.chat.types import ChatEvent, Delta, Finished, Usage
from vision.errors import InvalidArgument
from vision.remote.schema import held_to

pytestmark = pytest.mark.anyio


async def saying(text: str) -> AsyncGenerator[ChatEvent, None]:
    yield Delta(text=text)
    yield Finished(reason="stop", usage=Usage())


async def heard(pattern: str, text: str) -> list[ChatEvent]:
    return [event async for event in held_to({"type": "string", "pattern": pattern}, saying(text), "a model")]


async def test_a_pattern_that_python_chokes_on_is_tried_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(InvalidArgument, match="does not hold"):
        await heard("^(a+)+$", f'"{"a" * 5000}!"')
    assert time.monotonic() - began < 5
    assert len(await heard("^(a+)+$", '"aaa"')) == 2


async def test_a_pattern_that_needs_more_than_linear_time_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no JSON Schema"):
        await heard(r"^(a+)\1$", '"aa"')
