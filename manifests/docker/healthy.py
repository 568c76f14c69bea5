"""The images' health check: over HTTP the server has to answer; over stdio there is nothing to ask, and it is well."""

import os
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path


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
    sys.exit(0 if well(own, os.environ.get("INTERNVL_MCP_HTTP_PORT", "8000")) else 1)
