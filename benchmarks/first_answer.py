"""From nothing to an agent's first answer: npx in an empty folder and HOME, until Claude Code has read a page.

The steps are those of a person: install by npx, look whether the client is connected, ask. Claude Code is real;
the model behind it is a script on loopback that asks for read_document and repeats what comes back, so the seconds
hold no model's thinking. Each way is measured with empty caches of uv or pip, and again with them filled.

Usage: .venv/bin/python benchmarks/first_answer.py      writes benchmarks/results/first_answer.json
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from manifests.rendering.source import told
from scripts import build_npm
from scripts.check_clients import PACKAGES
from scripts.check_packages import WORDS, document
from scripts.client_place import install_clients

RESULTS = Path(__file__).parent / "results" / "first_answer.json"
TOOL = f"mcp__{told()['server']}__read_document"
LIMIT_S = 300
PYTHON = f"python3.{sys.version_info.minor}"


class Model(BaseHTTPRequestHandler):
    """Anthropic's messages as a script: the tool first, then its words."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = [
            part
            for message in request.get("messages", [])
            if isinstance(message["content"], list)
            for part in message["content"]
            if part.get("type") == "tool_result"
        ]
        tools = {tool.get("name") for tool in request.get("tools", [])}
        if "count_tokens" in self.path:
            self._send("application/json", json.dumps({"input_tokens": 1}))
            return
        if results and "still being installed" not in str(results[-1]):
            block: dict[str, Any] = {"type": "text", "text": json.dumps(results[-1])}
        elif TOOL in tools:
            block = {"type": "tool_use", "id": f"toolu_{len(results)}", "name": TOOL, "input": {"source": "page.pdf"}}
        else:
            block = {"type": "text", "text": f"There is no {TOOL}."}
        self.asked.append(block["type"])
        message = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": request["model"], "content": [block],
            "stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
        if request.get("stream"):
            self._send("text/event-stream", "".join(_events(message, block)))
        else:
            self._send("application/json", json.dumps(message))

    def _send(self, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.send_error(404)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


def _events(message: Mapping[str, Any], block: Mapping[str, Any]) -> Iterator[str]:
    if block["type"] == "text":
        empty, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    for name, content in (
        ("message_start", {"message": {**message, "content": [], "stop_reason": None}}),
        ("content_block_start", {"index": 0, "content_block": empty}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": ending, "usage": {"output_tokens": 1}}),
        ("message_stop", {}),
    ):
        yield f"event: {name}\ndata: {json.dumps({'type': name, **content})}\n\n"


@contextmanager
def scripted_model() -> Iterator[str]:
    """The address of a model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def step(command: list[str], environment: Mapping[str, str], cwd: Path, wants: str) -> float:
    """Seconds of one step. Raises SystemExit where it does not print what it has to."""
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if done.returncode != 0 or wants not in done.stdout:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return round(seconds, 1)


def ways(tgz: Path, claude: str) -> dict[str, list[list[str]]]:
    """What a person types, for each way to begin: by the installer, or by naming npx to the client."""
    npx = ["npx", "-y", "--package", str(tgz), "internvl-mcp"]
    ask = [claude, "-p", "What does page.pdf say?", "--allowedTools", TOOL]
    listed = [claude, "mcp", "list"]
    return {
        "npx … install": [[*npx, "install", "--target", "claude-code", "--yes"], listed, ask],
        "claude mcp add … npx": [[claude, "mcp", "add", told()["server"], "--", *npx], listed, ask],
    }


WANTED = ("", "Connected", WORDS)


def measure(scratch: Path, tgz: Path, claude: str, model: str, programs: Path, caches: Path) -> dict[str, Any]:
    figures = {}
    for number, (way, commands) in enumerate(ways(tgz, claude).items()):
        cache = f"{caches}-{number}"  # or the second way would find what the first one fetched
        with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
            home = Path(folder) / "home"
            home.mkdir()
            project = document(Path(folder) / "project")
            kept = {name: os.environ[name] for name in ("LANG", "PIP_CERT", "SSL_CERT_FILE") if name in os.environ}
            node = Path(shutil.which("node") or "node").parent
            environment = {
                **kept, "HOME": str(home), "PATH": f"{programs}:{node}:/usr/bin:/bin",
                "UV_CACHE_DIR": cache, "PIP_CACHE_DIR": cache, "npm_config_update_notifier": "false",
                "ANTHROPIC_BASE_URL": model, "ANTHROPIC_API_KEY": "scripted", "ENABLE_TOOL_SEARCH": "false",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "NO_COLOR": "1",
                # One question and no person: it waits until its servers are connected.
                "MCP_CONNECTION_NONBLOCKING": "false", "MCP_CONNECT_TIMEOUT_MS": "30000",
            }  # fmt: skip
            each = [step(c, environment, project, wants) for c, wants in zip(commands, WANTED, strict=True)]
            again = step(commands[-1], environment, project, WORDS)
            figures[way] = {"steps_s": each, "until_the_answer_s": round(sum(each), 1), "asked_again_s": again}
            print(f"  {way}: {figures[way]}", flush=True)
    return figures


def main() -> int:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit("node and npm are needed (https://nodejs.org)")
    clients, node = install_clients(PACKAGES, node, npm)
    claude = str(clients / "node_modules" / ".bin" / "claude")
    found: dict[str, Any] = {}
    before = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-first-") as temporary, scripted_model() as model:
        scratch = Path(temporary)
        tools = build_npm.build_tools(scratch / "tools", "uv")
        wheel = build_npm.build_wheel(scratch / "wheel", tools / "uv")
        build_npm.lay_out(scratch / "package", wheel, build_npm.constraints(tools / "uv"), build_npm.answers())
        tgz = build_npm.pack(scratch / "package", scratch)
        for kind, program in (("uv", tools / "uv"), (PYTHON, Path(sys.executable).resolve())):
            programs = scratch / f"with {kind}"
            programs.mkdir()
            (programs / kind).symlink_to(program)
            for turn in ("empty", "filled"):
                print(f"{kind}, its cache {turn}", flush=True)
                found[f"{kind}, its cache {turn}"] = measure(
                    scratch, tgz, claude, model, programs, scratch / f"{kind}-cache"
                )
    about = {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "claude_code": PACKAGES["@anthropic-ai/claude-code"],
        "load_before": before,
    }
    RESULTS.write_text(json.dumps({**about, **found}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
