"""Asking the model on behalf of a tool, and what that adds to the tool's result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tools.paging import split_text, tokens_of
from tools.result import EngineUsed, SourceFacts
from vision.call import Asked, Call
from vision.chat.types import Message
from vision.conversations import Conversation, Kept
from vision.engine.answer import Answer
from vision.engine.choice import Choice
from vision.errors import VisionError
from vision.prompts.prompt import Prompt
from vision.retaking import for_later
from vision.service import VisionService

_EMBEDDED = "the embedded engine: it reads text and measures pixels"
# Of a reply's tokens: kept for the model's answer with its evidence, and the answer's own.
_ROOM_SHARE, _ANSWER_SHARE = 0.4, 0.3
_EVIDENCE_TOKENS = 500
_ANSWER_CUT = "The answer is longer than fits in a reply: ask for less."
_NOT_KEPT = "What was asked about is too large to be kept: ask_followup cannot go on from here."
_APART = (
    "Another question came to the conversation while this one was answered: this answer goes on in one of its own, "
    "whose conversation_id is new."
)
_NOT_LASTING = "This conversation will not outlive a restart of the server: it is too large, or cannot be written."


@dataclass(frozen=True)
class Spoken:
    """What the model, or its absence, adds to a result. `said`: the answer, None where there is none."""

    engine: EngineUsed
    said: Answer | None = None
    text: str | None = None
    conversation_id: str | None = None
    notices: tuple[str, ...] = ()
    truncated: bool = False

    @property
    def tiles(self) -> int | None:
        return self.said.usage.tiles or None if self.said else None

    @property
    def tokens(self) -> int:
        """What it costs in a reply, about: answer, evidence and notices."""
        evidence = _EVIDENCE_TOKENS if self.seen else 0
        return tokens_of(self.text or "") + tokens_of(self.notices) + evidence

    @property
    def seen(self) -> bool:
        """Whether the model said something."""
        return self.said is not None and self.said.text is not None

    def noting(self, *notices: str) -> Spoken:
        return replace(self, notices=(*self.notices, *notices))

    def without_text(self) -> Spoken:
        """The same, where what was said is in the result in another form."""
        return replace(self, text=None)

    def shared(self) -> dict[str, Any]:
        """The fields of a result that are the same for every tool."""
        return {"answer": self.text, "engine": self.engine, "conversation_id": self.conversation_id}


def embedded(choice: Choice, why: str | None = None) -> EngineUsed:
    """The embedded engine, and why it was it: `why`, else the choice's own reason."""
    return EngineUsed(name="ocr", reason=f"{_EMBEDDED}; {why or choice.says}")


def engine_used(choice: Choice) -> EngineUsed:
    model = choice.model
    if model is None:
        return embedded(choice)
    return EngineUsed(
        name=choice.name,
        variant=model.variant,
        revision=model.revision,
        quantisation=model.quantisation,
        reason=choice.says,
    )


async def silent(service: VisionService, call: Call, choice: Choice, sources: Sequence[SourceFacts]) -> Spoken:
    """Of a result for which the model was not asked. Its conversation can be gone on with, by a model or without."""
    why = None if choice.model is None else f"it sufficed, {choice.model.variant} was not asked"
    return await _without_answer(service, call, Spoken(embedded(choice, why)), sources)


def answer_room(choice: Choice, tokens: int) -> int:
    """What of a reply's tokens is kept for the model's answer and its evidence."""
    return int(tokens * _ROOM_SHARE) if choice.model is not None else 0


async def ask(
    service: VisionService, call: Call, prompt: Prompt, sources: Sequence[SourceFacts], *, share: float = 1.0
) -> Spoken:
    """Asks, keeps the conversation, cuts the answer to what a reply may give to it.

    Raises what the engine raises, unless the setting fallback leaves the result to the embedded engine.
    """
    if service.settings.fallback:
        return await try_to_ask(service, call, prompt, sources, share=share)
    return await _asked(service, call, prompt, sources, share)


