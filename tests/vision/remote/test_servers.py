"""Which server is asked, when again, and what its refusals teach."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.vision.remote.fake_server import FakeServer, Reply, chunk, model, refuses, says
from vision.chat.types import Ask, Delta, Finished, ImagePart, Message, TextPart
from vision.errors import AccessDenied, Busy, EngineUnavailable, InvalidArgument, ModelFailed, ModelLoading, VisionError
from vision.media.tile_grid import Fit
from vision.remote.capabilities import Capabilities
from vision.remote.refusal import PromptTooLong
from vision.remote.servers import RemoteServers

pytestmark = pytest.mark.anyio
Serve = Callable[..., FakeServer]


class Remote(RemoteServers):
    """Remembers how pictures were to be prepared."""

    def __init__(self, *servers: FakeServer | str, model: str | None = None) -> None:
        self.fits: list[tuple[Fit, int, int]] = []
        urls = [server if isinstance(server, str) else server.url for server in servers]
        super().__init__(urls, None, model, self._noted)

    async def _noted(self, picture: ImagePart, fit: Fit, tiles: int, side: int) -> ImagePart:
        self.fits.append((fit, tiles, side))
        return picture


def question(pictures: int = 1, **more: Any) -> Ask:
    parts = (*[ImagePart(data=b"png")] * pictures, TextPart(text="What?"))
    return Ask(messages=(Message(role="user", parts=parts),), max_tiles=6, **more)


async def text_of(remote: RemoteServers, ask: Ask | None = None, within_s: float = 10) -> str:
    with anyio.fail_after(within_s):
        events = [event async for event in remote.ask(ask or question())]
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


async def error_of(remote: RemoteServers, ask: Ask | None = None, within_s: float = 10) -> VisionError:
    with pytest.raises(VisionError) as caught:
        await text_of(remote, ask, within_s)
    assert caught.value.hint
    return caught.value


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.remote.refusal._WAIT_S", 0.01)


# When it is asked again.


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_server_that_says_it_did_nothing_is_asked_again(serve: Serve, status: int) -> None:
    server = serve(replies=[refuses(status), refuses(status)])
    assert await text_of(Remote(server)) == "A served answer."
    assert len(server.asked) == 3


async def test_one_that_goes_on_refusing_is_the_error(serve: Serve) -> None:
    server = serve(replies=[refuses(503, "loading")] * 9)
    assert isinstance(await error_of(Remote(server)), ModelLoading)
    assert len(server.asked) == 4


async def test_a_busy_server_is_asked_again_after_the_time_it_names(serve: Serve) -> None:
    server = serve(replies=[refuses(429, retry_after="0")])
    assert await text_of(Remote(server)) == "A served answer."


@pytest.mark.parametrize("headers", [{}, {"retry_after": "60"}, {"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}])
async def test_a_busy_server_whose_time_does_not_fit_into_the_call_is_the_error(
    serve: Serve, headers: dict[str, str]
) -> None:
    server = serve(replies=[refuses(429, **headers)])
    assert isinstance(await error_of(Remote(server)), Busy)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reply", [refuses(500), refuses(400), Reply(body=b""), Reply(body=chunk(delta={"content": "half"}), then="cut")]
)
async def test_what_may_have_been_worked_on_is_never_asked_again(serve: Serve, reply: Reply) -> None:
    first, second = serve(replies=[reply]), serve(replies=[reply])
    await error_of(Remote(first, second))
    assert len(first.asked) + len(second.asked) == 1


# Several servers.


async def test_servers_take_turns(serve: Serve) -> None:
    first, second = serve(), serve()
    remote = Remote(first, second)
    for _ in range(4):
        await text_of(remote)
    assert (len(first.asked), len(second.asked)) == (2, 2)


@pytest.mark.parametrize("reply", [refuses(503), refuses(429, retry_after="60"), refuses(502)])
async def test_another_server_answers_for_one_that_does_not(serve: Serve, reply: Reply) -> None:
    first, second = serve(replies=[reply] * 9), serve()
    assert await text_of(Remote(first, second)) == "A served answer."
    assert (len(first.asked), len(second.asked)) == (1, 1)


async def test_a_server_that_is_down_costs_nothing_while_another_is_up(serve: Serve) -> None:
    up = serve()
    remote = Remote(nobody(), up)
    assert (await remote.model()).url == up.url
    for _ in range(6):
        assert await text_of(remote) == "A served answer."
    states = await remote.status()
    assert [(state.reachable, state.breaker) for state in states] == [(False, "open"), (True, "closed")]
    assert states[0].problem and states[0].advice and states[1].latency_ms is not None


async def test_a_server_of_another_model_never_answers_in_the_name_of_the_first(serve: Serve) -> None:
    first, other = serve(), serve(models=[model("InternVL3-38B")])
    remote = Remote(first, other)
    assert (await remote.model()).capabilities.name == "InternVL3_5-8B-HF"
    for _ in range(4):
        await text_of(remote)
    assert (len(first.asked), len(other.asked)) == (4, 0)
    first.replies = [refuses(503)] * 9
    error = await error_of(remote)
    assert first.asked and not other.asked and error.code == "model_loading"


# The breaker.


async def test_a_server_that_fails_again_and_again_is_left_alone(serve: Serve) -> None:
    server = serve(replies=[refuses(500, "device lost")] * 9)
    remote = Remote(server)
    for _ in range(3):
        assert isinstance(await error_of(remote), ModelFailed)
    error = await error_of(remote)
    assert isinstance(error, EngineUnavailable)
    assert "3 times in a row" in error.message and "device lost" in error.message
    assert len(server.asked) == 3
    with pytest.raises(EngineUnavailable):
        await remote.model()
    assert [state.breaker for state in await remote.status()] == ["open"]


@pytest.mark.parametrize("reply", [refuses(400), refuses(401), refuses(429), refuses(404)])
async def test_a_server_that_refuses_a_question_is_well(serve: Serve, reply: Reply) -> None:
    server = serve(replies=[reply] * 5)
    remote = Remote(server)
    for _ in range(5):
        await error_of(remote)
    assert await text_of(remote) == "A served answer."


async def test_a_server_that_stays_silent_is_left_alone_as_well(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.remote.servers._SILENT_S", 0.05)
    server = serve(replies=[Reply(silent=True)] * 3)
    remote = Remote(server)
    for _ in range(3):
        with anyio.move_on_after(0.2):
            await text_of(remote)
    assert "sent nothing" in (await error_of(remote)).message


# Cancelling.


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(body=chunk(delta={"content": "It"}), then="stall")])
async def test_giving_a_question_up_hangs_up_at_once(serve: Serve, reply: Reply) -> None:
    server = serve(replies=[reply])
    async with anyio.create_task_group() as group:
        group.start_soon(text_of, Remote(server), question(), 60)
        await anyio.to_thread.run_sync(waited, server.waiting)
        assert not server.left.is_set()
        group.cancel_scope.cancel()
    assert server.left.wait(5)


def waited(event: threading.Event) -> None:
    assert event.wait(10)


# What a server is, and what its refusals teach.


async def test_a_server_is_asked_once_what_it_is(serve: Serve) -> None:
    server = serve()
    remote = Remote(server)
    for _ in range(3):
        await text_of(remote)
    assert server.listed == 1


async def test_too_many_pictures_are_remembered(serve: Serve) -> None:
    server = serve(replies=[refuses(400, "At most 2 image(s) may be provided in one prompt.")])
    remote = Remote(server)
    error = await error_of(remote, question(pictures=3))
    assert isinstance(error, PromptTooLong) and error.max_pictures == 2
    assert (await remote.model()).capabilities.max_pictures == 2
    assert isinstance(await error_of(remote, question(pictures=3)), PromptTooLong)
    assert len(server.asked) == 1
    assert await text_of(remote, question(pictures=2)) == "A served answer."


async def test_a_model_that_takes_no_pictures_is_said_to(serve: Serve) -> None:
    remote = Remote(serve(replies=[refuses(400, "At most 0 image(s) may be provided in one prompt.")]))
    for _ in range(2):
        error = await error_of(remote)
        assert "takes no pictures" in error.message and "endpoint_model" in error.hint


@pytest.mark.parametrize(
    ("message", "context"),
    [
        ("This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens", 4096),
        ("request (5000 tokens) exceeds the available context size (2048 tokens), try increasing it", 2048),
        ("The input (9000 tokens) is longer than the model's context length (8192 tokens).", 8192),
        ("The request exceeds the model context length.", 16384),
    ],
)
async def test_a_context_that_overflows_is_remembered(serve: Serve, message: str, context: int) -> None:
    server = serve(replies=[refuses(400, message)])
    remote = Remote(server)
    assert isinstance(await error_of(remote), PromptTooLong)
    assert (await remote.model()).capabilities.context == context


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Unexpected fields in the request: {'mm_processor_kwargs'}", "mm_processor_kwargs"),
        (
            "Per-request mm_processor_kwargs are disabled by default because they can change multimodal preprocessing "
            "resource usage. Start the server with --trust-request-mm-kwargs only when clients are trusted.",
            "mm_processor_kwargs",
        ),
        ("body.top_k: Extra inputs are not permitted", "top_k"),
        ("Unrecognized request argument supplied: stream_options", "stream_options"),
    ],
)
async def test_a_field_that_is_not_taken_is_left_out_from_then_on(serve: Serve, message: str, field: str) -> None:
    server = serve(replies=[refuses(422, message)])
    remote = Remote(server)
    assert await text_of(remote, question(top_k=5)) == "A served answer."
    assert [field in asked for asked in server.asked] == [True, False]
    await text_of(remote, question(top_k=5))
    assert field not in server.asked[2]
    assert [fit for fit, *_ in remote.fits[1:]] == ["grid" if field == "mm_processor_kwargs" else "cover"] * 2


async def test_a_model_that_is_named_need_not_be_listed_by_servers_that_list_others(serve: Serve) -> None:
    gateway = serve(models=[model("gpt", owned_by="openai")])
    assert (await Remote(gateway, model="InternVL3-8B").model()).capabilities.internvl
    empty = serve(models=[])
    await text_of(Remote(empty, model="/models/nano"))
    assert empty.asked[0]["model"] == "/models/nano"


@pytest.mark.parametrize("status", [404, 405, 500])
async def test_a_model_that_is_named_is_asked_where_no_list_is(serve: Serve, status: int) -> None:
    server = serve(listing=refuses(status, "no such thing"))
    remote = Remote(server, model="InternVL3-8B-hf")
    known = (await remote.model()).capabilities
    assert (known.listed, known.kind, known.internvl, known.tiles, known.top_k) == (False, "unknown", True, None, False)
    assert await text_of(remote) == "A served answer."
    assert server.asked[0]["model"] == "InternVL3-8B-hf"
    assert isinstance(await error_of(Remote(server)), VisionError), "with no name, nobody knows what to ask"


@pytest.mark.parametrize(("status", "kind"), [(401, AccessDenied), (429, Busy), (503, ModelLoading)])
async def test_a_list_that_is_refused_for_now_or_for_the_key_is_the_error(
    serve: Serve, status: int, kind: type[VisionError]
) -> None:
    server = serve(listing=refuses(status))
    assert isinstance(await error_of(Remote(server, model="InternVL3-8B")), kind)
    assert not server.asked


async def test_a_model_that_has_gone_is_looked_for_again(serve: Serve) -> None:
    server = serve(replies=[refuses(404, "The model does not exist.")])
    remote = Remote(server)
    await error_of(remote)
    server.models = [model("InternVL3-38B")]
    await text_of(remote)
    assert [asked["model"] for asked in server.asked] == ["OpenGVLab/InternVL3_5-8B-HF", "InternVL3-38B"]


# What is sent.


async def asked_with(serve: Serve, ask: Ask, *, props: dict[str, Any] | None = None, **offered: Any) -> dict[str, Any]:
    server = serve(models=[model(**offered)], props=props)
    await text_of(Remote(server), ask)
    return server.asked[0]


async def test_each_server_is_told_the_tiles_in_its_own_words(serve: Serve) -> None:
    native = await asked_with(serve, question())
    assert native["mm_processor_kwargs"] == {"max_patches": 6}
    ours = await asked_with(serve, question(), name="tiny", owned_by="internvl-mcp")
    assert ours["mm_processor_kwargs"] == {"max_dynamic_patch": 6}
    sglang = await asked_with(serve, question(), owned_by="sglang")
    assert sglang["messages"][0]["content"][0]["image_url"]["max_dynamic_patch"] == 6
    for owner in ("lmdeploy", "llamacpp", "somebody"):
        plain = await asked_with(serve, question(), owned_by=owner)
        assert "mm_processor_kwargs" not in plain and set(plain["messages"][0]["content"][0]["image_url"]) == {"url"}


@pytest.mark.parametrize(
    ("offered", "fit"),
    [
        ({}, ("cover", 6, 448)),
        ({"name": "InternVL3_5-8B"}, ("grid", 6, 448)),
        ({"name": "nano", "root": "/models/InternVL3-1B-hf"}, ("cover", 6, 448)),
        ({"owned_by": "llamacpp"}, ("grid", 6, 448)),
        ({"name": "Qwen3-VL-8B-hf"}, ("area", 6, 448)),
        ({"name": "nano", "owned_by": "internvl-mcp", "internvl": {"tile_side": 112}}, ("cover", 6, 112)),
        ({"name": "nano", "owned_by": "internvl-mcp"}, ("cover", 6, 448)),
    ],
)
async def test_pictures_are_prepared_for_how_the_server_cuts_them(
    serve: Serve, offered: dict[str, Any], fit: tuple[str, int, int]
) -> None:
    server = serve(models=[model(**offered)])
    remote = Remote(server)
    await text_of(remote)
    assert remote.fits == [fit]


async def test_llama_cpp_tells_its_context_and_whether_it_sees(serve: Serve) -> None:
    offered = model("InternVL3-8B-Q8_0.gguf", owned_by="llamacpp", max_model_len=None)
    told = {"default_generation_settings": {"n_ctx": 4096}, "modalities": {"vision": True}}
    sees = serve(models=[offered], props=told)
    assert (await Remote(sees).model()).capabilities.context == 4096
    blind = serve(models=[offered], props={**told, "modalities": {"vision": False}})
    with pytest.raises(VisionError, match="no pictures") as caught:
        await Remote(blind).model()
    assert "--mmproj" in caught.value.hint
    mute = serve(models=[offered])
    assert (await Remote(mute).model()).capabilities.context is None


async def test_an_answer_takes_half_of_a_small_context_at_most(serve: Serve) -> None:
    asked = await asked_with(serve, question(max_tokens=4000), max_model_len=2048)
    assert asked["max_tokens"] == 1024


SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


@pytest.mark.parametrize("owner", ["vllm", "sglang", "lmdeploy", "llamacpp"])
async def test_a_schema_goes_out_strict_where_the_server_holds_to_it(serve: Serve, owner: str) -> None:
    sent = (await asked_with(serve, question(json_schema=SCHEMA), owned_by=owner))["response_format"]
    assert sent["type"] == "json_schema"
    assert (sent["json_schema"]["schema"], sent["json_schema"]["strict"]) == (SCHEMA, True)


async def test_a_server_that_holds_no_answer_to_a_schema_is_not_asked_under_one(serve: Serve) -> None:
    ours = serve(models=[model("tiny", owned_by="internvl-mcp")])
    assert isinstance(await error_of(Remote(ours), question(json_schema=SCHEMA)), InvalidArgument)
    assert not ours.asked
    telling = serve(models=[model("tiny", owned_by="internvl-mcp", internvl={"json_schema": True})])
    assert await text_of(Remote(telling), question(json_schema=SCHEMA))
    refusing = serve(replies=[refuses(400, "response_format is not supported")] * 2)
    assert isinstance(await error_of(Remote(refusing), question(json_schema=SCHEMA)), InvalidArgument)


def unknown(serve: Serve, *replies: Reply) -> FakeServer:
    """A server that does not say who made it, as transformers serve, which takes a schema and ignores it."""
    return serve(models=[model("InternVL3-8B", owned_by="system")], replies=list(replies))


async def test_an_answer_of_a_server_that_may_ignore_the_schema_is_checked(serve: Serve) -> None:
    server = unknown(serve, says('{"total": 7.5}'), says('{"total": "seven"}'), says("It is seven."), says("[" * 5000))
    remote = Remote(server)
    assert await text_of(remote, question(json_schema=SCHEMA)) == '{"total": 7.5}'
    for number in (2, 3, 4):
        error = await error_of(remote, question(json_schema=SCHEMA))
        assert isinstance(error, InvalidArgument) and "InternVL3-8B" in error.message and "vLLM" in error.hint
        assert len(server.asked) == number, "it is asked once"
    assert await text_of(remote) == "A served answer.", "it is well all the same"


async def test_an_answer_that_was_cut_off_says_so_at_its_end(serve: Serve) -> None:
    cut = Reply(body=chunk(delta={"content": '{"tot'}, finish_reason="length") + b"data: [DONE]\n\n")
    assert await text_of(Remote(unknown(serve, cut)), question(json_schema=SCHEMA)) == '{"tot'


@pytest.mark.parametrize("schema", [{"type": "nothing"}, {"$ref": "http://127.0.0.1:9/x"}, {"pattern": "("}])
async def test_what_is_no_schema_by_itself_is_said_to_be_none(serve: Serve, schema: dict[str, Any]) -> None:
    error = await error_of(Remote(unknown(serve, says('"x"'))), question(json_schema=schema))
    assert isinstance(error, InvalidArgument) and "no JSON Schema" in error.message


async def test_a_stage_of_a_host_of_ours_crosses(serve: Serve) -> None:
    said = says("Hi")
    stage = b': internvl {"name":"seeing","done":1,"total":2}\n\n'
    server = serve(replies=[Reply(body=stage + said.body)])
    events = [event async for event in Remote(server).ask(question())]
    assert getattr(events[0], "name", None) == "seeing"


def test_capabilities_are_frozen_values() -> None:
    made = Capabilities(kind="vllm", model="a/b", name="b", internvl=True, fit="grid")
    assert made.max_tiles == 12 and made.model_copy(update={"tiles": "image_url"}).max_tiles > 12
    with pytest.raises(ValueError, match="frozen"):
        made.model = "c"  # type: ignore[misc]
