"""Fifty clients at once over HTTP: mixed calls, slow readers, clients that leave. Writes results/http_load.json.

    python benchmarks/http_load.py [--clients 50] [--seconds 180]

Starts `internvl-mcp serve --http` on this machine, with a token for every fifth client, so that owners differ. Each
client has a connection of its own, comes within the first five seconds and makes one call after the other, with up to
0.4 s between them:

- list, status: tools/list and manage_model, the light calls, which need no decoder;
- read: extract_text of a picture that was read before: decoding alone;
- fresh: extract_text of a part of a picture that nobody read before: the recogniser works all the time;
- slow: as read, by a client that takes 512 bytes of the reply at a time, through a small window;
- leave: as fresh, by a client that breaks the connection off meanwhile.

A call has failed when it ends in anything but its result, at once or through get_result, or an error `busy`.

Light calls: their single-client time is what such calls take one client with nobody else there, at the 95th percentile
of 300, the better of two rounds, before and after the load; under load it is the 95th percentile of those that the
fifty make. `ratio`, of each kind, is the one over the other, like against like, and should stay below 3;
`ratio_to_median` is the time under load over the median alone. A call's time runs from before its first byte is written
to the socket until after the last of its reply is read, in a client that does little else. `generator` has the share of
a core that all clients took together, and by how much their event loop was late (95th percentile): this is in every
time under load, and nothing the server can help.

Leak: the server's resident memory and open files are looked at every two seconds; without the first sixth of the time,
their means in the last third against those in the first. A conversation is kept for every result, in memory with the
picture it was asked about, up to 128 MiB in all (`vision.conversations`): what the clients sent for it is counted here
(`kept_mb`) and taken off before the two are compared. The rest may grow by the pages that were read, of which 32 MiB
are kept (`vision.service`). `idle_open_files`: with nobody connected, before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MODERN = "2026-07-28"
RESULT = Path(__file__).parent / "results" / "http_load.json"
KINDS = {"list": 27, "status": 28, "read": 20, "fresh": 10, "slow": 8, "leave": 7}
LIGHT = ("list", "status")
ALONE_CALLS = 300
MOST_RATIO = 3.0
LOOK_EVERY_S = 2.0
LAG_EVERY_S = 0.01
PAUSE_S = 0.4
RAMP_S = 5.0
JOB_WAIT_S = 30
MOST_KEPT_MB = 128
MOST_GROWTH_MB = 32
MOST_MORE_FILES = 4  # the pipes and sockets of decoders that are up or not
SETTLE_S = 2.0
MIB = 1 << 20
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / MIB


class Reply(NamedTuple):
    status: int
    kind: str
    body: bytes
    seconds: float


class Connection:
    """HTTP/1.1 with next to nothing around it. `window`: bytes the socket takes in; None: the system's."""

    def __init__(self, url: str, token: str, window: int | None = None) -> None:
        self._host, self._port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self._token, self._window = token, window
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, body: bytes, headers: dict[str, str]) -> tuple[asyncio.StreamReader, float]:
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()
        if self._streams is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            if self._window is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._window)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (self._host, self._port))
            self._streams = await asyncio.open_connection(sock=sock)
        sent = {
            "host": f"{self._host}:{self._port}",
            "authorization": f"Bearer {self._token}",
            "content-length": str(len(body)),
            **headers,
        }
        lines = "\r\n".join(f"{name}: {value}" for name, value in sent.items())
        reader, writer = self._streams
        began = time.perf_counter()
        writer.write(f"POST /mcp HTTP/1.1\r\n{lines}\r\n\r\n".encode() + body)
        await writer.drain()
        return reader, began

    async def ask(self, body: bytes, headers: dict[str, str], pause_s: float = 0.0) -> Reply:
        """`pause_s`: how long it rests after each 512 bytes of the reply."""
        reader, began = await self.send(body, headers)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        told = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        if "content-length" in told:
            text = await _taken(reader, int(told["content-length"]), pause_s)
        else:
            text = b""
            while size := int(await reader.readline(), 16):
                text += await _taken(reader, size, pause_s)
                await reader.readline()
            await reader.readline()
        seconds = time.perf_counter() - began
        if told.get("connection") == "close":
            await self.close()
        return Reply(int(head.split(" ", 2)[1]), told.get("content-type", ""), text, seconds)

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.transport.abort()


async def _taken(reader: asyncio.StreamReader, size: int, pause_s: float) -> bytes:
    if not pause_s:
        return await reader.readexactly(size)
    text = b""
    while len(text) < size:
        text += await reader.readexactly(min(512, size - len(text)))
        await asyncio.sleep(pause_s)
    return text


