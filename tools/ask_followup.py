"""ask_followup: the next question about what a model has already seen."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tools.asking import spoken
from tools.result import SourceFacts, ToolResult, Used
from tools.tool import Parameters, Tool
from vision.call import Call
from vision.conversations import Conversation
from vision.errors import SourceUnreadable
from vision.prompts.followup import follow_up
from vision.service import VisionService


class AskFollowupParameters(Parameters):
    conversation_id: Annotated[str, Field(min_length=1, max_length=100, description="From a result of another tool")]
    question: Annotated[str, Field(min_length=1, description="The next question, in your language")]


class AskFollowupResult(ToolResult):
    turn: int = Field(description="questions asked in this conversation, this one included")


async def run(service: VisionService, parameters: AskFollowupParameters, call: Call) -> AskFollowupResult:
    before = await service.conversations.get(call.owner, parameters.conversation_id)
    if before.from_disk:
        await _check_sources(service, before, call)
    said = await service.engine.ask(call, follow_up(before.messages, parameters.question, before.max_tiles))
    sources = [SourceFacts.model_validate(source) for source in before.sources]
    # Without an answer the conversation stays as it was, to be asked again.
    added = await spoken(service, call, said, sources, parameters.conversation_id)
    if added.engine.variant not in (None, before.variant):
        added = added.noting(f"The earlier answers are {before.variant}'s, this one is {added.engine.variant}'s.")
    return AskFollowupResult(
        **{**added.shared(), "conversation_id": added.conversation_id or _still(added.seen, parameters)},
        sources=tuple(sources),
        used=Used(tiles=added.tiles),
        truncated=added.truncated,
        notices=added.notices,
        timings_ms={"total": round(call.elapsed_s * 1000)},
        turn=before.turns + 1,
    )


async def _check_sources(service: VisionService, before: Conversation, call: Call) -> None:
    """Files that an earlier server saw must be readable now, and the same. Raises AccessDenied, SourceNotFound,
    SourceUnreadable for one that has changed. Addresses are not fetched again: what was seen of them was kept.
    """
    for source in before.sources:
        name = source["name"]
        if name in ("data:", "clipboard") or name.startswith(("http://", "https://")):
            continue
        place = name if name.startswith(("~", "file:")) else str(before.folder / name)
        with await service.open(place, call) as media:
            if media.opened.sha256 != source["sha256"]:
                raise SourceUnreadable(
                    f"{name} has changed since it was seen", "Ask about it again with the tool that saw it."
                )


def _still(answered: bool, parameters: AskFollowupParameters) -> str | None:
    """The conversation as it was before, where nothing was added to it."""
    return None if answered else parameters.conversation_id


TOOL = Tool(
    name="ask_followup",
    title="Ask more about what was seen",
    description=(
        "Asks the next question about the pictures, pages or frames of an earlier result, by its `conversation_id`. "
        "Faster than asking anew: what was computed for the pictures is used again, and the earlier turns are known."
    ),
    parameters=AskFollowupParameters,
    result=AskFollowupResult,
    run=run,
    reads_network=False,
)
