"""get_result: what came of a call that was not done when its reply was due. The server, which has the jobs, runs it."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from tools.result import ToolResult
from tools.tool import Parameters, Tool


class GetResultParameters(Parameters):
    job_id: Annotated[str, Field(min_length=1, max_length=100, description="From the reply of a call that goes on")]
    wait_s: Annotated[
        float,
        Field(ge=0, le=3_600, description="Waits so long for the result, and no longer than a reply may take"),
    ] = 30.0
    cancel: Annotated[bool, Field(description="Ends the work instead: there is no result then")] = False


class GetResultResult(ToolResult):
    """The result of the tool that was called, with all of its own fields."""

    model_config = ConfigDict(frozen=True, extra="allow")


TOOL = Tool(
    name="get_result",
    title="Get the result of a long call",
    description=(
        "Gives the result of an earlier call that replied with a `job_id`, or how far it is: call it again until the "
        "result comes. The work goes on meanwhile, and after a restart of the server it begins again. `cancel` ends it."
    ),
    parameters=GetResultParameters,
    result=GetResultResult,
    run=None,
    reads_network=False,
)