@dataclass
class Load:
    url: str
    pictures: list[str]
    outcomes: Counter[str] = field(default_factory=Counter)
    light: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)
    kept_bytes: int = 0

    async def light_call(self, connection: Connection, kind: str) -> str:
        reply = await connection.ask(*_LIGHT_MESSAGES[kind])
        self.light[kind].append(reply.seconds)
        return outcome(reply)

    async def alone(self, connection: Connection) -> dict[str, list[float]]:
        """The times of light calls with nobody else there."""
        self.light = defaultdict(list)
        for kind in LIGHT * ALONE_CALLS:
            assert await self.light_call(connection, kind) == "ok"
        await connection.close()
        found, self.light = self.light, defaultdict(list)
        return found

    async def reading(self, connection: Connection, chance: random.Random, pause_s: float = 0.0, **more: Any) -> str:
        """extract_text, and get_result where that is a job."""
        body, headers = tool("extract_text", source=chance.choice(self.pictures), **more)
        reply = await connection.ask(body, headers, pause_s)
        while (job := job_of(reply)) is not None:
            reply = await connection.ask(*tool("get_result", job_id=job, wait_s=JOB_WAIT_S))
        found = outcome(reply)
        self.kept_bytes += len(body) if found == "ok" else 0
        return found

    async def leaving(self, connection: Connection, chance: random.Random) -> str:
        body, headers = tool("extract_text", source=chance.choice(self.pictures), region=some_region(chance))
        await connection.send(body, headers)
        await asyncio.sleep(chance.uniform(0, 0.5))
        await connection.close()
        return "left"

    async def client(self, number: int, token: str, until: float) -> None:
        chance = random.Random(number)
        plain, narrow = Connection(self.url, token), Connection(self.url, token, window=2048)
        calls: dict[str, Callable[[], Awaitable[str]]] = {
            "list": lambda: self.light_call(plain, "list"),
            "status": lambda: self.light_call(plain, "status"),
            "read": lambda: self.reading(plain, chance),
            "fresh": lambda: self.reading(plain, chance, region=some_region(chance)),
            "slow": lambda: self.reading(narrow, chance, pause_s=0.02),
            "leave": lambda: self.leaving(plain, chance),
        }
        await asyncio.sleep(chance.uniform(0, RAMP_S))
        while time.monotonic() < until:
            kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
            try:
                found = await calls[kind]()
            except (OSError, EOFError, ValueError) as error:
                found = type(error).__name__
                await plain.close()
                await narrow.close()
            self.outcomes[f"{kind}: {found}"] += 1
            if found not in ("ok", "busy", "left"):
                self.failures.append(f"{kind}: {found}")
            await asyncio.sleep(chance.uniform(0, PAUSE_S))
        await plain.close()
        await narrow.close()


def some_region(chance: random.Random) -> list[float]:
    """A part of the picture; among so many it is the first of its kind."""
    x, y = chance.uniform(0, 300), chance.uniform(0, 200)
    return [round(x, 2), round(y, 2), round(x + chance.uniform(150, 350), 2), round(y + chance.uniform(100, 250), 2)]


def message(method: str, params: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}).encode()
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    return body, headers | ({"mcp-name": params["name"]} if "name" in params else {})


def tool(name: str, **arguments: Any) -> tuple[bytes, dict[str, str]]:
    return message("tools/call", {"name": name, "arguments": arguments})


_LIGHT_MESSAGES = {"list": message("tools/list", {}), "status": tool("manage_model", action="status")}


def answer(reply: Reply) -> dict[str, Any]:
    text = reply.body.decode()
    if reply.kind.startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data: ")][-1].removeprefix("data: ")
    return json.loads(text)


def job_of(reply: Reply) -> str | None:
    """The job that is still at work."""
    found = answer(reply).get("result", {}).get("structuredContent") or {} if reply.status == 200 else {}
    return found.get("job_id") if found.get("state") == "working" else None


def outcome(reply: Reply) -> str:
    """ok, an error's code, or what else it was."""
    found = answer(reply)
    if reply.status != 200:
        return found["error"]["code"] if found["error"].get("code") == "busy" else f"status {reply.status}"
    if "result" not in found:
        return f"error {found['error']['code']}"
    if not found["result"].get("isError"):
        return "ok"
    return json.loads(found["result"]["content"][0]["text"])["error"]["code"]


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else float("nan")


