"""The images' health check: over HTTP the server has to answer; over stdio there is nothing to ask, and it is well."""

import os
import sys
import urllib.request
from pathlib import Path


def well() -> bool:
    """Whether the container's own process serves no HTTP, or answers."""
    words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    if b"serve" not in words:
        return True
    port = os.environ.get("INTERNVL_MCP_HTTP_PORT", "8000")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=4) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if well() else 1)
