"""The question on the wire: `Ask` as an OpenAI chat-completions request and back, without loss.

Source of the shape: https://platform.openai.com/docs/api-reference/chat/create. What goes beyond it is a `Dialect`, as
every server has its own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vision.chat.types import Ask, ImagePart, Message, TextPart
from vision.errors import InvalidArgument
from vision.types import Frozen

# Where a server takes the most tiles for a picture: vLLM hands `mm_processor_kwargs` to the model's own image processor
# (OpenGVLab's code says max_dynamic_patch, transformers' max_patches), SGLang reads it beside a picture's address.
TilesField = Literal["mm_processor_kwargs.max_dynamic_patch", "mm_processor_kwargs.max_patches", "image_url"]


@dataclass(frozen=True)
class Dialect:
    """What a server takes beyond OpenAI's API, or leaves out of it. The default is our own model host's.

    `tiles`: None where it cuts pictures by its own rule only. `usage`: token counts at the end of a stream.
    """

    tiles: TilesField | None = "mm_processor_kwargs.max_dynamic_patch"
    top_k: bool = True
    usage: bool = True


OUR_HOST = Dialect()
_SCHEMA_NAME = "answer"
_DATA_URI = re.compile(r"data:(image/[a-z0-9.+-]+);base64,")
# Fields that change nothing in an answer of one model to one person, whatever their value.
_WITHOUT_EFFECT = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
# Fields of the API that are not carried out here, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "stop": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"],),
}


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _TextContent(_Wire):
    type: Literal["text"]
    text: str


class _ImageUrl(_Wire):
    url: str = Field(repr=False)


class _ImageContent(_Wire):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _Message(_Wire):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[_TextContent | _ImageContent, Field(discriminator="type")]]


class _StreamOptions(_Wire):
    include_usage: bool = False


class _ProcessorOptions(Frozen):
    max_dynamic_patch: int | None = Field(default=None, ge=1)


class _NamedSchema(_Wire):
    # `schema` is what OpenAI calls it, and what pydantic has for itself.
    json_schema: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(_Wire):
    type: Literal["text", "json_schema"]
    json_schema: _NamedSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> _ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self


class ChatRequest(BaseModel):
    """A request as it came. Temperature 0, greedy, is the default here; OpenAI's is 1."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str | None = None
    messages: list[_Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    seed: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    mm_processor_kwargs: _ProcessorOptions | None = None
    response_format: _ResponseFormat | None = None

    @property
    def wanted_schema(self) -> dict[str, Any] | None:
        wanted = self.response_format and self.response_format.json_schema
        return wanted.json_schema if wanted else None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def read_request(body: bytes | bytearray) -> tuple[ChatRequest, Ask]:
    """The request and what it asks. Takes long for many megabytes. Raises InvalidArgument."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the body"
        raise InvalidArgument(f"{where}: {first['msg']}", "Send a chat-completions request as JSON.") from e
    _refuse_what_is_not_carried_out(request)
    given = {
        "max_tokens": request.max_completion_tokens or request.max_tokens,
        "max_tiles": request.mm_processor_kwargs and request.mm_processor_kwargs.max_dynamic_patch,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": max(0, request.top_k) if request.top_k is not None else None,  # vLLM writes -1 for all tokens
        "seed": request.seed,
        "json_schema": request.wanted_schema,
    }
    messages = tuple(_message(message) for message in request.messages)
    return request, Ask(messages=messages, **{name: value for name, value in given.items() if value is not None})


def _refuse_what_is_not_carried_out(request: ChatRequest) -> None:
    for name, value in (request.model_extra or {}).items():
        neutral = value is None or value in _NEUTRAL.get(name, ())
        if not neutral and name not in _WITHOUT_EFFECT:
            raise InvalidArgument(f"{name} is not supported by this server", f"Leave {name} out.")


def _message(message: _Message) -> Message:
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return Message(role=role, parts=(TextPart(text=message.content),))
    parts = tuple(
        TextPart(text=part.text) if isinstance(part, _TextContent) else _picture(part.image_url.url)
        for part in message.content
    )
    if role != "user" and any(isinstance(part, ImagePart) for part in parts):
        raise InvalidArgument(f"a {role} message holds a picture", "Send pictures in user messages.")
    return Message(role=role, parts=parts)


def _picture(url: str) -> ImagePart:
    head = _DATA_URI.match(url)
    if head is None:
        raise InvalidArgument(
            "image_url is not a data:image/…;base64 address; nothing is fetched or opened here",
            "Send the picture itself as a data: URI.",
        )
    try:
        return ImagePart(data=base64.b64decode(url[head.end() :], validate=True), media_type=head[1])
    except (binascii.Error, ValueError) as e:
        raise InvalidArgument("a picture's base64 is damaged", "Encode the picture's bytes as base64.") from e


def write_request(ask: Ask, model: str | None, dialect: Dialect = OUR_HOST) -> bytes:
    """The body of a streamed request for `ask`. Takes long for many megabytes.

    Only what differs from the default is sent, as servers may refuse fields beyond OpenAI's.
    """
    tiles = ask.max_tiles if dialect.tiles == "image_url" else None
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": _content(message, tiles)} for message in ask.messages],
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
        "stream": True,
    }
    if dialect.usage:
        body["stream_options"] = {"include_usage": True}
    if model is not None:
        body["model"] = model
    if ask.top_p != 1:
        body["top_p"] = ask.top_p
    if ask.top_k and dialect.top_k:
        body["top_k"] = ask.top_k
    if ask.seed is not None:
        body["seed"] = ask.seed
    if ask.max_tiles is not None and dialect.tiles is not None and dialect.tiles != "image_url":
        field, _, name = dialect.tiles.partition(".")
        body[field] = {name: ask.max_tiles}
    if ask.json_schema is not None:
        named = {"name": _SCHEMA_NAME, "strict": True, "schema": ask.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return json.dumps(body, separators=(",", ":")).encode()


def _content(message: Message, tiles: int | None) -> str | list[dict[str, Any]]:
    if len(message.parts) == 1 and isinstance(message.parts[0], TextPart):
        return message.parts[0].text  # some servers take nothing else from system and assistant
    beside = {} if tiles is None else {"max_dynamic_patch": tiles}
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "image_url", "image_url": {"url": _data_uri(part), **beside}}
        for part in message.parts
    ]


def _data_uri(picture: ImagePart) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def picture_bytes(ask: Ask) -> int:
    return sum(len(part.data) for part in pictures(ask))


def pictures(ask: Ask) -> list[ImagePart]:
    return [part for message in ask.messages for part in message.parts if isinstance(part, ImagePart)]
