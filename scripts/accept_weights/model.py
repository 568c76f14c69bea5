"""Asks the model as the server's tools do: the same opening of files, the same engine, the same host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vision.call import Call
from vision.chat.types import ImagePart, Usage
from vision.errors import EngineUnavailable
from vision.prompts.grounding import locate
from vision.prompts.prompt import Prompt, pictures_then, user
from vision.service import VisionService
from vision.variants.plan import Plan

# Loading a large model, or a page of tiles on a CPU: nobody waits for a reply here.
REPLY_WITHIN_S = 3600.0


@dataclass(frozen=True)
class Said:
    """`raw`: with the tokens that mark boxes. `seconds`: from asking to the end of the answer."""

    text: str
    raw: str
    usage: Usage
    seconds: float
    notices: tuple[str, ...] = ()


class Model(Protocol):
    """`tiles`: for each picture, cut down to what the plan allows."""

    async def ask(self, pictures: Sequence[Path], text: str, *, tiles: int) -> Said: ...

    async def locate(self, picture: Path, target: str, *, tiles: int) -> Said: ...


class ServedModel:
    def __init__(self, service: VisionService, plan: Plan) -> None:
        self._service = service
        self._plan = plan

    @classmethod
    async def of(cls, service: VisionService) -> ServedModel:
        """Raises VisionError when the model cannot be had."""
        choice = await service.engine.choice()
        if choice.plan is None:
            raise EngineUnavailable(choice.reason, choice.advice or "See `internvl-mcp doctor`.")
        return cls(service, choice.plan)

    @property
    def plan(self) -> Plan:
        return self._plan

    async def ask(self, pictures: Sequence[Path], text: str, *, tiles: int) -> Said:
        call = Call(within_s=REPLY_WITHIN_S)
        parts = [await self._picture(path, call) for path in pictures]
        each = max(1, min(tiles, self._plan.max_tiles) // len(parts))
        return await self._said(call, Prompt(user(pictures_then(text, parts)), each))

    async def locate(self, picture: Path, target: str, *, tiles: int) -> Said:
        call = Call(within_s=REPLY_WITHIN_S)
        return await self._said(
            call, locate(await self._picture(picture, call), target, min(tiles, self._plan.max_tiles))
        )

    async def _picture(self, path: Path, call: Call) -> ImagePart:
        with await self._service.open(str(path), call) as media:
            return (await self._service.shown(await self._service.picture(media, call), call)).part

    async def _said(self, call: Call, prompt: Prompt) -> Said:
        started = call.elapsed_s
        answer = await self._service.engine.ask(call, prompt)
        return Said(answer.text or "", answer.raw, answer.usage, call.elapsed_s - started, answer.notices)
