"""A server of the tests' own, started as `vllm` or `llama-server`: it speaks OpenAI's API on a real port.

It takes their options, wants the key of their environment, and writes what it was started with to `started` in the
folder it runs in. Files there tell it what to do: `slow`: not well before the file `go` is there; `fails`: end at once
with words and a status; `lingers`: take a second to end, and write `tidy`. `wait` in a question: answer once `go` is
there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path.cwd()


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--served-model-name", "--alias", dest="name", required=True)
    given, _ = parser.parse_known_args()
    key = os.environ.get("VLLM_API_KEY") or os.environ.get("LLAMA_API_KEY")
    assert key and key not in sys.argv
    # What a killed server leaves behind unless somebody sees to it.
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    ours = [name for name in os.environ if name.startswith("INTERNVL_MCP_")]
    told = {
        "pid": os.getpid(),
        "helper": helper.pid,
        "argv": sys.argv,
        "ours": ours,
        "offline": os.environ["HF_HUB_OFFLINE"],
    }
    with (HERE / "started").open("a") as file:
        file.write(json.dumps(told) + "\n")
    if (HERE / "fails").exists():
        print("INFO loading weights")
        print(f"(EngineCore pid=7) ERROR 11-23 07:00:00 [core.py:700] ValueError: no room for {key}", flush=True)
        sys.exit(3)
    if (HERE / "lingers").exists():  # as a server that puts its memory in order before it ends
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.0), (HERE / "tidy").touch(), os._exit(0)))
    Handler.key, Handler.model = key, given.name
    ThreadingHTTPServer((given.host, given.port), Handler).serve_forever()


class Handler(BaseHTTPRequestHandler):
    key: str
    model: str

    def do_GET(self) -> None:
        if self.path == "/health":
            return self._send(503 if (HERE / "slow").exists() and not (HERE / "go").exists() else 200, b"")
        listed = {"id": self.model, "owned_by": "vllm", "max_model_len": 8192}
        return self._send(200, json.dumps({"object": "list", "data": [listed]}).encode())

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {self.key}":
            return self._send(401, b'{"error": {"message": "no"}}')
        if b"wait" in asked:
            (HERE / "asked").touch()
            while not (HERE / "go").exists():
                time.sleep(0.005)
        chunk = {"choices": [{"index": 0, "delta": {"content": "A managed answer."}, "finish_reason": "stop"}]}
        return self._send(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


if __name__ == "__main__":
    main()
