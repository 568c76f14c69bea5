"""Real host processes: started once, shared, killed, idle, replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.vision.chat.conftest import question
from vision.chat.host_spec import HostSpec
from vision.chat.keeper import HostKeeper
from vision.chat.types import Delta, Finished, Stage

pytestmark = pytest.mark.anyio


async def test_a_question_crosses_to_a_real_host_and_the_answer_comes_back(
    keeper: HostKeeper, spec: Callable[..., HostSpec]
) -> None:
    client = await keeper.connect(spec())
    events = [event async for event in client.ask(question("echo a red square", b"picture"))]
    assert events[0] == Stage(name="seeing", done=0, total=1)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "a red square "
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.cached_tokens == 3
    assert events[-1].usage.tiles == 1
