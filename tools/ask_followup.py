"""ask_followup: the next question about what was seen. A model goes on from its answers; where none has answered, or
none is there, the tool that saw it looks again with the new question.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tools import (
    analyze_video,
    answer_chart,
    describe_image,
    extract_data,
    extract_text,
    locate_objects,
    read_document,
)
from tools.asking import spoken
from tools.common import needs_model
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Asked, Call
from vision.conversations import Conversation
from vision.engine.choice import Choice
from vision.errors import InvalidArgument, PasswordRequired
from vision.prompts.followup import follow_up
from vision.retaking import arguments_here, expecting, messages_again, sources_of, unchanged
from vision.service import VisionService

_SEEING: dict[str, Tool] = {
    module.TOOL.name: module.TOOL
    for module in (
        describe_image,
        extract_text,
        read_document,
        answer_chart,
        analyze_video,
        locate_objects,
        extract_data,
    )
}
_AS_TARGET = "The question was looked for as the text that it is: give only what is to be found."
# Of locate_objects' target.
_MOST_TARGET_CHARACTERS = 500


class AskFollowupParameters(Parameters):
    conversation_id: Annotated[str, Field(min_length=1, max_length=100, description="From a result of another tool")]
    question: Annotated[str, Field(min_length=1, description="The next question, in your language")]


class AskFollowupResult(ToolResult):
    """Where the embedded engine answers, with all fields of the tool that looked again."""

    model_config = ConfigDict(frozen=True, extra="allow")

    turn: int = Field(description="questions asked in this conversation, this one included")


async def run(service: VisionService, parameters: AskFollowupParameters, call: Call) -> AskFollowupResult:
    before = await service.conversations.get(call.owner, parameters.conversation_id)
    choice = await service.engine.choice()
    if before.messages and choice.model is not None:
        return await _next_turn(service, before, parameters.question, call)
    return await _looked_again(service, before, parameters.question, choice, call)


async def _next_turn(service: VisionService, before: Conversation, question: str, call: Call) -> AskFollowupResult:
    """The model's answer after all it has said before."""
    messages = await messages_again(service, call, before)
    said = await service.engine.ask(call, follow_up(messages, question, before.max_tiles))
    sources = [SourceFacts.model_validate(source) for source in before.sources]
    goes_on = replace(call, asked=Asked(before.tool, before.arguments, before))
    added = await spoken(service, goes_on, said, sources)
    if added.engine.variant not in (None, before.variant):
        added = added.noting(f"The earlier answers are {before.variant}'s, this one is {added.engine.variant}'s.")
    return AskFollowupResult(
        **added.shared(),
        sources=tuple(sources),
        used=Used(tiles=added.tiles),
        truncated=added.truncated,
        notices=added.notices,
        timings_ms={"total": round(call.elapsed_s * 1000)},
        turn=before.turns + 1,
    )


async def _looked_again(
    service: VisionService, before: Conversation, question: str, choice: Choice, call: Call
) -> AskFollowupResult:
    """What the tool gives for the question: the model's answer where there is one now, else what can be read."""
    tool, arguments, notices = _question_for(before, arguments_here(service, call, before), question, choice)
    assert tool.run is not None
    asked = Asked(tool.name, arguments, before)
    call = replace(expecting(service, call, before), asked=asked)
    await unchanged(service, call, arguments)
    try:
        found = await tool.run(service, tool.parameters.model_validate(arguments), call)
    except PasswordRequired as e:
        hint = f"A password is not kept over a restart: ask again with {before.tool}, and pass it there."
        raise PasswordRequired(e.message, hint) from e
    if found.next_cursor is not None:
        notices.append(f"next_cursor is {tool.name}'s: pass it there, with the source.")
    known = {source["sha256"]: source for source in before.sources}
    values: dict[str, Any] = found.model_dump()
    values["sources"] = [known.get(source.sha256, source) for source in found.sources]
    values["notices"] = (*found.notices, *notices)
    return AskFollowupResult.model_validate({**values, "turn": before.turns + 1})


def _question_for(
    before: Conversation, arguments: dict[str, Any], question: str, choice: Choice
) -> tuple[Tool, dict[str, Any], list[str]]:
    """The tool that a question is for, its arguments, and what should be known about the answer."""
    tool = _SEEING[before.tool]
    if "question" in tool.parameters.model_fields:
        return tool, {**arguments, "question": question}, []
    if choice.model is not None or tool is extract_data.TOOL:
        return _for_model(before, arguments, question)
    if tool is extract_text.TOOL:
        return tool, arguments, [needs_model(choice)]
    if len(question) > _MOST_TARGET_CHARACTERS:
        raise InvalidArgument(
            f"the question has {len(question)} characters; a text to find may have {_MOST_TARGET_CHARACTERS}",
            "Without a model this conversation finds text only: give the text to find.",
        )
    return tool, {**arguments, "target": question}, [_AS_TARGET]


def _for_model(
    before: Conversation, arguments: dict[str, Any], question: str
) -> tuple[Tool, dict[str, Any], list[str]]:
    """What was read, found or extracted without a question: it is asked where the pictures or pages are shown."""
    (source,) = sources_of(arguments)
    facts = before.sources[0]
    if facts["kind"] == "image" and (facts["pages"] or 1) == 1:
        kept = {name: arguments[name] for name in ("region",) if name in arguments}
        return describe_image.TOOL, {"sources": [source], "question": question, **kept}, []
    kept = {name: arguments[name] for name in ("pages", "password") if name in arguments}
    return read_document.TOOL, {"source": source, "question": question, **kept}, []


TOOL = Tool(
    name="ask_followup",
    title="Ask more about what was seen",
    description=(
        "Asks the next question about the pictures, pages or frames of an earlier result, by its `conversation_id`. "
        "Faster than asking anew: what was computed for the pictures is used again, and the earlier turns are known. "
        "Without a model, the tool that saw them looks again: for what can be read, `answer` stays null."
    ),
    parameters=AskFollowupParameters,
    result=AskFollowupResult,
    run=run,
)
