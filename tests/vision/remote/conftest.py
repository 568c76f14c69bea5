from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.vision.remote.fake_server import FakeServer, serving


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeServer]]:
    """Starts a server of somebody else's: `serve(replies=[…], models=[…])`."""
    with ExitStack() as stack:

        def start(**given: Any) -> FakeServer:
            return stack.enter_context(serving(FakeServer(**given)))

        yield start
