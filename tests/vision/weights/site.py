"""A hub of the tests' own on 127.0.0.1, that serves a tiny checkpoint and misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "OpenGVLab/InternVL3_5-Tiny-HF"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HELD_AT = 600_000
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def safetensors(tensors: dict[str, int], fill: int = 1) -> bytes:
    """A file with tensors of so many bytes (BF16)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, size in tensors.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + (bytes(range(256)) * (end // 256 + 1))[fill : fill + end]


def checkpoint_files() -> dict[str, bytes]:
    """What a native repository holds, by name; two shards of 1.5 and 0.5 MB, and files that must not be fetched."""
    config = {
        "model_type": "internvl",
        "architectures": ["InternVLForConditionalGeneration"],
        "downsample_ratio": 0.5,
        "image_seq_length": 256,
        "vision_config": {"model_type": "internvl_vision", "image_size": [448, 448], "patch_size": [14, 14]},
        "text_config": {"model_type": "qwen3"},
    }
    index = {"metadata": {"total_size": 2_000_000}, "weight_map": {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1]}}
    video = {"size": {"height": 384, "width": 384}}
    return {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": b"{}",
        "preprocessor_config.json": json.dumps({"size": {"height": 448, "width": 448}}).encode(),
        "video_preprocessor_config.json": json.dumps(video).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        SHARDS[0]: safetensors({"a": 1_000_000, "b": 500_000}),
        SHARDS[1]: safetensors({"c": 500_000}, fill=7),
        "tokenizer.json": b'{"model": {}}',
        "tokenizer_config.json": b"{}",
        "merges.txt": b"#version: 0.2\n",
        "vocab.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "modeling_internvl_chat.py": b"raise SystemExit('remote code was run')",
        "pytorch_model.bin": b"pickled",
        "consolidated/model.safetensors": safetensors({"a": 10}),
        "README.md": b"# a model",
    }


UNWANTED = ("modeling_internvl_chat.py", "pytorch_model.bin", "consolidated/model.safetensors", "README.md")


@dataclass(frozen=True)
class Asked:
    method: str
    name: str
    range: str | None
    token: str | None


@dataclass
class Site:
    """What it serves, and how it misbehaves.

    `cuts`: for a file, after how many bytes of each of its next replies the connection is cut. `gate`: what replies
    with the first shard wait for after 600,000 bytes; `reached` is set when one waits. `answers`: for a file ("" for
    the listing), statuses given before the right reply, with the hub's error code; `extra_headers` go with them.
    `storage`: another address that files are redirected to. `swapped`: other bytes than the listing promises.
    `ignore_range`: the whole file comes whatever was asked for; `shift_range`: another part comes.
    """

    port: int = 0
    repository: str = REPOSITORY
    files: dict[str, bytes] = field(default_factory=checkpoint_files)
    asked: list[Asked] = field(default_factory=list)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    swapped: dict[str, list[bytes]] = field(default_factory=dict)
    storage: str = ""
    ignore_range: bool = False
    shift_range: int = 0
    listing: bytes | None = None
    extra_headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self, name: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.name == name and asked.method == "GET"]

    @property
    def wanted(self) -> dict[str, bytes]:
        return {name: body for name, body in self.files.items() if name not in UNWANTED}

    def sibling(self, name: str) -> dict[str, Any]:
        body = self.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        entry: dict[str, Any] = {"rfilename": name, "size": len(body), "blobId": git}
        if name.endswith((".safetensors", ".bin")):
            entry["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
        return entry


def handler_for(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            parts = unquote(address.path).strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._list("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main", parse_qs(address.query))
            elif len(parts) >= 5 and parts[2] == "resolve":
                self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self._reply(404, b"")

        def _note(self, name: str) -> None:
            token = self.headers.get("Authorization")
            site.asked.append(Asked(self.command, name, self.headers.get("Range"), token))

        def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refused(self, name: str) -> bool:
            if not site.answers.get(name):
                return False
            status, code = site.answers[name].pop(0)
            self._reply(status, b"", site.extra_headers | ({"X-Error-Code": code} if code else {}))
            return True

        def _list(self, repository: str, revision: str, query: dict[str, list[str]]) -> None:
            self._note("")
            if self._refused(""):
                return
            if repository != site.repository:
                self._reply(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif revision not in ("main", "v1", COMMIT):
                self._reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                assert query.get("blobs"), "sizes and digests were not asked for"
                siblings = [site.sibling(name) for name in site.files]
                listing = {"id": repository, "sha": COMMIT, "siblings": siblings}
                body = json.dumps(listing).encode() if site.listing is None else site.listing
                self._reply(200, body, {"Content-Type": "application/json"})

        def _file(self, repository: str, commit: str, name: str) -> None:
            self._note(name)
            assert (repository, commit) == (site.repository, COMMIT)
            if self._refused(name):
                return
            if site.storage:
                self._reply(302, b"", {"Location": site.storage + self.path})
                return
            swaps = site.swapped.get(name)
            body = swaps.pop(0) if swaps else site.files[name]
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not site.ignore_range else 0
            self._send(name, body, start)

        def _send(self, name: str, body: bytes, start: int) -> None:
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start + site.shift_range}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            cuts = site.cuts.get(name)
            sent = body[start : start + cuts.pop(0)] if cuts else body[start:]
            self.close_connection = cuts is not None
            if site.gate and name == SHARDS[0]:
                self.wfile.write(sent[:HELD_AT])
                site.reached.set()
                site.gate.wait(20)
                sent = sent[HELD_AT:]
            self.wfile.write(sent)

    return Handler


def serve(site: Site) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(site))
    server.daemon_threads = True
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield site
    if site.gate:
        site.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()
