"""Asks a server as the engine does, in one process with the test."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import anyio
from PIL import Image

from tests.nano.evaluate import MOST_TOKENS, Asked
from tests.nano.tasks import messages, most_tiles
from tests.servers.running import MODEL, Running
from vision.chat.types import Ask, Delta, ImagePart
from vision.media.tile_grid import Fit, fitted_size
from vision.remote.servers import RemoteServers

_AT_ONCE = 2


async def _fitted(picture: ImagePart, fit: Fit, tiles: int, side: int) -> ImagePart:
    with Image.open(BytesIO(picture.data)) as opened:
        size = fitted_size(*opened.size, fit, tiles, side)
        if size == opened.size:
            return picture
        written = BytesIO()
        opened.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(written, "PNG")
    return ImagePart(data=written.getvalue())


class Far:
    """Asks the server as the engine does."""

    def __init__(self, server: Running) -> None:
        self._servers = RemoteServers((server.url,), None, MODEL, _fitted)

    async def ask(self, ask: Ask) -> str:
        return "".join([event.text async for event in self._servers.ask(ask) if isinstance(event, Delta)])

    def answer(self, asked: Sequence[Asked]) -> list[str]:
        said = [""] * len(asked)

        async def one(place: int, limiter: anyio.Semaphore) -> None:
            scene, questions = asked[place]
            ask = Ask(messages=messages(scene, questions), max_tiles=most_tiles(scene), max_tokens=MOST_TOKENS)
            async with limiter:
                said[place] = await self.ask(ask)

        async def every() -> None:
            limiter = anyio.Semaphore(_AT_ONCE)
            async with anyio.create_task_group() as group:
                for place in range(len(asked)):
                    group.start_soon(one, place, limiter)

        anyio.run(every)
        return said
