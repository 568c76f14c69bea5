"""Real MCP clients against the installed server: they have to connect, list the tools and call each of them; then MCP's
conformance suite over HTTP, and many calls at once; then our installer, with the clients' own files.

The clients are npm packages at the versions pinned below, installed once into a cache folder of the user. Each check
runs with a scratch HOME, inside a project that has a hostile `tools/` package, as agents start servers in whatever
folder they work in. No login and no network is needed after the install. Without node and npm nothing can be checked:
that is said loudly, and is the only way to end with 0 without having checked.

Usage: ./scripts/check-clients [NAME …] (which sets up what this needs); with words, only checks whose names hold one
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts import check_install, conformance
from scripts.client_place import CheckFailed, Place, install_clients
from scripts.codex_server import listed_tools
from scripts.samples import make_samples
from scripts.tour import stops
from tools.catalogue import TOOLS

# The one place where the clients' versions stand.
PACKAGES = {
    "@modelcontextprotocol/inspector": "2.12.0",
    "@anthropic-ai/claude-code": "2.1.330",
    "@openai/codex": "0.169.0",
    "@google/gemini-cli": "0.61.0",
    "@anthropic-ai/mcpb": "2.1.2",
    "@github/copilot": "1.0.102",
    conformance.PACKAGE: conformance.VERSION,
}
SERVER = str(Path(sys.executable).parent / "internvl-mcp")
NAMES = {tool.name for tool in TOOLS}
ERAS = ("legacy", "modern")
LOAD = 40
REPOSITORY = Path(__file__).parents[1]
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


def _same_tools(listed: set[str]) -> None:
    if listed != NAMES:
        raise CheckFailed(f"tools listed: {sorted(listed)}, expected: {sorted(NAMES)}")


def _inspect(
    place: Place, era: str, *words: str, expect: int = 0, server: tuple[str, ...] = (SERVER,)
) -> dict[str, Any]:
    """`server`: a command, or the address of one that runs."""
    limit = ("--connect-timeout", "60000")
    command = [place.node, str(place.clients / INSPECTOR), "--cli", *server, "--protocol-era", era, *limit, *words]
    answer = place.run(command, expect).out
    return json.loads(answer) if answer.strip() else {}


def inspector_lists(place: Place, era: str) -> str:
    """--strict reports schemas that some client cannot read, and fails on them."""
    tools = _inspect(place, era, "--method", "tools/list", "--strict")["tools"]
    _same_tools({tool["name"] for tool in tools})
    return f"{len(tools)} tools"


def inspector_calls(place: Place, era: str) -> str:
    for stop in stops():
        arguments = ("--tool-name", stop.tool, "--tool-args-json", json.dumps(stop.arguments))
        result = _inspect(place, era, "--method", "tools/call", *arguments)
        structured = result.get("structuredContent")
        if structured is None:
            raise CheckFailed(f"{stop.tool} gave no structured content: {str(result)[:500]}")
        if wrong := stop.wants(structured):
            raise CheckFailed(f"{stop.tool}: {'; '.join(wrong)}")
    return f"{len(stops())} calls, answers as expected"


def inspector_errors(place: Place, era: str) -> str:
    """A file that is not there is the tool's own error: exit 5 is how the Inspector reports isError."""
    words = ("--method", "tools/call", "--tool-name", "extract_text", "--tool-args-json", '{"source": "absent.png"}')
    _inspect(place, era, *words, expect=5)
    return "a missing file is a tool error"


def inspector_load(place: Place, era: str, server: tuple[str, ...] = (SERVER,)) -> str:
    """Its exit status is 0 even when calls fail; the figures tell."""
    stop = next(stop for stop in stops() if stop.tool == "extract_text")
    what = ("--tool-name", stop.tool, "--tool-args-json", json.dumps(stop.arguments))
    load = ("--load", "--load-requests", str(LOAD), "--load-concurrency", "4", "--format", "json")
    figures = _inspect(place, era, "--method", "tools/call", *what, *load, server=server)["result"]
    if (figures["requests"], figures["ok"]) != (LOAD, LOAD):
        raise CheckFailed(f"of {LOAD} calls not all went well: {figures}")
    return f"{LOAD} calls by 4, p90 {figures['latencyMs']['p90']:.0f} ms"


