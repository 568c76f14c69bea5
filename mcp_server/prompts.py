"""Prompts for common jobs: texts that a person picks in the client, and that tell the model which tools to call how.

A prompt is words alone: nothing is opened or looked at when one is fetched. Calls stand in the text as the tool's name
with its arguments as JSON, which keeps whatever a person typed inside its quotes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mcp_types as types
from mcp.shared.exceptions import MCPError

_LONGEST_VALUE = 4_000
_SOURCE = "File path, https URL, data: URI, or the word clipboard."
_PAGES = 'Pages such as "1-5,9"; all when left out.'
_SECONDS = "Seconds from the beginning; the whole video when left out."
# What holds for every job, whichever engine answers.
_RULES = (
    "When a reply has a `job_id` and no result yet, call `get_result` with that id until the result comes. Use only "
    "what the results say. Pass on what `notices` and `unsupported` hold against it, and when `answer` is null, work "
    "from the texts, boxes and measures that came with it and say so."
)


@dataclass(frozen=True)
class Argument:
    """What a person may fill in. `choices`: the values it takes, any when empty; `variant`: it names an InternVL."""

    name: str
    description: str
    required: bool = False
    choices: tuple[str, ...] = ()
    variant: bool = False

    def listed(self) -> types.PromptArgument:
        one_of = f" One of: {', '.join(self.choices)}." if self.choices else ""
        return types.PromptArgument(name=self.name, description=self.description + one_of, required=self.required)


@dataclass(frozen=True)
class JobPrompt:
    """`text` gets the checked values by name; those left out are not there."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    text: Callable[[Mapping[str, str]], str]

    def listed(self) -> types.Prompt:
        return types.Prompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=[argument.listed() for argument in self.arguments],
        )

    def argument(self, name: str) -> Argument:
        """Raises MCPError (-32602) for a name that is not its own."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        known = ", ".join(argument.name for argument in self.arguments)
        raise MCPError(types.INVALID_PARAMS, f"{self.name} has no argument {name[:100]!r}. It takes: {known}.")


def listed() -> list[types.Prompt]:
    """Every prompt, in the order in which clients show them."""
    return [prompt.listed() for prompt in PROMPTS]


def named(name: str) -> JobPrompt:
    """Raises MCPError (-32602) for an unknown name."""
    for prompt in PROMPTS:
        if prompt.name == name:
            return prompt
    known = ", ".join(prompt.name for prompt in PROMPTS)
    raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name[:100]}. The prompts are: {known}.")


def filled_in(name: str, values: Mapping[str, str]) -> types.GetPromptResult:
    """The prompt with a person's values. Raises MCPError (-32602) that names the argument which is wrong."""
    prompt = named(name)
    text = prompt.text(_checked(prompt, values))
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(description=prompt.description, messages=[message])


def _checked(prompt: JobPrompt, values: Mapping[str, str]) -> dict[str, str]:
    """Clients that show a form send empty fields too: those were left out."""
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    for name, value in given.items():
        argument = prompt.argument(name)
        if len(value) > _LONGEST_VALUE:
            raise MCPError(types.INVALID_PARAMS, f"{name}: longer than {_LONGEST_VALUE} characters.")
        if argument.choices and value not in argument.choices:
            one_of = ", ".join(argument.choices)
            raise MCPError(types.INVALID_PARAMS, f"{name}: {value[:100]!r} is none of {one_of}.")
    for argument in prompt.arguments:
        if argument.required and argument.name not in given:
            raise MCPError(types.INVALID_PARAMS, f"{prompt.name} needs {argument.name}: {argument.description}")
    return given


def _call(tool: str, **arguments: object) -> str:
    """A call as the text shows it; arguments that were left out are None."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return f"`{tool}` with `{json.dumps(given, ensure_ascii=False)}`"


def _transcribe(values: Mapping[str, str]) -> str:
    source, pages = values["source"], values.get("pages")
    form = values.get("format", "markdown")
    return f"""\
Transcribe {json.dumps(source, ensure_ascii=False)}, word for word.

1. For a PDF, a scan or another document call {_call("read_document", source=source, pages=pages, format=form)}. For \
a picture or a screenshot call {_call("extract_text", source=source)}.
2. While a result has a `next_cursor`, call the same tool again with it as `cursor`, and join the parts.
3. Give the transcription and nothing else, in the order read, headings, lists and tables kept. Correct nothing, \
translate nothing and leave nothing out. Put [?] behind a word whose line has a `confidence` below 0.75.
4. After it, in a line of its own, tell which pages could not be read, if any.

{_RULES}"""


def _table_to_csv(values: Mapping[str, str]) -> str:
    source, pages = values["source"], values.get("pages")
    which = f"the table about {json.dumps(values['which'], ensure_ascii=False)}" if "which" in values else "each table"
    separator = values.get("separator", "comma")
    return f"""\
Give {which} in {json.dumps(source, ensure_ascii=False)} as CSV.

1. For a PDF, a scan or another document call {_call("read_document", source=source, pages=pages, format="json")}: \
`tables` of each page has the rows. For a picture or a screenshot of a table call \
{_call("extract_text", source=source)}. For a chart call {_call("answer_chart", source=source, output="table")}.
2. While a result has a `next_cursor`, call the same tool again with it as `cursor`: a long table goes on there.
3. Write one CSV block a table: the header row first, a {separator} between fields, fields with a {separator}, a \
quote or a line break in double quotes. Keep every number and word as it stands; an empty cell stays empty.
4. Check that each row has as many fields as the header. Name the cells you are not sure of under the block.

