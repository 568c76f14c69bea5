"""What our server adds to a question to a model that somebody serves: calls of a tool, over stdio, against the same
questions sent to the same address by an HTTP client, side by side, at 1 and 16 at a time.

    python benchmarks/remote_overhead.py [--endpoint URL] [--rounds N] [--smoke]

The tool is ask_followup, as it neither decodes nor reads a picture: what is left is protocol, choice, request and
stream. Without --endpoint a paced server is started (benchmarks/paced_server.py), whose answers take the same time
however many ask; with one, its key is taken from INTERNVL_MCP_ENDPOINT_KEY. Each round asks both sides questions of
the same kind, one side after the other, who begins alternating; what counts is the median of the rounds' ratios. Takes
two minutes with ten rounds. Writes benchmarks/results/remote_overhead.json unless --smoke is given.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from PIL import Image

from vision.chat.request import write_request
from vision.chat.types import Ask, ImagePart, Message, TextPart
from vision.prompts.describe import describe
from vision.prompts.followup import follow_up
from vision.prompts.system import DEFAULT

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "remote_overhead.json"
LIMITS = {"time_over_direct": 1.05, "throughput_over_direct": 0.95}
AT_A_TIME = (1, 16)
FIRST, NEXT = "What is on this picture?", "Tell more about question number {number}."
ANSWER_TOKENS = 64
KEY = os.environ.get("INTERNVL_MCP_ENDPOINT_KEY")


@contextmanager
def paced() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(ROOT / "benchmarks" / "paced_server.py"), str(port)]) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


class Direct:
    """The same requests, by one HTTP client that keeps its connections."""

    def __init__(self, url: str, model: str, picture: bytes) -> None:
        headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
        self.http = httpx2.AsyncClient(headers=headers, timeout=600)
        self.url, self.model, self.picture = url, model, ImagePart(data=picture)

    def body(self, number: int, answer: str) -> bytes:
        prompt = describe([self.picture], FIRST, "normal", 12)
        said = (*prompt.messages, Message(role="assistant", parts=(TextPart(text=answer),)))
        asked = follow_up(said, NEXT.format(number=number), 12)
        system = Message(role="system", parts=(TextPart(text=DEFAULT),))
        return write_request(Ask(messages=(system, *asked.messages), max_tokens=ANSWER_TOKENS), self.model)

    async def ask(self, number: int, answer: str) -> None:
        body = self.body(number, answer)
        headers = {"Content-Type": "application/json"}
        async with self.http.stream("POST", f"{self.url}/chat/completions", content=body, headers=headers) as response:
            response.raise_for_status()
            lines = [line async for line in response.aiter_lines()]
        if "data: [DONE]" not in lines:
            raise RuntimeError("the direct answer broke off")


class Ours:
    """Our server's tools; every question goes on from a fresh look at the same picture."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answer = ""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        if result.is_error or result.structured_content is None or result.structured_content["answer"] is None:
            raise RuntimeError(f"{tool}: {result.content}")
        return result.structured_content

    async def looked(self, count: int) -> list[str]:
        """Conversations that begin with the picture."""
        found: list[dict[str, Any]] = []

        async def look() -> None:
            found.append(await self.call("describe_image", sources=["plain.png"], question=FIRST))

        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(look)
        self.answer = found[-1]["answer"]
        return [result["conversation_id"] for result in found]

    async def ask(self, number: int, conversation_id: str) -> None:
        await self.call("ask_followup", conversation_id=conversation_id, question=NEXT.format(number=number))


async def timed(asks: list[Callable[[], Awaitable[None]]]) -> tuple[list[float], float]:
    """(seconds of each, seconds until all were done), asked at once."""
    seconds: list[float] = []

    async def one(ask: Callable[[], Awaitable[None]]) -> None:
        began = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for ask in asks:
            group.start_soon(one, ask)
    return seconds, time.perf_counter() - began


async def compare(ours: Ours, direct: Direct, at_a_time: int, rounds: int) -> dict[str, Any]:
    """The median of the rounds' ratios: both sides of a round meet the same machine and the same server."""
    middle: dict[str, list[float]] = {"ours": [], "direct": []}
    walls: dict[str, list[float]] = {"ours": [], "direct": []}
    for number in range(rounds):
        ids = await ours.looked(at_a_time)
        # No side asks what the other one asked: a server that keeps prompts would have it ready.
        mine, theirs = (
            range(start, start + at_a_time) for start in (2 * number * at_a_time, (2 * number + 1) * at_a_time)
        )
        sides: list[tuple[str, list[Callable[[], Awaitable[None]]]]] = [
            ("ours", [partial(ours.ask, n, i) for n, i in zip(mine, ids, strict=True)]),
            ("direct", [partial(direct.ask, n, ours.answer) for n in theirs]),
        ]
        for name, asks in sides if number % 2 else sides[::-1]:
            each, wall = await timed(asks)
            middle[name].append(statistics.median(each))
            walls[name].append(wall)
    slower = [mine / theirs for mine, theirs in zip(middle["ours"], middle["direct"], strict=True)]
    done = [theirs / mine for mine, theirs in zip(walls["ours"], walls["direct"], strict=True)]
    whole = {name: statistics.median(values) for name, values in middle.items()}
    return {
        "seconds_a_call": {name: round(value, 4) for name, value in whole.items()},
        "added_ms": round(1000 * (whole["ours"] - whole["direct"]), 1),
        "time_over_direct": round(statistics.median(slower), 4),
        "throughput_over_direct": round(statistics.median(done), 4),
        "least_and_most_time": [round(min(slower), 4), round(max(slower), 4)],
        "least_and_most_throughput": [round(min(done), 4), round(max(done), 4)],
    }


async def measured(url: str, rounds: int, folder: Path) -> dict[str, Any]:
    packed = io.BytesIO()
    Image.linear_gradient("L").resize((448, 448)).convert("RGB").save(packed, "PNG", compress_level=1)
    (folder / "plain.png").write_bytes(packed.getvalue())
    arguments = ["--engine", "remote", "--endpoint", url, "--max-answer-tokens", str(ANSWER_TOKENS)]
    command = str(Path(sys.executable).parent / "internvl-mcp")
    env = {**os.environ, "INTERNVL_MCP_REPLY_WITHIN_S": "600"}
    async with Client(StdioServerParameters(command=command, args=arguments, cwd=folder, env=env)) as client:
        ours = Ours(client)
        await ours.looked(1)  # workers, libraries and the server's model are known from here on
        status = (await client.call_tool("manage_model", {})).structured_content
        assert status is not None
        server = status["endpoints"][0]
        direct = Direct(url, server["model"], packed.getvalue())
        found = {str(count): await compare(ours, direct, count, rounds) for count in AT_A_TIME}
        await direct.http.aclose()
    return {"server": {name: server[name] for name in ("kind", "model", "context")}, "at_a_time": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", metavar="URL")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--smoke", action="store_true", help="writes nothing and judges nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.endpoint:
            found = anyio.run(measured, options.endpoint, options.rounds, Path(folder))
        else:
            with paced() as url:
                found = anyio.run(measured, url, options.rounds, Path(folder))
    problems = [
        f"{count} at a time: {name} is {result[name]}, the limit is {limit}"
        for count, result in found["at_a_time"].items()
        for name, limit in LIMITS.items()
        if (result[name] > limit if limit > 1 else result[name] < limit)
    ]
    result = {"command": "python benchmarks/remote_overhead.py", "rounds": options.rounds, "limits": LIMITS, **found}
    result["problems"] = problems
    print(json.dumps(result, indent=1))
    if options.smoke:
        return 0
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
