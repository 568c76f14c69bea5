"""The host's HTTP side over a generator that the tests play themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra [local] is not installed")

from vision.chat.host_spec import HostSpec
from vision.chat.record import Launch
from vision.chat.types import Delta, Finished, Stage, Usage
from vision.errors import InvalidArgument, ModelFailed, OutOfMemory
from vision.host import answer as answer_module
from vision.host.app import build_app
from vision.host.lifecycle import Lifecycle
from vision.host.work import GeneratorState, Work
from vision.variants.plan import Plan

pytestmark = pytest.mark.anyio
PATIENCE_S = 10.0


class Played:
    """A generator whose every work waits for the test to emit."""

    def __init__(self) -> None:
        self.works: asyncio.Queue[Work] = asyncio.Queue()
        self.now = GeneratorState(state="ready", loaded=1.0)

    def start(self) -> None: ...

    def submit(self, work: Work) -> None:
        self.works.put_nowait(work)

    def state(self) -> GeneratorState:
        return self.now

    def close(self) -> None: ...


class Exchange:
    """One request to the app and what has come back so far."""

    def __init__(self, app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self._body = [body[:10], body[10:]]
        self.gone = asyncio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received = b""
        self._news = asyncio.Condition()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path.partition("?")[0],
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(0), "more_body": bool(self._body)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._news:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self.received += message["body"]
            self._news.notify_all()

    async def until(self, text: str) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: text.encode() in self.received), PATIENCE_S)

    async def ended(self) -> Exchange:
        await asyncio.wait_for(self.task, PATIENCE_S)
        return self

    @property
    def json(self) -> Any:
        return json.loads(self.received)


class Host:
    def __init__(self, folder: Path) -> None:
        plan = Plan(
            variant="tiny",
            repository="tests/tiny",
            device="cpu",
            dtype="float32",
            max_tiles=12,
            max_frames=8,
            context=4096,
            batch=4,
            feature_cache_bytes=0,
            prefix_cache_bytes=0,
        )
        launch = Launch(
            spec=HostSpec(plan=plan, folder=folder, idle_unload_s=60.0),
            key="0123456789abcdef",
            version="1.0.0",
            secret="s3cret",
            socket=None,
            record=folder / "record",
            log=folder / "log",
        )
        self.generator = Played()
        self.stopped = 0
        self.lifecycle = Lifecycle(self.generator, 60.0, self._stop)
        self._app = build_app(launch, self.lifecycle)

    def _stop(self) -> None:
        self.stopped += 1

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Exchange:
        return Exchange(self._app, method, path, body, {"authorization": "Bearer s3cret"} | headers)

    def ask(self, **changes: Any) -> Exchange:
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True} | changes
        return self.send("POST", "/v1/chat/completions", json.dumps(body).encode())

    async def work(self) -> Work:
        return await asyncio.wait_for(self.generator.works.get(), PATIENCE_S)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


END = Finished(reason="stop", usage=Usage(prompt_tokens=5, cached_tokens=2, completion_tokens=3, tiles=7))


async def test_an_answer_is_streamed_as_it_comes(host: Host) -> None:
    asked = host.ask(stream_options={"include_usage": True})
    work = await host.work()
    work.emit(Stage(name="seeing", done=1, total=7))
    await asked.until(': internvl {"name":"seeing","done":1,"total":7}')
    assert (asked.status, asked.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    work.emit(Delta(text="Hello"))
    await asked.until('"content":"Hello"')
    work.emit(END)
    await asked.ended()
    assert asked.received.endswith(b"data: [DONE]\n\n")
    assert b'"cached_tokens":2' in asked.received
    assert not work.cancelled


async def test_usage_is_streamed_only_to_those_who_ask(host: Host) -> None:
    asked = host.ask()
    (await host.work()).emit(END)
    assert b'"usage"' not in (await asked.ended()).received


async def test_without_stream_the_answer_comes_whole(host: Host) -> None:
    asked = host.ask(stream=False)
    work = await host.work()
    for event in (
        Stage(name="seeing", done=1, total=7),
        Stage(name="seeing", done=7, total=7),
        Delta(text="Hel"),
        Delta(text="lo"),
        END,
    ):
        work.emit(event)
    answer = (await asked.ended()).json
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == 8
    assert answer["internvl"] == {
        "stages": [{"name": "seeing", "done": 7, "total": 7}],
        "tiles": 7,
        "cached_tiles": 0,
        "first_token_s": None,
        "repetition": False,
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_first_event_has_a_status_of_its_own(host: Host, stream: bool) -> None:
    asked = host.ask(stream=stream)
    (await host.work()).emit(InvalidArgument("the picture is empty", "Send another."))
    await asked.ended()
    assert asked.status == 400
    assert asked.json["error"] == {
        "message": "the picture is empty",
        "type": "invalid_request_error",
        "code": "invalid_argument",
        "hint": "Send another.",
    }


async def test_an_error_in_the_middle_ends_the_stream(host: Host) -> None:
    asked = host.ask()
    work = await host.work()
    work.emit(Delta(text="Hel"))
    work.emit(OutOfMemory("no room", "Fewer tiles."))
    await asked.ended()
    assert asked.status == 200
    assert b'"code":"out_of_memory"' in asked.received
    assert not work.cancelled


async def test_a_long_wait_is_filled_with_signs_of_life(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "KEEP_ALIVE_S", 0.01)
    asked = host.ask()
    work = await host.work()
    await asked.until(": waiting\n\n: waiting\n\n")
    work.emit(END)
    assert (await asked.ended()).received.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_who_leaves_has_the_work_cancelled(host: Host, stream: bool, begun: bool) -> None:
    asked = host.ask(stream=stream)
    work = await host.work()
    if begun:
        work.emit(Delta(text="Hel"))
    if begun and stream:
        await asked.until("Hel")
    asked.gone.set()
    await asked.ended()
    assert work.cancelled
    assert host.lifecycle.in_hand == 0


async def test_what_the_generator_says_late_goes_nowhere(host: Host) -> None:
    asked = host.ask()
    work = await host.work()
    asked.gone.set()
    await asked.ended()
    work.emit(Delta(text="late"))
    work.emit(END)
    assert asked.received == b""


async def test_a_host_told_to_end_finishes_its_work_and_takes_no_more(host: Host) -> None:
    asked = host.ask()
    work = await host.work()
    told = await host.send("POST", "/shutdown").ended()
    assert told.json == {"ending": True, "in_hand": 1}
    assert host.stopped == 0
    refused = await host.ask().ended()
    assert (refused.status, refused.json["error"]["code"]) == (500, "model_failed")
    assert (await host.send("GET", "/health").ended()).json["state"] == "ending"
    work.emit(END)
    assert (await asked.ended()).received.endswith(b"data: [DONE]\n\n")
    assert host.stopped == 1


async def test_a_host_that_must_end_now_tells_those_who_wait(host: Host) -> None:
    asked = host.ask()
    work = await host.work()
    host.lifecycle.end_now()
    await asked.ended()
    assert asked.json["error"]["code"] == ModelFailed.code
    assert work.cancelled


@pytest.mark.parametrize("header", [None, "", "s3cret", "Bearer", "Bearer s3cre", "Bearer s3cret ", "Basic s3cret"])
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/shutdown", "/v1/chat/completions", "/absent"])
async def test_without_the_secret_everything_is_401(host: Host, path: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    asked = Exchange(host._app, "POST", path, b"{}", headers)
    await asked.ended()
    assert (asked.status, asked.json["error"]["code"]) == (401, "access_denied")
    assert asked.headers["www-authenticate"] == "Bearer"
    assert not host.lifecycle.ending


async def test_models_names_the_variant(host: Host) -> None:
    listed = (await host.send("GET", "/v1/models").ended()).json
    (model,) = listed["data"]
    assert (model["id"], model["max_model_len"]) == ("tiny", 4096)
    assert model["internvl"] == {"json_schema": True, "tile_side": None}, "nothing is loaded"


async def test_a_schema_reaches_the_generator(host: Host) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    asked = host.ask(response_format=form)
    work = await asyncio.wait_for(host.generator.works.get(), PATIENCE_S)
    assert work.ask.json_schema == {"type": "object"}
    work.emit(Finished(reason="stop", usage=Usage()))
    assert (await asked.ended()).status == 200


async def test_health_tells_how_the_host_is(host: Host) -> None:
    host.generator.now = GeneratorState(state="loading", loaded=0.25, waiting=2, device_bytes=9)
    health = (await host.send("GET", "/health").ended()).json
    assert (health["state"], health["loaded"], health["waiting"], health["device_bytes"]) == ("loading", 0.25, 2, 9)
    assert (health["version"], health["variant"], health["key"]) == ("1.0.0", "tiny", "0123456789abcdef")


@pytest.mark.parametrize("model", ["tiny", "tests/tiny", "", None])
async def test_the_model_may_be_named_or_not(host: Host, model: str | None) -> None:
    asked = host.ask(model=model)
    (await host.work()).emit(END)
    assert (await asked.ended()).status == 200


async def test_another_model_is_404(host: Host) -> None:
    asked = await host.ask(model="gpt-4o").ended()
    assert (asked.status, asked.json["error"]["code"]) == (404, "unknown_variant")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/absent", 404), ("GET", "/shutdown", 405)])
async def test_a_wrong_path_or_method_is_told_in_json(host: Host, method: str, path: str, status: int) -> None:
    asked = await host.send(method, path).ended()
    assert (asked.status, path in asked.json["error"]["message"]) == (status, True)


async def test_more_than_a_question_may_hold_is_refused_before_it_is_read(host: Host) -> None:
    asked = await host.send("POST", "/v1/chat/completions", b"x", **{"content-length": str(1 << 40)}).ended()
    assert (asked.status, asked.json["error"]["code"]) == (413, "limit_exceeded")


async def test_more_than_a_question_may_hold_is_refused_without_a_length_too(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.host.app._MAX_BODY", 15)
    asked = await host.send("POST", "/v1/chat/completions", b"x" * 16).ended()
    assert (asked.status, asked.json["error"]["code"]) == (413, "limit_exceeded")


async def test_a_large_question_is_read_off_the_event_loop(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision.host.app._LARGE", 10)
    asked = host.ask(max_tokens=17)
    work = await host.work()
    assert work.ask.max_tokens == 17
    work.emit(END)
    assert (await asked.ended()).status == 200


class _Clock:
    """Timers of the event loop, run by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def _call_later(self, seconds: float, call: Callable[[], None]) -> _Clock:
        self.due = [(seconds, call)]
        return self

    def cancel(self) -> None:
        self.due = []

    def strike(self) -> None:
        ((_, call),) = self.due
        self.due = []
        call()


async def test_the_idle_time_runs_only_while_nobody_asks(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = host.ask()
    work = await host.work()
    clock = _Clock(monkeypatch)
    host.lifecycle.keep()
    assert clock.due == []
    work.emit(END)
    monkeypatch.undo()
    await asked.ended()
    clock = _Clock(monkeypatch)
    host.lifecycle.keep()
    host.generator.now = GeneratorState(state="loading")
    clock.strike()
    assert (host.stopped, clock.due[0][0]) == (0, 60.0)
    host.generator.now = GeneratorState(state="ready")
    clock.strike()
    assert host.stopped == 1
