"""What crosses comes out as it went in, and what others write is understood or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.chat import answers
from vision.chat.answers import AnswerReader, AnswerWriter
from vision.chat.faults import error_from_payload, payload_of, status_of
from vision.chat.request import read_request, write_request
from vision.chat.types import Ask, ChatEvent, Delta, Finished, ImagePart, Message, Stage, TextPart, Usage
from vision.errors import BY_CODE, InvalidArgument, ModelFailed, VisionError

texts = st.builds(TextPart, text=st.text())
pictures = st.builds(
    ImagePart, data=st.binary(), media_type=st.sampled_from(["image/png", "image/jpeg", "image/svg+xml"])
)
messages = st.one_of(
    st.builds(Message, role=st.just("user"), parts=st.lists(st.one_of(texts, pictures), max_size=4).map(tuple)),
    st.builds(Message, role=st.sampled_from(["system", "assistant"]), parts=st.lists(texts, max_size=2).map(tuple)),
)
asks = st.builds(
    Ask,
    messages=st.lists(messages, min_size=1, max_size=3).map(tuple),
    max_tokens=st.integers(1, 10**6),
    max_tiles=st.none() | st.integers(1, 200),
    temperature=st.floats(0, 5),
    top_p=st.floats(0, 1, exclude_min=True),
    top_k=st.integers(0, 1000),
    seed=st.none() | st.integers(-(2**63), 2**63),
    json_schema=st.none() | st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.booleans())),
)
counts = st.integers(0, 10**9)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    cached_tokens=counts,
    completion_tokens=counts,
    tiles=counts,
    cached_tiles=counts,
    first_token_s=st.none() | st.floats(0, 1e6),
)


@given(asks)
@settings(deadline=None, max_examples=60)
def test_a_question_comes_out_as_it_went_in(ask: Ask) -> None:
    request, came = read_request(write_request(ask, "model"))
    assert came == ask
    assert (request.model, request.stream, request.include_usage) == ("model", True, True)


@given(
    st.lists(
        st.builds(Delta, text=st.text(min_size=1))
        | st.builds(Stage, name=st.sampled_from(["queued", "loading", "seeing", "prefill"]), done=counts, total=counts)
    ),
    st.builds(Finished, reason=st.sampled_from(["stop", "length", "repetition"]), usage=usages),
)
@settings(deadline=None, max_examples=60)
def test_an_answer_comes_out_as_it_went_in(events: list[Delta | Stage], finished: Finished) -> None:
    writer = AnswerWriter("chatcmpl-1", "model", include_usage=True)
    sent = writer.start() + answers.KEEP_ALIVE
    for event in events:
        sent += writer.stage(event) if isinstance(event, Stage) else writer.delta(event)
    reader = AnswerReader()
    assert read(reader, sent + writer.finished(finished)) == events
    assert reader.ended
    assert reader.finished() == finished


def read(reader: AnswerReader, stream: bytes) -> list[ChatEvent]:
    return [event for line in stream.split(b"\n") if (event := reader.line(line)) is not None]


def test_an_openai_client_sees_only_the_apis_own_chunks() -> None:
    writer = AnswerWriter("chatcmpl-1", "model", include_usage=True)
    stream = writer.start() + writer.stage(Stage(name="seeing", done=1, total=2)) + writer.delta(Delta(text="Hi"))
    stream += writer.finished(Finished(reason="repetition", usage=Usage(prompt_tokens=5, completion_tokens=2)))
    events = [block for block in stream.decode().split("\n\n") if block and not block.startswith(":")]
    assert events[-1] == "data: [DONE]"
    chunks: list[dict[str, Any]] = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]] == [None, None, "length"]
    assert chunks[2]["internvl"]["repetition"] is True
    assert chunks[3]["choices"] == []
    assert chunks[3]["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_what_other_servers_leave_out_or_add_does_no_harm() -> None:
    reader = AnswerReader()
    lines = [
        ": ping",
        "event: message",
        'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":null}}],"system_fingerprint":"x"}',
        'data:{"choices":[{"delta":{"content":"a\u2028b","reasoning":"hm"},"finish_reason":null}],"usage":null}',
        'data: {"choices":[{"delta":{},"finish_reason":"eos"}]}',
        'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":null,"prompt_tokens_details":null}}',
        "data: [DONE]",
    ]
    assert read(reader, "\n".join(lines).encode()) == [Delta(text="a\u2028b")]
    assert reader.finished() == Finished(reason="stop", usage=Usage(prompt_tokens=3))


@pytest.mark.parametrize(
    "line", [b"data: {", b"data: 5", b'data: {"choices": 7}', b"data: \xff\xfe", b': internvl {"name": "dancing"}']
)
def test_garbage_in_a_stream_is_model_failed(line: bytes) -> None:
    with pytest.raises(ModelFailed, match="no chat-completions stream"):
        AnswerReader().line(line)


def test_an_answer_without_an_end_is_model_failed() -> None:
    reader = AnswerReader()
    read(reader, AnswerWriter("1", "m", include_usage=True).delta(Delta(text="half")))
    with pytest.raises(ModelFailed, match="broke off"):
        reader.finished()


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_every_error_keeps_its_class_message_and_hint(kind: type[VisionError]) -> None:
    error = kind("what happened", "what to do")
    assert 400 <= status_of(error) < 600
    came = error_from_payload(json.loads(json.dumps(payload_of(error))), status_of(error))
    assert (type(came), came.message, came.hint) == (kind, "what happened", "what to do")
    with pytest.raises(kind):
        AnswerReader().line(AnswerWriter("1", "m", include_usage=True).error(payload_of(error)).split(b"\n")[0])


@pytest.mark.parametrize(
    ("status", "payload", "code", "says"),
    [
        (400, {"object": "error", "message": "too long", "code": 400}, "invalid_argument", "too long"),
        (400, {"error": {"message": "bad image", "code": "x"}}, "invalid_argument", "bad image"),
        (401, {"error": {"message": "no key"}}, "access_denied", "no key"),
        (403, {"detail": "no"}, "access_denied", "no"),
        (404, {"error": {"message": "no model", "code": 404}}, "engine_unavailable", "no model"),
        (413, {}, "limit_exceeded", "413"),
        (422, {"detail": [{"msg": "field"}]}, "invalid_argument", "field"),
        (429, {"error": "slow down"}, "busy", "slow down"),
        (503, {"error": {"message": "Loading model", "code": 503}}, "model_loading", "Loading model"),
        (500, [1], "model_failed", "500"),
        (500, {"error": {"message": "x" * 9000}}, "model_failed", "x"),
    ],
)
def test_other_servers_errors_are_told_by_their_status(status: int, payload: Any, code: str, says: str) -> None:
    error = error_from_payload(payload, status)
    assert (error.code, says in error.message, len(error.message) < 700) == (code, True, True)
    assert error.hint


def body(**changes: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "Hi"}]} | changes).encode()


def picture(url: str, role: str = "user") -> bytes:
    return body(messages=[{"role": role, "content": [{"type": "image_url", "image_url": {"url": url}}]}])


@pytest.mark.parametrize(
    ("refused", "names"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{}", "messages"),
        (body(messages=[]), "messages"),
        (body(messages=[{"role": "tool", "content": "x"}]), "messages.0.role"),
        (body(messages=[{"role": "assistant", "content": None}]), "messages.0.content"),
        (body(messages=[{"role": "user", "content": [{"type": "video_url", "video_url": {}}]}]), "messages.0.content"),
        (body(tools=[{"type": "function"}]), "tools"),
        (body(n=2), "n is not"),
        (body(response_format={"type": "json_object"}), "response_format"),
        (body(stop=["\n"]), "stop"),
        (body(logprobs=True), "logprobs"),
        (body(repetition_penalty=1.1), "repetition_penalty"),
        (body(max_tokens=0), "max_tokens"),
        (body(temperature=-1), "temperature"),
        (body(top_p=0), "top_p"),
        (body(mm_processor_kwargs={"max_dynamic_patch": 0}), "max_dynamic_patch"),
        (body(mm_processor_kwargs={"min_dynamic_patch": 1}), "min_dynamic_patch"),
        (picture("http://127.0.0.1/x.png"), "image_url"),
        (picture("file:///etc/passwd"), "image_url"),
        (picture("data:text/html;base64,AAAA"), "image_url"),
        (picture("data:image/png;base64,A%%%"), "base64"),
        (picture("data:image/png;base64,AAA"), "base64"),
        (picture("data:image/png;base64,AAAA", role="system"), "system"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_by_name(refused: bytes, names: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_request(refused)
    assert names in caught.value.message
    assert caught.value.hint


def test_a_refusal_does_not_repeat_the_picture() -> None:
    secret = "c2VjcmV0" * 100
    with pytest.raises(InvalidArgument) as caught:
        read_request(body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": secret}]}]))
    assert "c2VjcmV0" not in str(caught.value)


def test_fields_that_ask_for_nothing_are_accepted() -> None:
    plain = read_request(body())[1]
    assert plain == Ask(messages=(Message(role="user", parts=(TextPart(text="Hi"),)),))
    neutral = body(
        n=1, tools=[], response_format={"type": "text"}, user="me", stop=None, logprobs=False, frequency_penalty=0.0
    )
    assert read_request(neutral)[1] == plain
    assert read_request(body(max_completion_tokens=9))[1].max_tokens == 9
    assert read_request(body(top_k=-1))[1].top_k == 0
