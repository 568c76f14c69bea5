"""Chooses the engine, asks the model, and says what happened: nothing falls back in silence."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Protocol

import anyio
from anyio import to_thread

from vision.call import Call
from vision.chat.host_spec import HostSpec
from vision.chat.types import Ask, Message, TextPart, Usage
from vision.config import Settings
from vision.engine.answer import Answer, clean
from vision.engine.chats import ChatSource, HostState
from vision.engine.choice import Choice, Machine
from vision.engine.hearing import Hearing
from vision.errors import EngineUnavailable, LimitExceeded, ModelLoading, OutOfMemory
from vision.prompts.prompt import Prompt, tiles_each
from vision.prompts.system import can_think, system_prompt
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan
from vision.weights.job import Download

# The machine is looked at again after so long: weights may have come, memory may have been freed.
_CHOICE_HOLDS_S = 10.0
# What is left of the reply's time when the model is stopped: room for putting the reply together.
_MARGIN_S = 2.0
_MARGIN_SHARE = 0.1
# In less, a model that is up does not even begin to answer.
_LEAST_S = 0.2
_MOST_RETRIES = 2
# The system prompt, instructions and a question of a few sentences.
_WORDS_TOKENS = 400
_THINKING_TEMPERATURE, _THINKING_TOP_P, _THINKING_SEED = 0.6, 0.95, 0


class Fetcher(Protocol):
    """Downloads of weights, as `vision.weights.job.Downloads`."""

    def start(self, repository: str, revision: str = "main") -> Download: ...

    def status(self) -> tuple[Download, ...]: ...

    def close(self) -> None: ...


class Engine:
    """Used from one event loop. Many questions may be asked at once: the host batches them."""

    def __init__(self, settings: Settings, machine: Machine, chats: ChatSource, downloads: Fetcher) -> None:
        self.settings = settings
        self.downloads = downloads
        self._machine = machine
        self._chats = chats
        self._chosen: tuple[Choice, float] | None = None
        self._choosing = anyio.Lock()
        self._preferred: str | None = None

    async def choice(self) -> Choice:
        """What answers now. Raises VisionError where the settings demand InternVL and it cannot be had."""
        async with self._choosing:
            now = time.monotonic()
            if self._chosen is None or now - self._chosen[1] > _CHOICE_HOLDS_S:
                choice = await to_thread.run_sync(self._machine.choose, await self._specs())
                self._chosen = (choice, time.monotonic())
            return self._chosen[0]

    async def _specs(self) -> tuple[HostSpec, ...]:
        """What the hosts that are up were started with, the one that was asked for by name first."""
        if self.settings.engine == "ocr":
            return ()
        specs = [host.spec for host in await self._chats.running()]
        return tuple(sorted(specs, key=lambda spec: spec.plan.variant != self._preferred))

    def forget_choice(self) -> None:
        """The machine has changed: weights came, a model was unloaded."""
        self._chosen = None

    async def hosts(self) -> tuple[HostState, ...]:
        """The models that are up now."""
        return await self._chats.running()

    async def hardware(self) -> Hardware:
        return await to_thread.run_sync(self._machine.hardware)

    async def plan(self, variant: str | None) -> Plan:
        """What would run were its weights here. Raises VisionError."""
        return await to_thread.run_sync(self._machine.plan, variant)

    async def preload(self, variant: str | None) -> HostSpec:
        """Starts the chosen model, or the variant named, which then answers; it goes on loading by itself.

        Raises VisionError: no such variant, no weights, not enough memory, no model at all.
        """
        if variant is None:
            choice = await self.choice()
        else:
            choice = await to_thread.run_sync(self._machine.choose, await self._specs(), variant)
        spec = self._spec(choice)
        await self._chats.connect(spec)
        self._preferred = spec.plan.variant
        self.forget_choice()
        return spec

    async def unload(self, variant: str | None) -> tuple[HostSpec, ...]:
        """Ends the models that are up (or the one named), and says which: their memory is free again."""
        up = [host.spec for host in await self._chats.running()]
        wanted = [spec for spec in up if variant is None or spec.plan.variant == variant]
        ended = [spec for spec in wanted if await self._chats.end(spec)]
        self.forget_choice()
        return tuple(ended)

    def tiles(self, choice: Choice, wanted: int, pictures: int = 1, words: int = 0) -> int:
        """Tiles for each of so many pictures, within the plan, the setting and the context.

        `words`: tokens of what else the prompt holds beside a short question. Raises EngineUnavailable without a model.
        """
        if choice.plan is None:
            raise _no_model(choice)
        room = choice.plan.context - self.settings.max_answer_tokens - _WORDS_TOKENS - words
        most = min(self.settings.max_tiles, choice.plan.max_tiles)
        wanted = min(wanted, most) if pictures == 1 else wanted
        return tiles_each(wanted, pictures, most=most, room=room)

    async def ask(self, call: Call, prompt: Prompt, *, share: float = 1.0) -> Answer:
        """Asks the model and tells `call.progress` what it does. With `share`, only that much of the time left is used.

        Stops in time for the reply: with what was said so far, or with a notice and no text. Where the settings demand
        InternVL, no text is an error instead: ModelLoading or LimitExceeded. Out of memory is tried again with less,
        twice at most, and then raised; so is every other VisionError of the model's.
        """
        choice = await self.choice()
        spec = self._spec(choice)
        notices: list[str] = []
        if self.settings.thinking and not can_think(spec.plan.variant):
            notices.append(f"{spec.plan.variant} was not trained to think: it answered at once (setting thinking).")
        until_s = call.elapsed_s + share * max(0.0, call.left_s - min(_MARGIN_S, _MARGIN_SHARE * call.reply_within_s))
        for attempt in range(_MOST_RETRIES + 1):
            try:
                hearing = await self._hear(call, spec, prompt, until_s)
                return self._answer(hearing, choice, prompt, notices)
            except OutOfMemory:
                less = prompt.lighter()
                if less is None or attempt == _MOST_RETRIES:
                    self.forget_choice()  # less is free than it was thought
                    raise
                prompt, how = less
                notices.append(f"The memory did not suffice: {how}.")
        raise AssertionError("the last attempt returns or raises")

    async def _hear(self, call: Call, spec: HostSpec, prompt: Prompt, until_s: float) -> Hearing:
        hearing = Hearing(call, spec.plan.variant, within_s=max(0.0, until_s - call.elapsed_s))
        with anyio.move_on_after(hearing.within_s):
            chat = await self._chats.connect(spec)
            async with aclosing(chat.ask(self._request(spec, prompt))) as events:
                await hearing.listen(events)
        return hearing

    def _request(self, spec: HostSpec, prompt: Prompt) -> Ask:
        thinking = self.settings.thinking and can_think(spec.plan.variant)
        system = system_prompt(spec.plan.variant, thinking=thinking)
        sampling = (
            {"temperature": _THINKING_TEMPERATURE, "top_p": _THINKING_TOP_P, "seed": _THINKING_SEED} if thinking else {}
        )
        return Ask(
            messages=(Message(role="system", parts=(TextPart(text=system),)), *prompt.messages),
            max_tokens=self.settings.max_answer_tokens,
            max_tiles=prompt.max_tiles,
            **sampling,
        )

    def _answer(self, hearing: Hearing, choice: Choice, prompt: Prompt, notices: list[str]) -> Answer:
        finished = hearing.finished
        text = clean(hearing.text)
        if finished is None and not text:
            notices.append(self._nothing_yet(hearing))
        elif finished is None:
            notices.append(
                "The time for a reply ended before the answer did: ask for less, or raise reply_within_s on the server."
            )
        elif not text:
            notices.append("The model gave no answer: ask again in other words.")
        elif finished.reason == "length":
            notices.append("The answer was cut at the longest allowed (setting max_answer_tokens).")
        elif finished.reason == "repetition":
            notices.append("The answer was stopped because the model repeated itself.")
        return Answer(
            text=text or None,
            raw=hearing.text,
            finish=finished.reason if finished else "time",
            usage=finished.usage if finished else Usage(),
            notices=tuple(notices),
            choice=choice,
            prompt=prompt,
        )

    def _nothing_yet(self, hearing: Hearing) -> str:
        """The notice for no text within the time. Raises instead where the settings demand InternVL."""
        if hearing.stage is None and hearing.within_s < _LEAST_S:
            happened = "reading took all the time of the reply"
            hint = "Ask about less at a time, or raise reply_within_s on the server."
            error = LimitExceeded(happened, hint)
        elif hearing.stage is None:
            happened = "the model's process is still starting"
            hint = "Ask again in a little while: it goes on loading."
            error = ModelLoading(happened, hint)
        elif hearing.loading:
            happened = f"the model is still being loaded ({hearing.loaded_percent} %)"
            hint = "Ask again in a little while: it goes on loading."
            error = ModelLoading(happened, hint)
        else:
            happened = f"the model had no time to answer (it was at: {hearing.state()})"
            hint = "Ask again: what it has seen is kept. Less detail is faster; reply_within_s gives it more time."
            error = LimitExceeded(happened, hint)
        if self.settings.engine == "internvl":
            raise error
        return f"No answer of the model: {happened}. {hint}"

    def _spec(self, choice: Choice) -> HostSpec:
        if choice.plan is None or choice.folder is None:
            raise _no_model(choice)
        return HostSpec(plan=choice.plan, folder=choice.folder, idle_unload_s=self.settings.idle_unload_s)


def _no_model(choice: Choice) -> EngineUnavailable:
    return EngineUnavailable(choice.reason, choice.advice or "See what is missing with: internvl-mcp doctor")
