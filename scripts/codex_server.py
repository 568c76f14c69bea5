"""Asks Codex's own server, over JSON lines, which tools it lists of an MCP server: that starts the server."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripts.client_place import CheckFailed, Place

_WITHIN_S = 60


def listed_tools(place: Place, name: str) -> set[str]:
    """Raises CheckFailed. Empty where Codex has no such server, or it does not start."""
    with _app_server(place, place.client("codex")) as ask:
        ask("initialize", {"clientInfo": {"name": "check", "version": "1"}})
        deadline = time.monotonic() + _WITHIN_S
        while True:
            servers = {entry["name"]: entry for entry in ask("mcpServerStatus/list", {})["data"]}
            listed = set(servers.get(name, {}).get("tools", {}))
            if listed or time.monotonic() > deadline:
                return listed
            time.sleep(0.2)


@contextmanager
def _app_server(place: Place, program: str) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    """Yields a function that asks and waits for the answer."""
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