async def _asked(
    service: VisionService, call: Call, prompt: Prompt, sources: Sequence[SourceFacts], share: float
) -> Spoken:
    said = await service.engine.ask(call, prompt, share=share)
    return await spoken(service, call, said, sources)


async def try_to_ask(
    service: VisionService, call: Call, prompt: Prompt, sources: Sequence[SourceFacts], *, share: float = 1.0
) -> Spoken:
    """As `ask`, for what the model only adds to a result that stands without it: its error becomes a notice."""
    try:
        return await _asked(service, call, prompt, sources, share)
    except VisionError as error:
        failed = Spoken(
            EngineUsed(name="ocr", reason=f"{_EMBEDDED}; the model was asked and failed: {error.message}"),
            notices=(f"The model failed: {error.message}. {error.hint}",),
        )
        return await _without_answer(service, call, failed, sources)


async def spoken(service: VisionService, call: Call, said: Answer, sources: Sequence[SourceFacts]) -> Spoken:
    """What an answer adds to a result; its conversation goes on, or begins. Where there is no answer, one that went
    before stays as it was, to be asked again.
    """
    model = said.choice.model
    assert model is not None  # there is no answer without a model
    if said.text is None:
        nothing = Spoken(embedded(said.choice, f"{model.variant} gave no answer"), said, notices=said.notices)
        if call.asked is None or call.asked.before is None:
            return await _without_answer(service, call, nothing, sources)
        return replace(nothing, conversation_id=call.asked.before.id)
    kept = await _kept(service, call, sources, said.messages, said.prompt.max_tiles, model.variant)
    room = int(service.settings.max_reply_tokens * _ANSWER_SHARE)
    text, rest = (said.text, "") if tokens_of(said.text) <= room else split_text(said.text, room)
    notices = (*said.notices, *([_ANSWER_CUT] if rest else []), *_notices(kept))
    return Spoken(engine_used(said.choice), said, text, kept.id, notices, said.truncated or bool(rest))


async def _without_answer(service: VisionService, call: Call, spoken: Spoken, sources: Sequence[SourceFacts]) -> Spoken:
    """With the conversation about what the embedded engine saw. That it may not outlive a restart is not worth a
    notice: the same tool sees the same again.
    """
    kept = await _kept(service, call, sources)
    notices = [notice for notice in _notices(kept) if notice != _NOT_LASTING]
    return replace(spoken.noting(*notices), conversation_id=kept.id)


async def _kept(
    service: VisionService,
    call: Call,
    sources: Sequence[SourceFacts],
    messages: tuple[Message, ...] = (),
    max_tiles: int = 1,
    variant: str | None = None,
) -> Kept:
    """Keeps the conversation with this turn; what a model has said in it before stays where none has answered now."""
    asked = call.asked
    if asked is None:
        return Kept(None, True)
    conversation = _begun(service, call, asked, sources)
    if asked.before is not None:
        conversation = replace(asked.before, turns=asked.before.turns + 1)
    if messages:
        said = {"messages": messages, "max_tiles": max_tiles, "variant": variant, "from_disk": False}
        conversation = replace(conversation, **said)
    return await service.conversations.keep(call.owner, conversation)


def _begun(service: VisionService, call: Call, asked: Asked, sources: Sequence[SourceFacts]) -> Conversation:
    facts = tuple(source.model_dump(mode="json") for source in sources)
    arguments, digests = for_later(service, call, asked.arguments, {source.sha256 for source in sources})
    return Conversation(asked.tool, arguments, facts, call.working_directory or service.working_directory, digests)


def _notices(kept: Kept) -> tuple[str, ...]:
    if kept.id is None and not kept.lasts:
        return (_NOT_KEPT,)
    return (*([_APART] if kept.apart else []), *([] if kept.lasts else [_NOT_LASTING]))
