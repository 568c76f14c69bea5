"""A model of the tests' own: says what a test wrote down, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio

from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, ChatEvent, Delta, Finished, ImagePart, Stage, Usage
from vision.config import Settings
from vision.engine.chats import HostState
from vision.engine.choice import Choice
from vision.engine.engine import Engine
from vision.engine.local import remote_servers
from vision.errors import VisionError
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan
from vision.weights.job import Download

PLAN = Plan(
    variant="InternVL3.5-8B",
    repository="OpenGVLab/InternVL3_5-8B-HF",
    revision="0" * 40,
    device="cuda",
    devices=(0,),
    dtype="bfloat16",
    max_tiles=24,
    max_frames=32,
    context=16384,
    batch=4,
    feature_cache_bytes=1 << 20,
    prefix_cache_bytes=1 << 20,
    reasons=("it fits",),
)
MODEL = Choice(name="internvl", reason="it fits", plan=PLAN, folder=Path("/weights"))
NO_MODEL = Choice(
    name="ocr",
    reason="InternVL is not used: no InternVL weights are on this machine",
    advice="InternVL3.5-8B fits here: internvl-mcp pull InternVL3.5-8B",
)


class Waits:
    """In a script: nothing more comes until the question is given up."""


Script = tuple[ChatEvent | VisionError | Waits, ...]


def says(text: str, *stages: Stage, reason: str = "stop", tiles: int = 7) -> Script:
    """The script of a plain answer, in pieces as a model sends it."""
    deltas = [Delta(text=text[i : i + 5]) for i in range(0, len(text), 5)]
    done = Finished.model_validate({"reason": reason, "usage": Usage(tiles=tiles, completion_tokens=len(deltas))})
    return (*stages, *deltas, done)


class ScriptedChat:
    def __init__(self, model: ScriptedModel) -> None:
        self._model = model

    async def ask(self, ask: Ask) -> AsyncGenerator[ChatEvent]:
        self._model.asked.append(ask)
        script = self._model.scripts.pop(0) if self._model.scripts else says("A scripted answer.")
        try:
            for step in script:
                await anyio.lowlevel.checkpoint()
                if isinstance(step, VisionError):
                    raise step
                if isinstance(step, Waits):
                    self._model.waiting.set()
                    await anyio.sleep_forever()
                else:
                    yield step
        finally:
            self._model.left += 1


class ScriptedModel:
    """The engine's machine, chats and downloads in one."""

    def __init__(self, *scripts: Script, choice: Choice | VisionError = MODEL) -> None:
        self.scripts = list(scripts)
        self.choice = choice
        self.asked: list[Ask] = []
        self.left = 0
        self.waiting = anyio.Event()
        self.up: list[HostSpec] = []
        self.chosen_with: list[tuple[HostSpec, ...]] = []
        self.fetched: list[Download] = []

    def engine(self, **changed: object) -> Engine:
        settings = Settings.model_validate(changed)
        return Engine(settings, self, self, self, remote_servers(settings))

    # The machine

    def choose(self, running: tuple[HostSpec, ...], variant: str | None = None) -> Choice:
        self.chosen_with.append(running)
        if isinstance(self.choice, VisionError):
            raise self.choice
        if variant is not None and self.choice.plan is not None:
            return self.choice.model_copy(update={"plan": self.choice.plan.model_copy(update={"variant": variant})})
        return self.choice

    def hardware(self) -> Hardware:
        return Hardware(cores=2)

    def plan(self, variant: str | None) -> Plan:
        return PLAN.model_copy(update={"variant": variant or PLAN.variant})

    # The chats

    async def connect(self, spec: HostSpec) -> ScriptedChat:
        if spec not in self.up:
            self.up.append(spec)
        return ScriptedChat(self)

    async def running(self) -> tuple[HostState, ...]:
        return tuple(HostState(spec=spec, state="ready") for spec in self.up)

    async def end(self, spec: HostSpec) -> bool:
        self.up.remove(spec)
        return True

    # The downloads

    def start(self, repository: str, revision: str = "main") -> Download:
        self.fetched.append(Download(repository=repository, revision=revision))
        return self.fetched[-1]

    def status(self) -> tuple[Download, ...]:
        return tuple(self.fetched)

    def close(self) -> None:
        """Nothing is running."""


def text_of(ask: Ask) -> str:
    """The last question as the reference writes it: pictures as <image> and a line break."""
    return "".join("<image>\n" if isinstance(p, ImagePart) else p.text for p in ask.messages[-1].parts)
