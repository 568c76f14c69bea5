"""Kills a server (SIGKILL) during 30 accepted jobs, one each, and counts those that its successor cannot finish.

    PYTHONPATH=. python benchmarks/restarts.py

Writes benchmarks/results/restarts.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from samples import make_samples  # type: ignore[import-not-found]

from tests.mcp_server.test_jobs_stdio import Server

_RESTARTS = 30
_RESULTS = Path(__file__).parent / "results" / "restarts.json"


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder, state = Path(scratch) / "samples", Path(scratch) / "state"
        source = make_samples(folder).report_scan
        accepted: list[str] = []
        began = time.monotonic()
        for _ in range(_RESTARTS):
            server = Server(source.parent, state, reply_within_s=0.2)
            accepted.append(server.call("read_document", {"source": source.name, "pages": "1"})["job_id"])
            server.kill()
        server = Server(source.parent, state)
        lost = [job for job in accepted if server.result(job).get("page_count") != 3]
        server.kill()
    found = {"restarts": _RESTARTS, "accepted": len(accepted), "lost": len(lost)}
    sys.stdout.write(json.dumps(found) + "\n")
    _RESULTS.write_text(json.dumps({**found, "seconds": round(time.monotonic() - began, 1)}, indent=2) + "\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
