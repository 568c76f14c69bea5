"""The images' health check: over HTTP the server has to answer; over stdio there is nothing to ask, and it is well."""

import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path


def port(command: Sequence[bytes], environment: Mapping[str, str]) -> str:
    """The port among the words, as a word of its own or behind a sign; else the environment's."""
    for word, after in zip(command, [*command[1:], b""], strict=True):
        flag, sign, value = word.partition(b"=")
        if flag in (b"--port", b"--http-port"):
            return (value if sign else after).decode()
    return environment.get("INTERNVL_MCP_HTTP_PORT", "8000")


def well(command: Sequence[bytes], port: str) -> bool:
    """Whether the server, which was started with these words, serves no HTTP, or answers on the port."""
    if b"serve" not in command:
        return True
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=4) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    own = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    sys.exit(0 if well(own, port(own, os.environ)) else 1)
