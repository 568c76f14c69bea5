"""Many clients at once over HTTP: mixed calls, slow readers, clients that leave. Writes results/http_load.json.

    python benchmarks/http_load.py [--clients 50] [--seconds 180]

Starts `internvl-mcp serve --http` with a token for every fifth client, so that owners differ. A call counts as failed
when it ends in anything but a result or `busy`. Light calls (tools/list, manage_model) are measured beside: their p95
under the load over that of one client alone should stay under 3. Memory and open files are read from /metrics, before
and, with nobody connected, after.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx2

MODERN = "2026-07-28"
RESULT = Path(__file__).parent / "results" / "http_load.json"
ALONE_CALLS = 100
SETTLE_S = 10.0


class Load:
    def __init__(self, url: str, pictures: list[str]) -> None:
        self.url, self.pictures = url, pictures
        self.outcomes: Counter[str] = Counter()
        self.light: list[float] = []
        self.failures: list[str] = []

    async def ask(self, http: httpx2.AsyncClient, method: str, **params: Any) -> str:
        """The outcome of one request of the newer protocol: ok, an error's code, or what went wrong with it."""
        body, headers = message(method, params)
        began = time.perf_counter()
        reply = await http.post(f"{self.url}/mcp", content=body, headers=headers)
        if method == "tools/list" or params.get("name") == "manage_model":
            self.light.append(time.perf_counter() - began)
        if reply.status_code != 200:
            return f"status {reply.status_code}"
        return outcome(reply.text, reply.headers["content-type"])

    async def client(self, number: int, token: str, until: float) -> None:
        chance = random.Random(number)
        async with httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}"}, timeout=120, trust_env=False
        ) as http:
            while time.monotonic() < until:
                kind = chance.choices(("list", "status", "read", "slow", "leave"), (30, 30, 25, 8, 7))[0]
                try:
                    found = await self.one(http, kind, chance)
                except httpx2.HTTPError as error:
                    found = type(error).__name__
                self.outcomes[f"{kind}: {found}"] += 1
                if found not in ("ok", "busy", "left"):
                    self.failures.append(f"{kind}: {found}")
                await anyio.sleep(chance.uniform(0, 0.4))

    async def one(self, http: httpx2.AsyncClient, kind: str, chance: random.Random) -> str:
        if kind == "list":
            return await self.ask(http, "tools/list")
        if kind == "status":
            return await self.ask(http, "tools/call", name="manage_model", arguments={"action": "status"})
        body, headers = message("tools/call", reading(chance.choice(self.pictures)))
        if kind == "read":
            return await self.ask(http, "tools/call", **reading(chance.choice(self.pictures)))
        async with http.stream("POST", f"{self.url}/mcp", content=body, headers=headers) as reply:
            if kind == "leave":
                return "left"
            text = b""
            async for part in reply.aiter_raw(512):  # a reader that takes its time
                text += part
                await anyio.sleep(0.02)
            return outcome(text.decode(), reply.headers.get("content-type", ""))


def connected(token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=120, trust_env=False)


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


def reading(picture: str) -> dict[str, Any]:
    return {"name": "extract_text", "arguments": {"source": picture}}


def outcome(text: str, kind: str) -> str:
    if kind.startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data: ")][-1].removeprefix("data: ")
    reply = json.loads(text)
    if "result" not in reply:
        return f"error {reply['error']['code']}"
    if not reply["result"].get("isError"):
        return "ok"
    return json.loads(reply["result"]["content"][0]["text"])["error"]["code"]


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


async def figures(http: httpx2.AsyncClient, url: str) -> dict[str, float]:
    shown = (await http.get(f"{url}/metrics")).text
    wanted = {"memory_mb": "process_resident_memory_bytes", "open_files": "process_open_fds"}
    found = {name: float(re.findall(rf"^{metric} (\S+)$", shown, re.M)[0]) for name, metric in wanted.items()}
    return found | {"memory_mb": round(found["memory_mb"] / (1 << 20), 1)}


async def measure(url: str, clients: int, seconds: float, tokens: list[str], pictures: list[str]) -> dict[str, Any]:
    load = Load(url, pictures)
    async with httpx2.AsyncClient(
        headers={"authorization": f"Bearer {tokens[0]}"}, timeout=120, trust_env=False
    ) as http:
        await load.ask(http, "tools/call", **reading(pictures[0]))  # decoders and recogniser are up
        load.light.clear()
        for _ in range(ALONE_CALLS):
            await load.ask(http, "tools/list")
            await load.ask(http, "tools/call", name="manage_model", arguments={"action": "status"})
        alone, load.light = load.light, []
        before = await figures(http, url)
        until = time.monotonic() + seconds
        async with anyio.create_task_group() as group:
            for number in range(clients):
                group.start_soon(load.client, number, tokens[number % len(tokens)], until)
        await anyio.sleep(SETTLE_S)
        after = await figures(http, url)
    return {
        "clients": clients,
        "seconds": seconds,
        "calls": sum(load.outcomes.values()),
        "outcomes": dict(sorted(load.outcomes.items())),
        "failures": len(load.failures),
        "first_failures": load.failures[:10],
        "light_p95_ms": {"alone": round(1000 * p95(alone), 1), "loaded": round(1000 * p95(load.light), 1)},
        "light_ratio": round(p95(load.light) / p95(alone), 2),
        "before": before,
        "after": after,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    from scripts.samples import make_samples

    with tempfile.TemporaryDirectory() as folder:
        samples = make_samples(Path(folder))
        shown = sorted(samples.report.parent.glob("*.png"))
        pictures = [f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" for path in shown]
        tokens = [f"load-test-token-{number:04}" for number in range(max(1, options.clients // 5))]
        command = [str(Path(sys.executable).with_name("internvl-mcp")), "serve", "--http", "--port", "0"]
        environment = {**os.environ, "INTERNVL_MCP_HTTP_TOKENS": ",".join(tokens), "XDG_STATE_HOME": folder}
        with (
            (Path(folder) / "log").open("w+") as log,
            subprocess.Popen([*command, "--engine", "ocr"], env=environment, stderr=log) as server,
        ):
            try:
                url = wait_for_url(Path(folder) / "log", server)
                result = anyio.run(measure, url, options.clients, options.seconds, tokens, pictures)
            finally:
                server.terminate()
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 1 if result["failures"] or result["light_ratio"] >= 3 else 0


def wait_for_url(log: Path, server: subprocess.Popen[bytes]) -> str:
    while server.poll() is None:
        found = re.search(r"listening on (http://\S+)/mcp", log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit(log.read_text())


if __name__ == "__main__":
    raise SystemExit(main())