@dataclass
class Watch:
    """What the server's process holds, and how late this process is, while it lasts."""

    pid: int
    load: Load
    memory_mb: list[float] = field(default_factory=list)
    kept_mb: list[float] = field(default_factory=list)
    open_files: list[float] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)

    async def server(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        self.memory_mb.append(int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_MB)
        self.kept_mb.append(min(MOST_KEPT_MB, self.load.kept_bytes / MIB))
        self.open_files.append(self.files_now())

    def files_now(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def lag(self) -> None:
        while True:
            due = time.perf_counter() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.lags_s.append(time.perf_counter() - due)

    def leak(self, idle_files: tuple[int, int]) -> dict[str, Any]:
        """`idle_files`: open before and after."""
        found = {"memory_mb": self.memory_mb, "kept_mb": self.kept_mb, "open_files": self.open_files}
        means = {name: _thirds(values) for name, values in found.items()}
        memory, kept = (means[name][1] - means[name][0] for name in ("memory_mb", "kept_mb"))
        before, after = idle_files
        leaks = memory - kept > MOST_GROWTH_MB or after > before + MOST_MORE_FILES
        shown = {name: {"first_third": round(a, 1), "last_third": round(b, 1)} for name, (a, b) in means.items()}
        return {
            **shown,
            "growth_beside_kept_mb": round(memory - kept, 1),
            "idle_open_files": {"before": before, "after": after},
            "verdict": "grows" if leaks else "none",
        }


def _thirds(values: list[float]) -> tuple[float, float]:
    warm = values[len(values) // 6 :]
    third = max(1, len(warm) // 3)
    return statistics.mean(warm[:third]), statistics.mean(warm[-third:])


async def measure(
    url: str, pid: int, clients: int, seconds: float, tokens: list[str], pictures: list[str]
) -> dict[str, Any]:
    load = Load(url, pictures)
    one = Connection(url, tokens[0])
    for picture in pictures:  # decoders and recogniser are up, and the pictures are known
        assert outcome(await one.ask(*tool("extract_text", source=picture))) == "ok"
    before = await load.alone(one)
    watch = Watch(pid, load)
    await asyncio.sleep(SETTLE_S)
    files = watch.files_now()
    watching = [asyncio.create_task(watch.server()), asyncio.create_task(watch.lag())]
    until, busy = time.monotonic() + seconds, time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(load.client(number, tokens[number % len(tokens)], until))
    busy = time.process_time() - busy
    for task in watching:
        task.cancel()
    await asyncio.sleep(SETTLE_S)
    files_after, loaded = watch.files_now(), load.light
    after = await load.alone(one)
    light = {kind: _light(min(before[kind], after[kind], key=p95), loaded[kind]) for kind in LIGHT}
    return {
        "clients": clients,
        "seconds": seconds,
        "cores": os.cpu_count(),
        "calls": sum(load.outcomes.values()),
        "outcomes": dict(sorted(load.outcomes.items())),
        "failures": len(load.failures),
        "first_failures": load.failures[:10],
        "light": light,
        "light_ratio": max(figures["ratio"] for figures in light.values()),
        "generator": {"core_share": round(busy / seconds, 3), "lag_p95_ms": round(1000 * p95(watch.lags_s), 1)},
        "leak": watch.leak((files, files_after)),
    }


def _light(alone: list[float], loaded: list[float]) -> dict[str, float]:
    figures = {
        "calls": len(loaded),
        "alone_median_ms": 1000 * statistics.median(alone),
        "alone_p95_ms": 1000 * p95(alone),
        "loaded_median_ms": 1000 * statistics.median(loaded),
        "loaded_p95_ms": 1000 * p95(loaded),
        "ratio": p95(loaded) / p95(alone),
        "ratio_to_median": p95(loaded) / statistics.median(alone),
    }
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--server", nargs="+", default=[str(Path(sys.executable).with_name("internvl-mcp"))])
    options = parser.parse_args()
    from scripts.samples import make_samples

    with tempfile.TemporaryDirectory() as folder:
        samples = make_samples(Path(folder))
        shown = sorted(samples.report.parent.glob("*.png"))
        pictures = [f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in shown]
        tokens = [f"load-test-token-{number:04}" for number in range(max(1, options.clients // 5))]
        # Folders of its own: manage_model also asks the model hosts that this user has up.
        own = {"XDG_STATE_HOME": folder, "XDG_RUNTIME_DIR": folder}
        environment = {**os.environ, **own, "INTERNVL_MCP_HTTP_TOKENS": ",".join(tokens)}
        command = [*options.server, "serve", "--http", "--port", "0", "--engine", "ocr"]
        with (
            (Path(folder) / "log").open("w+") as log,
            subprocess.Popen(command, env=environment, stderr=log) as server,
        ):
            try:
                url = wait_for_url(Path(folder) / "log", server)
                result = asyncio.run(measure(url, server.pid, options.clients, options.seconds, tokens, pictures))
            finally:
                server.terminate()
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    passed = not result["failures"] and result["light_ratio"] < MOST_RATIO and result["leak"]["verdict"] == "none"
    return 0 if passed else 1


def wait_for_url(log: Path, server: subprocess.Popen[bytes]) -> str:
    while server.poll() is None:
        found = re.search(r"listening on (http://\S+)/mcp", log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit(log.read_text())


if __name__ == "__main__":
    raise SystemExit(main())
