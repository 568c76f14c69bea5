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
from vision.engine.chats import ChatSource, HostState, Remote
from vision.engine.choice import Choice, Machine, Model, served
from vision.engine.hearing import Hearing
from vision.errors import EngineUnavailable, LimitExceeded, ModelLoading, OutOfMemory, VisionError
from vision.prompts.prompt import Prompt, tiles_each
from vision.prompts.system import can_think, system_prompt
from vision.remote.refusal import PromptTooLong
from vision.remote.servers import EndpointState
from vision.serving.servers import TITLES
from vision.serving.types import ServingPlan
from vision.variants.hardware import Hardware
from vision.variants.plan import Plan
from vision.weights.job import Download

# The machine is looked at again after so long: weights may have come, memory may have been freed.
_CHOICE_HOLDS_S = 10.0
# What is left of the work's time when the model is stopped: room for putting the result together.
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

    def __init__(
        self, settings: Settings, machine: Machine, chats: ChatSource, downloads: Fetcher, remote: Remote
    ) -> None:
        self.settings = settings
        self.downloads = downloads
        self._machine = machine
        self._chats = chats
        self._remote = remote
        self._chosen: tuple[Choice, float] | None = None
        self._choosing = anyio.Lock()
        self._preferred: str | None = None

    async def choice(self) -> Choice:
        """What answers now: the endpoints, a host that is up, this machine, the embedded engine, in this order.

        Raises VisionError where the settings demand a model and it cannot be had.
        """
        async with self._choosing:
            now = time.monotonic()
            if self._chosen is None or now - self._chosen[1] > _CHOICE_HOLDS_S:
                choice = await self._choose()
                self._chosen = (choice, time.monotonic())
            return self._chosen[0]

    async def _choose(self) -> Choice:
        settings = self.settings
        if settings.engine != "remote" and not (settings.engine == "auto" and settings.endpoints):
            return await to_thread.run_sync(self._machine.choose, await self._specs())
        try:
            return served(await self._remote.model())
        except VisionError as e:
            if not settings.fallback:
                raise
            why = f"the endpoint cannot answer ({e.message}), and the setting fallback is on"
            if settings.engine == "remote":
                return Choice(name="ocr", reason=why, advice=e.hint)
        choice = await to_thread.run_sync(self._machine.choose, await self._specs())
        return choice.model_copy(update={"reason": f"{why}; {choice.reason}"})

    async def _specs(self) -> tuple[HostSpec, ...]:
        """What the hosts that are up were started with, the one that was asked for by name first."""
        if self.settings.engine in ("ocr", "remote"):
            return ()
        specs = [host.spec for host in await self._chats.running()]
        return tuple(sorted(specs, key=lambda spec: spec.plan.variant != self._preferred))

    def forget_choice(self) -> None:
        """The machine has changed: weights came, a model was unloaded."""
        self._chosen = None

    async def hosts(self) -> tuple[HostState, ...]:
        """The models that are up now."""
        return await self._chats.running()

    async def endpoints(self) -> tuple[EndpointState, ...]:
        """How the servers are that the setting endpoints names, asked now."""
        return await self._remote.status() if self.settings.endpoints else ()

    async def hardware(self) -> Hardware:
        return await to_thread.run_sync(self._machine.hardware)

    async def plan(self, variant: str | None) -> Plan | ServingPlan:
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
        if choice.remote is not None:
            raise EngineUnavailable(
                f"the model is served at {choice.remote.url}: there is nothing to load here",
                "It answers already. For a model on this machine, leave endpoints out (engine internvl).",
            )
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
        model = choice.model
        if model is None:
            raise _no_model(choice)
        room = model.context - self.settings.max_answer_tokens - _WORDS_TOKENS - words
        most = min(self.settings.max_tiles, model.max_tiles)
        wanted = min(wanted, most) if pictures == 1 else wanted
        return tiles_each(wanted, pictures, most=most, room=room)

    async def ask(self, call: Call, prompt: Prompt, *, share: float = 1.0) -> Answer:
        """Asks the model and tells `call.progress` what it does. With `share`, only that much of the time left is used.

        Stops when the time for the work ends: with what was said so far, or with a notice and no text. Where the
        settings demand a model, no text is an error instead: ModelLoading or LimitExceeded. Out of memory, or longer
        than a server takes, is tried again with less, twice at most, and then raised; so is every other VisionError of
        the model's.
        """
        choice = await self.choice()
        model = choice.model
        if model is None:
            raise _no_model(choice)
        notices: list[str] = []
        if self.settings.thinking and prompt.json_schema is not None:
            notices.append(f"{model.variant} did not think: its answer is held to the schema from the first sign on.")
        elif self.settings.thinking and not _thinks(model):
            notices.append(f"{model.variant} was not trained to think: it answered at once (setting thinking).")
        until_s = call.elapsed_s + share * max(0.0, call.left_s - min(_MARGIN_S, _MARGIN_SHARE * call.within_s))
        for attempt in range(_MOST_RETRIES + 1):
            try:
                hearing = await self._hear(call, choice, prompt, until_s)
                return self._answer(hearing, choice, prompt, notices)
            except (OutOfMemory, PromptTooLong) as e:
                self.forget_choice()  # less is free, or taken, than it was thought
                less = _lighter(prompt, e)
                if less is None or attempt == _MOST_RETRIES:
                    raise
                prompt, how = less
                what = "memory did not suffice" if isinstance(e, OutOfMemory) else "server takes no more"
                notices.append(f"The {what}: {how}.")
            except VisionError:
                if choice.remote is not None:
                    self.forget_choice()
                raise
        raise AssertionError("the last attempt returns or raises")

    async def _hear(self, call: Call, choice: Choice, prompt: Prompt, until_s: float) -> Hearing:
        model = choice.model
        assert model is not None
        within_s = max(0.0, until_s - call.elapsed_s)
        starts = TITLES[choice.plan.server] if isinstance(choice.plan, ServingPlan) else model.variant
        hearing = Hearing(call, model.variant, within_s, starts=starts, remote=choice.remote is not None)
        with anyio.move_on_after(within_s):
            chat = self._remote if choice.remote is not None else await self._chats.connect(self._spec(choice))
            async with aclosing(chat.ask(self._request(model, prompt))) as events:
                await hearing.listen(events)
        return hearing

    def _request(self, model: Model, prompt: Prompt) -> Ask:
        thinking = self.settings.thinking and _thinks(model) and prompt.json_schema is None
        system = system_prompt(model.variant, thinking=thinking)
        # InternVL's system prompt says who it is; another model is left with its own.
        first = (Message(role="system", parts=(TextPart(text=system),)),) if model.internvl else ()
        sampling = (
            {"temperature": _THINKING_TEMPERATURE, "top_p": _THINKING_TOP_P, "seed": _THINKING_SEED} if thinking else {}
        )
        return Ask(
            messages=(*first, *prompt.messages),
            max_tokens=self.settings.max_answer_tokens,
            max_tiles=prompt.max_tiles,
            json_schema=prompt.json_schema,
            **sampling,
        )

    def _answer(self, hearing: Hearing, choice: Choice, prompt: Prompt, notices: list[str]) -> Answer:
        finished = hearing.finished
        text = clean(hearing.text)
        if finished is None and not text:
            notices.append(self._nothing_yet(hearing))
        elif finished is None:
            notices.append(
                "The time for the work ended before the answer did: ask for less, or raise job_within_s on the server."
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
        """The notice for no text within the time. Raises instead where the settings demand a model."""
        if hearing.stage is None and hearing.within_s < _LEAST_S:
            happened = "reading took all the time there was"
            hint = "Ask about less at a time, or raise job_within_s on the server."
            error = LimitExceeded(happened, hint)
        elif hearing.stage is None and hearing.remote:
            happened = f"the model's server sent nothing within {hearing.within_s:.0f} s"
            hint = "Ask about less, see how the server is with manage_model, or raise job_within_s on this one."
            error = LimitExceeded(happened, hint)
        elif hearing.stage is None:
            happened = "the model's process is still starting"
            hint = "Ask again in a little while: it goes on loading."
            error = ModelLoading(happened, hint)
        elif hearing.starting:
            happened = f"{hearing.starts} is still starting ({hearing.stage.done} s so far)"
            hint = "Ask again in a little while: it goes on loading."
            error = ModelLoading(happened, hint)
        elif hearing.loading:
            happened = f"the model is still being loaded ({hearing.loaded_percent} %)"
            hint = "Ask again in a little while: it goes on loading."
            error = ModelLoading(happened, hint)
        else:
            happened = f"the model had no time to answer (it was at: {hearing.state()})"
            hint = "Ask again: what it has seen is kept. Less detail is faster; job_within_s gives it more time."
            error = LimitExceeded(happened, hint)
        if self.settings.engine not in ("auto", "ocr") and not self.settings.fallback:
            raise error
        return f"No answer of the model: {happened}. {hint}"

    def _spec(self, choice: Choice) -> HostSpec:
        if choice.plan is None or choice.folder is None:
            raise _no_model(choice)
        return HostSpec(plan=choice.plan, folder=choice.folder, idle_unload_s=self.settings.idle_unload_s)


def _thinks(model: Model) -> bool:
    return model.internvl and can_think(model.variant)


def _lighter(prompt: Prompt, error: OutOfMemory | PromptTooLong) -> tuple[Prompt, str] | None:
    """The question with less to look at, and how that is told; None where nothing can be left out.

    Where the server says how many pictures it takes, as often as it needs to come down to so many.
    """
    less = prompt.lighter()
    most = error.max_pictures if isinstance(error, PromptTooLong) else None
    while most is not None and less is not None and less[0].pictures > most:
        fewer = less[0].lighter()
        less = fewer if fewer is not None and fewer[0].pictures < less[0].pictures else None
    return less


def _no_model(choice: Choice) -> EngineUnavailable:
    return EngineUnavailable(choice.reason, choice.advice or "See what is missing with: internvl-mcp doctor")