def over_http(place: Place) -> str:
    """The Inspector with the server that several clients share: lists, and many calls at once."""
    with place.serving(_http_server("--root", str(place.project))) as url:
        said = []
        for era in ERAS:
            listed = _inspect(place, era, "--method", "tools/list", server=("--server-url", url))["tools"]
            _same_tools({tool["name"] for tool in listed})
            said.append(f"{era}: {inspector_load(place, era, ('--server-url', url))}")
    return "; ".join(said)


def conforms(place: Place) -> str:
    with place.serving(_http_server()) as url:
        return conformance.conformance(place, url, conformance.PRODUCT_EXCUSED)


def fixture_conforms(place: Place) -> str:
    command = (sys.executable, "-P", "-m", "tests.conformance.server", "--port", "0")
    with place.serving(command, {"PYTHONPATH": str(REPOSITORY)}) as url:
        return conformance.conformance(place, url, conformance.FIXTURE_EXCUSED)


def _http_server(*flags: str) -> tuple[str, ...]:
    return (SERVER, "serve", "--http", "--port", "0", *flags)


def claude_code(place: Place) -> str:
    claude = place.client("claude")
    place.run([claude, "mcp", "add", "internvl", "--", SERVER])
    answer = place.run([claude, "mcp", "get", "internvl"]).out
    if "Connected" not in answer or "Failed" in answer:
        raise CheckFailed(f"claude mcp get printed:\n{answer}")
    return "claude mcp get: Connected"


def codex(place: Place) -> str:
    place.run([place.client("codex"), "mcp", "add", "internvl", "--", SERVER])
    listed = listed_tools(place, "internvl")
    _same_tools(listed)
    return f"codex app-server lists {len(listed)} tools"


def gemini(place: Place) -> str:
    program = place.client("gemini")
    place.run([program, "mcp", "add", "--scope", "user", "internvl", SERVER])
    # It starts no server in a folder that was not declared trusted.
    trusted = place.home / ".gemini" / "trustedFolders.json"
    trusted.write_text(json.dumps({str(place.project): "TRUST_FOLDER"}))
    # The list comes on standard error when that is where its log goes.
    answer = "\n".join(place.run([program, "mcp", "list"]))
    if "Connected" not in answer or "Disconnected" in answer:
        raise CheckFailed(f"gemini mcp list printed:\n{answer}")
    return "gemini mcp list: Connected"


CHECKS: tuple[tuple[str, Callable[[Place], str]], ...] = (
    *((f"Inspector, {era}: list", lambda p, era=era: inspector_lists(p, era)) for era in ERAS),
    *((f"Inspector, {era}: call each tool", lambda p, era=era: inspector_calls(p, era)) for era in ERAS),
    *((f"Inspector, {era}: an error", lambda p, era=era: inspector_errors(p, era)) for era in ERAS),
    *((f"Inspector, {era}: many calls", lambda p, era=era: inspector_load(p, era)) for era in ERAS),
    ("Inspector over HTTP", over_http),
    ("Conformance suite, fixture", fixture_conforms),
    ("Conformance suite, server", conforms),
    ("Claude Code", claude_code),
    ("Codex", codex),
    ("Gemini CLI", gemini),
    *check_install.CHECKS,
)


def _hostile_project(folder: Path) -> None:
    """A project such as users have, whose packages are named like ours and must never be imported."""
    make_samples(folder)
    for name in ("tools", "vision", "mcp_server", "manifests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")


def main(words: list[str]) -> int:
    checks = [(name, check) for name, check in CHECKS if not words or any(word in name for word in words)]
    if not checks:
        print(f"No check has such a name. There are: {', '.join(name for name, _ in CHECKS)}.")
        return 2
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("=" * 100)
        print("SKIPPED: no client was checked, because node and npm are not installed (https://nodejs.org).")
        print("=" * 100)
        return 0
    clients, node = install_clients(PACKAGES, node, npm)
    failed = []
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-clients-") as scratch:
        project = Path(scratch) / "project"
        _hostile_project(project)
        for number, (name, check) in enumerate(checks):
            home = Path(scratch) / f"home{number}"
            home.mkdir()
            started = time.monotonic()
            try:
                words = "ok: " + check(Place(clients, node, home, project))
            except CheckFailed as error:
                failed.append(name)
                words = f"FAILED: {error}"
            print(f"{name}: {words} ({time.monotonic() - started:.1f} s)", flush=True)
    if failed:
        print(f"\n{len(failed)} of {len(checks)} checks with real clients failed: {', '.join(failed)}")
        return 1
    print(f"\nAll {len(checks)} checks with real clients passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