{_RULES}"""


def _compare_screenshots(values: Mapping[str, str]) -> str:
    before, after = values["before"], values["after"]
    focus = values.get("focus")
    question = "What differs between the two screenshots?"
    if focus is not None:
        question = f"{question} Look at: {focus}"
    return f"""\
Compare two screenshots, the one before and the one after a change: {json.dumps([before, after], ensure_ascii=False)}.

1. Call {_call("describe_image", sources=[before, after], question=question)}. If the sizes differ, say so first.
2. Compare the texts of the two in that result: what is new, gone, changed or moved (`lines` has the boxes).
3. Where it is not clear what changed, look closer at both with the same `region`, such as \
{_call("extract_text", source=after, region=[0, 0, 400, 300])}.
4. List the differences, the most important first: what, where (box in pixels of the later screenshot), before and \
after. Tell apart what people will notice from shifts of a few pixels. If nothing differs, say that.

{_RULES}"""


def _summarise_video(values: Mapping[str, str]) -> str:
    source, question = values["source"], values.get("question")
    start, end = _second(values, "start"), _second(values, "end")
    long = values.get("length") == "detailed"
    size = "One paragraph, then each part with its time and what happens in it" if long else "Five sentences at most"
    return f"""\
Summarise the video {json.dumps(source, ensure_ascii=False)}.

1. Call {_call("analyze_video", source=source, question=question, start=start, end=end)}.
2. While the result has a `next_cursor`, call it again with that as `cursor`, until the timeline reaches the end.
3. Look closer at parts that matter and that the `timeline` leaves open: give their `start` and `end` in seconds, \
such as {_call("analyze_video", source=source, start=start or 0, end=(start or 0) + 10)}.
4. {size}. Give times as m:ss. Quote texts on screen and subtitles as they stand. Nothing was heard: \
say nothing about sound that no subtitle tells. Name stretches that were not looked at (`looked_at`).

{_RULES}"""


def _set_up_model(values: Mapping[str, str]) -> str:
    variant = values.get("variant")
    return f"""\
Find out whether an InternVL model can answer on this machine, and set it up if I agree.

1. Call {_call("manage_model", action="status")}, then {_call("manage_model", action="plan", variant=variant)}.
2. Tell me in a few words what would run here, on which device, with how much memory, why, and how large the download \
is. If nothing fits, say what does without a model and stop.
3. Ask me before anything is fetched. If I agree, call {_call("manage_model", action="download", variant=variant)}, \
and now and then {_call("manage_model", action="status")} until it is done.
4. Then call {_call("manage_model", action="preload", variant=variant)} and tell me that it answers."""


def _second(values: Mapping[str, str], name: str) -> float | None:
    if name not in values:
        return None
    try:
        second = float(values[name])
    except ValueError as e:
        raise MCPError(types.INVALID_PARAMS, f"{name}: {values[name][:100]!r} is no number of seconds.") from e
    if not 0 <= second < 1e7:
        raise MCPError(types.INVALID_PARAMS, f"{name}: {values[name][:100]!r} is no place in a video.")
    return second


PROMPTS = (
    JobPrompt(
        name="transcribe",
        title="Transcribe",
        description="Every word of a document, scan, picture or screenshot, in reading order, nothing corrected.",
        arguments=(
            Argument("source", _SOURCE, required=True),
            Argument("pages", _PAGES),
            Argument("format", "How a document is written down; markdown when left out.", choices=("markdown", "text")),
        ),
        text=_transcribe,
    ),
    JobPrompt(
        name="table_to_csv",
        title="Table to CSV",
        description="The tables of a document or picture, or a chart's data, as CSV, row by row.",
        arguments=(
            Argument("source", _SOURCE, required=True),
            Argument("pages", _PAGES),
            Argument("which", "What the wanted table is about; each table when left out."),
            Argument(
                "separator",
                "What stands between fields; a comma when left out.",
                choices=("comma", "semicolon", "tab"),
            ),
        ),
        text=_table_to_csv,
    ),
    JobPrompt(
        name="compare_screenshots",
        title="Compare screenshots",
        description="What differs between a screenshot before and one after a change, and where.",
        arguments=(
            Argument("before", f"The earlier one. {_SOURCE}", required=True),
            Argument("after", f"The later one. {_SOURCE}", required=True),
            Argument("focus", "What to look at most, such as the navigation bar."),
        ),
        text=_compare_screenshots,
    ),
    JobPrompt(
        name="summarise_video",
        title="Summarise a video",
        description="What happens in a video or screen recording, with times.",
        arguments=(
            Argument("source", _SOURCE, required=True),
            Argument("question", "What you want to know most."),
            Argument("start", _SECONDS),
            Argument("end", _SECONDS),
            Argument("length", "How much to write; brief when left out.", choices=("brief", "detailed")),
        ),
        text=_summarise_video,
    ),
    JobPrompt(
        name="set_up_model",
        title="Set up a model",
        description="Which InternVL fits this machine, and fetching it if you agree: pictures then get answers.",
        arguments=(Argument("variant", "The InternVL you want; the best that fits when left out.", variant=True),),
        text=_set_up_model,
    ),
)
