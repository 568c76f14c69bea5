"""A model host of ours on a port, as a server of somebody else's: one process, which ends with the context."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vision.chat.client import ChatClient, host_endpoint
from vision.chat.host_spec import HostSpec
from vision.chat.record import Launch, read_record

KEY = "sk-of-the-tests-0123456789"


@dataclass(frozen=True)
class ModelServer:
    """`url` as the setting endpoints takes it; it wants KEY. `host` sees it from the inside."""

    url: str
    host: ChatClient


@contextmanager
def model_server(spec: HostSpec, folder: Path) -> Iterator[ModelServer]:
    record = folder / "served.json"
    launch = Launch(
        spec=spec, key="served", version="1", secret=KEY, socket=None, record=record, log=folder / "served.log"
    )
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", "vision.host"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    with process, process.stdin, process.stdout:
        process.stdin.write(launch.model_dump_json().encode())
        process.stdin.close()
        assert process.stdout.readline() == b"ready\n"
        found = read_record(record)
        assert found is not None and found.address.port is not None
        try:
            yield ModelServer(
                f"http://127.0.0.1:{found.address.port}/v1", ChatClient(host_endpoint(found.address, KEY))
            )
        finally:
            process.terminate()
