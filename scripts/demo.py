"""Makes the sample files, starts the server as an agent's client would, calls every tool and shows what came back.

Usage: ./scripts/demo [--engine nano] (which sets up what this needs). Ends with 1 when an answer lacks something
essential. With nano the small trained model of the tests answers, about pictures of its own kind.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp_types import TextContent

from scripts.samples import make_samples
from scripts.tour import Stop
from scripts.tour import stops as all_stops

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "demo-files"
SERVER = Path(sys.executable).parent / "internvl-mcp"
LIVE = sys.stdout.isatty()
BAR_WIDTH = 24


def paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if LIVE else text


class Bar:
    """A progress bar on the last line of a terminal, and nothing anywhere else; it moves while nothing is reported."""

    def __init__(self) -> None:
        self.label = ""
        self.part = 0.0
        self.started = 0.0

    def begin(self, label: str) -> None:
        self.label, self.part, self.started = label, 0.0, time.monotonic()

    async def report(self, progress: float, total: float | None, message: str | None) -> None:
        """The server's progress notifications come here."""
        self.part = min(1.0, progress / total) if total else self.part
        self.label = message or self.label

    def end(self) -> float:
        """Seconds since the beginning."""
        self.label = ""
        if LIVE:
            print("\r\x1b[K", end="", flush=True)
        return time.monotonic() - self.started

    async def run(self) -> None:
        while LIVE:
            if self.label:
                full = round(BAR_WIDTH * self.part)
                bar = "█" * full + "░" * (BAR_WIDTH - full)
                print(
                    f"\r\x1b[K  {bar} {time.monotonic() - self.started:4.1f} s  {self.label[:60]}", end="", flush=True
                )
            await anyio.sleep(0.1)


async def visit(client: Client, stop: Stop, bar: Bar) -> list[str]:
    """Makes one call, prints it, and returns what was wrong."""
    print(f"\n{paint(stop.asks, '1')}")
    words = ", ".join(f"{key}={value!r}" for key, value in stop.arguments.items())
    print(paint(f"  {stop.tool}({words})", "36"), flush=True)
    bar.begin(stop.tool)
    result = await client.call_tool(stop.tool, stop.arguments, progress_callback=bar.report)
    seconds = bar.end()
    if result.is_error or result.structured_content is None:
        wrong = [part.text for part in result.content if isinstance(part, TextContent)]
    else:
        for line in stop.shows(result.structured_content):
            print(f"    {line[:150]}")
        wrong = stop.wants(result.structured_content)
    mark = paint("✗", "31") if wrong else paint("✓", "32")
    print(f"  {mark} {seconds:.1f} s", flush=True)
    for problem in wrong:
        print(paint(f"    {problem}", "31"))
    return wrong


async def tour(server: StdioServerParameters, stops: Sequence[Stop]) -> int:
    """The number of calls that went wrong."""
    started = time.monotonic()
    failed = 0
    bar = Bar()
    async with Client(server) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(bar.run)
        tools = await client.list_tools()
        names = ", ".join(tool.name for tool in tools.tools)
        print(f"The server lists {len(tools.tools)} tools after {time.monotonic() - started:.1f} s: {names}")
        for stop in stops:
            failed += bool(await visit(client, stop, bar))
        tasks.cancel_scope.cancel()
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["auto", "nano"], default="auto")
    nano = parser.parse_args().engine == "nano"
    started = time.monotonic()
    print(f"Making sample files in {FILES.relative_to(ROOT)}/ …", flush=True)
    if nano:
        from scripts import nano_tour

        FILES.mkdir(exist_ok=True)
        stops, arguments = nano_tour.make_files(FILES), nano_tour.SERVER_ARGUMENTS
        print(nano_tour.WHAT)
    else:
        make_samples(FILES)
        stops, arguments = all_stops(), []
    failed = anyio.run(tour, StdioServerParameters(command=str(SERVER), args=arguments, cwd=FILES), stops)
    print(f"\n{paint('All in', '1')} {time.monotonic() - started:.0f} s.", flush=True)
    if failed:
        print(paint(f"{failed} of {len(stops)} calls lack something essential (see ✗ above).", "31"))
        return 1
    if nano:
        return 0
    print("\nTo give the server to your agents, and then a model that fits this machine:")
    print(paint(f"  {SERVER} install", "1"))
    print(paint(f"  {SERVER} setup", "1"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
