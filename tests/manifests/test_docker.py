"""The Dockerfiles and their health check. scripts/check_manifests.py lints them; images are built elsewhere."""

from __future__ import annotations

import importlib.util
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from vision.config import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "docker"
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
OVER_HTTP = [b"/opt/internvl-mcp/bin/python", b"/opt/internvl-mcp/bin/internvl-mcp", b"serve", b"--http", b""]
OVER_STDIO = [b"/opt/internvl-mcp/bin/python", b"/opt/internvl-mcp/bin/internvl-mcp", b""]


@pytest.fixture(scope="module")
def healthy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthy", FOLDER / "healthy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(name: str) -> list[str]:
    return re.sub(r"\\\n", " ", (FOLDER / name).read_text(encoding="utf-8")).splitlines()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_the_console_script_without_root(name: str) -> None:
    users = [line for line in lines(name) if line.startswith("USER ")]
    assert len(users) == 1 and re.fullmatch(r"USER [1-9]\d*", users[0])
    assert 'ENTRYPOINT ["internvl-mcp"]' in lines(name)[lines(name).index(users[0]) :]
    assert any(line.startswith("HEALTHCHECK") and "/opt/healthy.py" in line for line in lines(name))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_sets_only_settings_that_there_are(name: str) -> None:
    named = set(re.findall(r"INTERNVL_MCP_(\w+)=", "\n".join(lines(name))))
    assert named and {setting.lower() for setting in named} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_an_image_copies_is_there_and_let_through(name: str) -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = [
        word
        for line in lines(name)
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]  # fmt: skip
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert Path(path).parts[0] in let_through


@pytest.mark.parametrize(
    ("words", "port"),
    [(b"serve --http", "7000"), (b"serve --http --port 9000", "9000"), (b"serve --http-port=9001 --http", "9001")],
)
def test_the_port_is_that_of_the_words_else_of_the_environment(healthy: ModuleType, words: bytes, port: str) -> None:
    assert healthy.port(words.split(), {"INTERNVL_MCP_HTTP_PORT": "7000"}) == port


def test_over_stdio_the_server_is_well_unasked(healthy: ModuleType) -> None:
    assert healthy.well(OVER_STDIO, "1")


def test_over_http_the_server_is_well_when_it_answers(healthy: ModuleType) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert healthy.well(OVER_HTTP, str(server.server_port))
        finally:
            server.shutdown()
            thread.join()
    assert not healthy.well(OVER_HTTP, str(server.server_port))
