"""The npm launcher towards a client that connects before the environment is there."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.build_npm import LEGACY, LISTS
from tests.manifests.launcher_place import MODERN, LauncherPlace

LIMIT_S = 60
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Talk:
    """A client's side, line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def say(self, message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, number: int | str, method: str, params: dict[str, Any] | None = None, modern: bool = False) -> None:
        params = {**(params or {}), "_meta": {**META, **(params or {}).get("_meta", {})}} if modern else params or {}
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def line(self) -> bytes:
        """The next line; b"" at the end."""
        return self._lines.get(timeout=LIMIT_S)

    def hear(self) -> dict[str, Any]:
        return json.loads(self.line())

    def reply(self, number: int | str) -> dict[str, Any]:
        while (message := self.hear()).get("id") != number:
            pass
        return message

    def connect(self) -> None:
        self.ask(0, "initialize", INITIALIZE)
        assert self.reply(0)["result"]["recorded"]
        self.say(INITIALIZED)

    def end(self) -> tuple[int, str]:
        """Its status and what it wrote to standard error, after the end of its input."""
        assert self.process.stdin is not None and self.process.stderr is not None
        self.process.stdin.close()
        said = self.process.stderr.read().decode()
        return self.process.wait(LIMIT_S), said


@contextmanager
def talking(place: LauncherPlace, command: Sequence[str], **environment: str) -> Iterator[Talk]:
    with subprocess.Popen(
        command, cwd=place.project, env={**place.environment, **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield Talk(process)
        finally:
            process.kill()


def held(place: LauncherPlace) -> None:
    """uv begins to download, and waits."""
    place.with_uv().hold()


def test_client_is_connected_and_sees_the_tools_before_anything_is_installed(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        talk.ask(0, "initialize", INITIALIZE)
        assert talk.hear() == {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18", "recorded": True}}
        talk.say(INITIALIZED)
        for number, method in enumerate(("ping", *LISTS), 1):
            talk.ask(number, method)
            assert talk.hear() == {"jsonrpc": "2.0", "id": number, "result": {"recorded": method}}
        assert not place.ready
        assert talk.end() == (0, "")
        place.let_go()


@pytest.mark.parametrize("version", [*LEGACY, "1999-01-01"])
def test_protocol_version_is_the_clients_own_or_the_newest(place: LauncherPlace, version: str) -> None:
    held(place)
    with talking(place, place.serving(openMs=0)) as talk:
        talk.ask("a", "initialize", {**INITIALIZE, "protocolVersion": version})
        assert talk.reply("a")["result"]["protocolVersion"] == (version if version in LEGACY else LEGACY[-1])
        talk.end()
        # Whoever opens it for writing waits for uv, which the lock's next holder would otherwise find at work.
        place.let_go()


def test_modern_client_discovers_and_lists(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        for number, method in enumerate(("server/discover", *LISTS)):
            talk.ask(number, method, modern=True)
            assert talk.hear()["result"] == {"recorded": method}
        talk.end()
        place.let_go()


def test_modern_client_that_falls_back_is_refused_at_once_as_the_server_would(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        talk.ask("probe", "server/discover", modern=True)
        talk.ask(0, "initialize", INITIALIZE)
        assert talk.reply("probe")["result"] == {"recorded": "server/discover"}
        error = talk.reply(0)["error"]
        assert (error["code"], error["data"]) == (-32022, {"supported": [MODERN], "requested": "2025-06-18"})
        talk.end()
        place.let_go()


def test_call_waits_for_the_server_and_from_then_on_bytes_pass_through(place: LauncherPlace) -> None:
    held(place)
    later = [{"jsonrpc": "2.0", "id": number, "method": f"m\u00fc/{number}"} for number in range(10, 14)]
    with talking(place, place.command) as talk:
        talk.connect()
        talk.ask(1, "tools/list")
        assert talk.hear()["result"] == {"recorded": "tools/list"}
        talk.ask(2, "tools/call", {"name": "t"})
        # Half a line that is there when the server takes over, and its other half later.
        talk.say(b'{"jsonrpc":"2.0","id":9,')
        place.let_go()
        through = [talk.line()]
        talk.say(b'"method":"half"}\n')
        for message in later:
            talk.say(message)
        through += [talk.line() for _ in range(5)]
        assert talk.end()[0] == 0
    messages = (
        {"jsonrpc": "2.0", "id": 0, "method": "initialize"}, INITIALIZED,
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"jsonrpc": "2.0", "id": 2, "method": "tools/call"},
        {"jsonrpc": "2.0", "id": 9, "method": "half"}, *later,
    )  # fmt: skip
    direct = subprocess.run(
        [place.made / "bin" / "internvl-mcp"], input=b"".join(json.dumps(m).encode() + b"\n" for m in messages),
        cwd=place.project, env=place.environment, capture_output=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    # The server heard all of it in the client's order, and its two answers to what had one already were dropped.
    assert through == direct.stdout.splitlines(keepends=True)[2:]


def test_nothing_is_recorded_for_what_only_the_server_knows(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        talk.connect()
        for number, (method, params) in enumerate(
            [("tools/list", {"cursor": "next"}), ("prompts/get", {"name": "p"}), ("server/discover", {"_meta": META})],
            1,
        ):
            talk.ask(number, method, params)
        place.let_go()
        heard = [talk.hear() for _ in range(3)]
        assert [reply["result"]["heard"] for reply in heard] == ["tools/list", "prompts/get", "server/discover"]
        talk.end()


def test_waiting_call_is_told_how_far_it_is(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.serving(progressMs=50)) as talk:
        talk.connect()
        talk.ask(1, "tools/call", {"name": "t", "_meta": {"progressToken": "p"}})
        said = [talk.hear()["params"] for _ in range(3)]
        assert {params["progressToken"] for params in said} == {"p"}
        assert said[0]["progress"] < said[1]["progress"] < said[2]["progress"] < 1
        assert said[2]["message"] == "Setting up, once: downloading, 0 of about 20 MB"
        place.let_go()
        assert talk.reply(1)["result"]["heard"] == "tools/call"
        talk.end()


@pytest.mark.parametrize("modern", [False, True])
def test_call_that_waits_too_long_is_told_to_come_again(place: LauncherPlace, modern: bool) -> None:
    held(place)
    with talking(place, place.serving(callMs=100, progressMs=50)) as talk:
        if modern:
            talk.ask(0, "server/discover", modern=True)
            talk.reply(0)
        else:
            talk.connect()
        talk.ask(1, "tools/call", {"name": "t"}, modern=modern)
        result = talk.reply(1)["result"]
        assert result["isError"] and "still being installed" in result["content"][0]["text"]
        assert "Call again" in result["content"][0]["text"]
        assert ("resultType" in result) == modern
        talk.ask(2, "prompts/get", {"name": "p"}, modern=modern)
        assert talk.reply(2)["error"]["data"]["code"] == "INSTALLING"
        place.let_go()
        for number in range(3, 1000):
            talk.ask(number, "tools/call", {"name": "t"}, modern=modern)
            if "lines" in (result := talk.reply(number)["result"]):
                break
        # What was refused is not done behind the client's back.
        assert result["lines"] == (2 if modern else 3)
        talk.end()


def test_call_that_is_cancelled_while_it_waits_never_runs(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        talk.connect()
        talk.ask(1, "tools/call", {"name": "t"})
        talk.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        talk.ask(2, "tools/call", {"name": "t"})
        place.let_go()
        reply = talk.hear()
        assert (reply["id"], reply["result"]["lines"]) == (2, 3)
        talk.end()


def test_set_up_goes_on_when_the_client_leaves(place: LauncherPlace) -> None:
    held(place)
    with talking(place, place.command) as talk:
        talk.connect()
        assert talk.end()[0] == 0
    place.let_go()
    place.settle()
    assert place.ready


def test_bad_setting_is_told_to_whoever_waits(place: LauncherPlace) -> None:
    held(place)
    with talking(place, [*place.command, "--bad"]) as talk:
        talk.connect()
        talk.ask(1, "tools/call", {"name": "t"})
        place.let_go()
        assert "there is no setting bad" in talk.reply(1)["error"]["message"]
        assert talk.line() == b""
        code, said = talk.end()
        assert code == 2 and "there is no setting bad" in said


def test_failure_at_once_is_a_failure_to_connect(place: LauncherPlace) -> None:
    with talking(place, place.command) as talk:
        talk.ask(0, "initialize", INITIALIZE)
        error = talk.reply(0)["error"]
        assert error["data"]["code"] == "NO_PYTHON" and "Install uv" in error["data"]["hint"]
        assert talk.line() == b"", "it ends when the client has heard"
        code, said = talk.end()
        assert code == 1 and "uv or Python 3.11 to 3.14 is needed" in said


def test_failure_is_told_to_a_client_that_asks_late(place: LauncherPlace) -> None:
    with talking(place, place.serving(silentMs=LIMIT_S * 1000)) as talk:
        assert talk.process.stderr is not None
        assert b"uv or Python" in talk.process.stderr.readline()
        talk.ask(0, "server/discover", modern=True)
        talk.ask(1, "tools/list", modern=True)
        assert [talk.hear()["error"]["data"]["code"] for _ in range(2)] == ["NO_PYTHON"] * 2
        assert talk.line() == b""


def test_launcher_whose_client_says_nothing_ends_after_a_failure(place: LauncherPlace) -> None:
    with talking(place, place.serving(silentMs=100)) as talk:
        assert talk.line() == b""
        assert talk.end()[0] == 1


def test_failure_after_the_client_was_connected_is_told_to_calls_and_tried_again(place: LauncherPlace) -> None:
    held(place)
    (place.programs / "later").write_text("error sending request: Connection refused (os error 111)")
    uv = place.programs / "uv"
    text = uv.read_text()
    uv.write_text(
        text.replace(
            "made = pathlib.Path(words[words",
            "sys.exit((here / 'later').read_text())\n    made = pathlib.Path(words[words",
        )
    )
    with talking(place, place.serving(againMs=0)) as talk:
        talk.connect()
        talk.ask(1, "tools/call", {"name": "t"})
        place.let_go()
        result = talk.reply(1)["result"]
        assert result["isError"] and "No connection to the Python package index" in result["content"][0]["text"]
        (place.programs / "wait").unlink()
        uv.write_text(text)
        talk.ask(2, "tools/call", {"name": "t"})
        assert talk.reply(2)["result"]["heard"] == "tools/call"
        assert talk.end()[0] == 0
