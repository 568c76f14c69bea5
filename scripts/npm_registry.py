"""A registry of npm's with one package on loopback, so that npx can fetch what has not been published."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def serving(package: Path) -> Iterator[str]:
    """The registry's address while it is up. `package` is what `npm pack` made."""
    packed = package.read_bytes()
    with tarfile.open(package) as file:
        described = file.extractfile("package/package.json")
        assert described is not None
        manifest = json.loads(described.read())

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/{package.name}":
                self._answer(200, "application/octet-stream", packed)
            elif self.path == f"/{manifest['name']}":
                self._answer(200, "application/json", json.dumps(listing(f"http://{self.headers['Host']}")).encode())
            else:
                self._answer(404, "application/json", b'{"error": "not found"}')

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the check's output is for people."""

    def listing(address: str) -> dict[str, object]:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
        version = {**manifest, "dist": {"tarball": f"{address}/{package.name}", "integrity": integrity}}
        return {
            "name": manifest["name"],
            "dist-tags": {"latest": manifest["version"]},
            "versions": {manifest["version"]: version},
        }

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
