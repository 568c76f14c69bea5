"""The client against servers that misbehave in every way one can."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import aclosing

import anyio
import pytest

from tests.vision.chat.conftest import error_of, question, text_of
from tests.vision.chat.servers import Server, headers, plain
from vision.chat.client import ChatClient, Endpoint
from vision.chat.types import Delta, Finished, Usage

pytestmark = pytest.mark.anyio

CHUNK = b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'
END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (STREAM + CHUNK, "model_failed", "broke off"),
        (STREAM + CHUNK[:20], "model_failed", "broke off"),
        (STREAM + CHUNK + b"data: [DONE]\n\n", "model_failed", "broke off"),
        (STREAM, "model_failed", "broke off"),
        (STREAM + b"data: <html>\n\n", "model_failed", "no chat-completions stream"),
        (STREAM + CHUNK + b'data: {"error": {"message": "device lost"}}\n\n', "model_failed", "device lost"),
        (STREAM + b"x" * (17 << 20), "model_failed", "no chat-completions stream"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:", "model_failed", "broke off"),
        (b"", "model_failed", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "model_failed", "broke off"),
        (plain("200 OK", b'{"choices": []}'), "model_failed", "no chat-completions stream"),
        (plain("500 Oops", b'{"error": {"message": "boom", "hint": 5}}'), "model_failed", "boom"),
        (plain("500 Oops", b"<h1>boom</h1>", "text/html"), "model_failed", "<h1>boom"),
        (b"HTTP/1.1 500 Oops\r\n\r\n" + b"long " * 100_000, "model_failed", "long long"),
        (plain("502 Bad", b"\xff\xfe\x00"), "model_failed", "502"),
        (plain("401 No", b'{"error": {"message": "bad key"}}'), "access_denied", "bad key"),
        (plain("302 Found", b""), "engine_unavailable", "302"),
        (
            plain("503 Full", b'{"error":{"message":"m","code":"out_of_memory","hint":"h"}}'),
            "out_of_memory",
            "m",
        ),
    ],
)
async def test_a_server_that_misbehaves_is_one_clear_error(
    server: Callable[..., Server], answer: bytes, code: str, says: str
) -> None:
    error = await error_of(ChatClient(Endpoint(server(answer).url)), question("Hi"))
    assert (error.code, says in error.message) == (code, True), error.message
    assert error.hint


async def test_where_nobody_listens_the_engine_is_unavailable(server: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/v1", "nonsense", "http://[::1", "ftp://127.0.0.1/v1"):
        assert (await error_of(ChatClient(Endpoint(url)), question("Hi"))).code == "engine_unavailable", url


async def test_a_server_without_the_tls_that_its_address_promises_is_engine_unavailable(
    server: Callable[..., Server],
) -> None:
    url = server(STREAM + CHUNK + END).url.replace("http:", "https:")
    error = await error_of(ChatClient(Endpoint(url)), question("Hi"))
    assert (error.code, "TLS" in error.message) == ("engine_unavailable", True)


async def test_a_server_that_falls_silent_is_given_up(server: Callable[..., Server]) -> None:
    silent = server(STREAM + CHUNK, hold=True)
    error = await error_of(ChatClient(Endpoint(silent.url, silence_s=0.2)), question("Hi"))
    assert (error.code, "sent nothing" in error.message) == ("model_failed", True)


async def test_a_stall_in_mid_stream_is_given_up_sooner_than_a_slow_beginning(server: Callable[..., Server]) -> None:
    stalled = server(STREAM + CHUNK, hold=True)
    error = await error_of(ChatClient(Endpoint(stalled.url, stall_s=0.2)), question("Hi"))
    assert (error.code, "sent nothing" in error.message) == ("model_failed", True)
    assert stalled.left.wait(5)
    slow = server(STREAM, hold=True)
    with anyio.move_on_after(0.6) as still:
        await text_of(ChatClient(Endpoint(slow.url, stall_s=0.2)), question("Hi"))
    assert still.cancelled_caught


async def test_closing_the_iterator_hangs_up(server: Callable[..., Server]) -> None:
    slow = server(STREAM + CHUNK, hold=True)
    async with aclosing(ChatClient(Endpoint(slow.url)).ask(question("Hi"))) as events:
        assert await anext(events) == Delta(text="half")
        assert not slow.left.is_set()
    assert slow.left.wait(5)


async def test_another_server_is_asked_in_its_own_words(server: Callable[..., Server]) -> None:
    other = server(STREAM + CHUNK.replace(b"\n", b"\r\n") + END)
    client = ChatClient(Endpoint(other.url, key="sk-1", model="theirs"))
    events = [event async for event in client.ask(question("What?", b"\x89PNG"))]
    assert events == [Delta(text="half"), Finished(reason="stop", usage=Usage())]
    head, _, body = other.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert dict(headers(head))[b"authorization"] == b"Bearer sk-1"
    assert json.loads(body) == {
        "model": "theirs",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                    {"type": "text", "text": "What?"},
                ],
            }
        ],
        "max_tokens": 1024,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_without_a_key_none_is_sent(server: Callable[..., Server]) -> None:
    other = server(STREAM + CHUNK + END)
    assert await text_of(ChatClient(Endpoint(other.url)), question("Hi")) == "half"
    assert b"authorization" not in dict(headers(other.requests[0].partition(b"\r\n\r\n")[0]))


async def test_models_are_listed_by_name(server: Callable[..., Server]) -> None:
    other = server(plain("200 OK", b'{"object":"list","data":[{"id":"a","owned_by":"x"},{"id":"b"}]}'))
    assert [model.id for model in await ChatClient(Endpoint(other.url)).models()] == ["a", "b"]
