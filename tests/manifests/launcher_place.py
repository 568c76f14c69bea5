"""What the launcher's tests start it with: a package whose wheel holds a small stand-in for the server, and programs
that play uv or Python on a PATH of their own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.build_npm import LEGACY, LISTS

LAUNCHER = Path(__file__).parents[2] / "manifests" / "npm" / "launcher"
NODE = shutil.which("node")
VERSION = "0.0.1"
MODERN = "2026-07-28"
SECRET = "hunter2"

# Answers every line with what it heard and how much before that; spaces and letters are such that no other JSON writer
# would give the same bytes.
SERVER = """
import json, os, signal, sys

def main():
    words = sys.argv[1:]
    if words[:2] == ["call", "exit"]:
        return int(words[2])
    if words[:2] == ["call", "die"]:
        os.kill(os.getpid(), int(words[2]))
    if words[:2] == ["call", "tell"]:
        print(json.dumps({"words": words, "environment": dict(os.environ), "input": sys.stdin.read()}))
        return 0
    if words[:2] == ["call", "wait"]:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(41))
        signal.signal(signal.SIGINT, lambda *_: os._exit(42))
        signal.signal(signal.SIGHUP, lambda *_: os._exit(43))
        print("up", flush=True)
        signal.pause()
    if "--bad" in words:
        print("internvl-mcp: there is no setting bad", file=sys.stderr)
        return 2
    heard = 0
    for line in sys.stdin.buffer:
        heard += 1
        message = json.loads(line)
        if "id" in message:
            reply = {"jsonrpc": "2.0", "id": message["id"], "result": {"heard": message["method"], "lines": heard, "\\u00e9": 1.50}}
            sys.stdout.write(" " + json.dumps(reply, ensure_ascii=heard % 2 == 0, separators=(" ,", ": ")) + "\\n")
            sys.stdout.flush()
    return 0
"""  # noqa: E501

UV = '''#!{python}
"""uv, as far as the launcher uses it. `wait` beside it is a pipe: the installation waits until somebody writes to it."""
import json, os, pathlib, sys, zipfile

here = pathlib.Path(__file__).parent
words = sys.argv[1:]
if words == ["--version"]:
    print("uv 9.9.9 (not really)")
    sys.exit()
with (here / "calls").open("a") as calls:
    calls.write(" ".join(words) + "\\n")
fails = here / ("fails-venv" if words[0] == "venv" else "fails")
if fails.exists():
    sys.exit(fails.read_text())
if words[0] == "venv":
    made = pathlib.Path(words[-1]) / "bin"
    made.mkdir(parents=True)
    python = made / "python"
    python.write_text("#!/bin/sh\\nPYTHONPATH=" + str(made.parent / "lib") + ':${{SERVER_PATH:-/nowhere}} exec {python} "$@"\\n')
    python.chmod(0o755)
else:
    (here / "seen").write_text(json.dumps(dict(os.environ)))
    print("proxy", os.environ.get("HTTPS_PROXY"))
    print("Resolved 2 packages in 5ms\\nDownloading numpy (10.0MiB)", flush=True)
    if (here / "wait").exists():
        (here / "wait").read_text()
    made = pathlib.Path(words[words.index("--python") + 1]).parent
    zipfile.ZipFile(words[-1]).extractall(made.parent / "lib")
    program = made / "internvl-mcp"
    program.write_text("#!/bin/sh\\nexec " + str(made / "python") + " -c 'import sys; from mcp_server.cli import main; sys.exit(main())' \\"$@\\"\\n")
    program.chmod(0o755)
'''  # noqa: E501

# Its virtual environments are copies of one that was made before: making one takes seconds.
PYTHON = """#!/bin/sh
if [ "$1" = -m ] && [ "$2" = venv ]; then exec cp -R {template} "$3"; fi
exec {python} "$@"
"""


def answers() -> dict[str, Any]:
    """Recorded answers, of which the tests know that only the launcher can have given them."""
    lists = {method: {"recorded": method} for method in LISTS}
    ping, discover = ({method: {"recorded": method}} for method in ("ping", "server/discover"))
    refusal = {"code": -32022, "message": "recorded", "data": {"supported": [MODERN], "requested": "another"}}
    stamp = {"resultType": "complete", "_meta": {"server": "recorded"}}
    return {
        "legacy": {
            "versions": LEGACY,
            "initialize": {"protocolVersion": LEGACY[-1], "recorded": True},
            "results": {**ping, **lists},
        },
        "modern": {"versions": [MODERN], "stamp": stamp, "refusal": refusal, "results": {**discover, **lists}},
    }


def wheel(folder: Path, requires: Sequence[str] = (), ballast: int = 0) -> Path:
    info = f"internvl_mcp-{VERSION}.dist-info"
    files = {
        "mcp_server/__init__.py": b"",
        "mcp_server/cli.py": SERVER.encode(),
        "mcp_server/ballast": bytes(ballast),
        f"{info}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                "Name: internvl-mcp",
                f"Version: {VERSION}",
                *(f"Requires-Dist: {r}" for r in requires),
                "",
            ]
        ).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\ninternvl-mcp = mcp_server.cli:main\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"internvl_mcp-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@dataclass
class LauncherPlace:
    """A package, a HOME, and a PATH with what the test puts into `programs`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for made in (self.programs, self.home, self.project, self.inside):
            made.mkdir(parents=True)
        shutil.copytree(LAUNCHER, self.package / "launcher")
        (self.inside / "constraints.txt").write_text("")
        (self.inside / "answers.json").write_text(json.dumps(answers()))
        self.carry(wheel(self.inside))
        # Nothing of this machine's own settings: neither its programs nor where its pip and uv look.
        self.environment |= {
            "HOME": str(self.home),
            "PATH": str(self.programs),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_INDEX": "1",
        }

    @property
    def package(self) -> Path:
        return self.folder / "package"

    @property
    def inside(self) -> Path:
        return self.package / "python"

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def data(self) -> Path:
        mac = self.home / "Library" / "Application Support" / "internvl-mcp"
        return mac if sys.platform == "darwin" else self.home / ".local" / "share" / "internvl-mcp"

    @property
    def made(self) -> Path:
        return self.data / f"env-{VERSION}"

    @property
    def log(self) -> Path:
        return self.data / f"{self.made.name}.log"

    @property
    def ready(self) -> bool:
        return (self.made / "ready.json").exists()

    def carry(self, path: Path, **built: object) -> None:
        """This wheel is in the package."""
        about = {"version": VERSION, "build": "1", "wheel": path.name, "downloadMb": 20, "installedMb": 1, **built}
        (self.inside / "built.json").write_text(json.dumps(about))

    def program(self, name: str, text: str) -> Path:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def with_uv(self) -> LauncherPlace:
        self.program("uv", UV.format(python=sys.executable))
        return self

    def with_python(self, template: Path) -> LauncherPlace:
        # The tools that a script of the shell needs are not on the PATH.
        text = PYTHON.format(template=template, python=sys.executable).replace("exec cp", f"exec {shutil.which('cp')}")
        self.program("python3", text)
        return self

    def settle(self) -> None:
        """Returns when the set-up's process has done the last of its work, which nobody else waits for."""
        deadline = time.monotonic() + 30
        while (self.data / f"{self.made.name}.lock").exists():
            assert time.monotonic() < deadline, "the set-up does not end"

    def calls(self) -> list[str]:
        """What uv was asked to do."""
        path = self.programs / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def hold(self) -> Path:
        """uv's installation waits until something is written to this."""
        pipe = self.programs / "wait"
        os.mkfifo(pipe)
        return pipe

    def let_go(self) -> None:
        (self.programs / "wait").write_text("")

    @property
    def command(self) -> list[str]:
        assert NODE is not None
        return [NODE, str(self.package / "launcher" / "main.js")]

    def serving(self, **times: int) -> list[str]:
        """The launcher as a server before it is set up, with these time limits (ms) instead of its own."""
        assert NODE is not None
        launcher = self.package / "launcher"
        script = f"""
            const place = require({json.dumps(str(launcher / "place.js"))}).placeOf(process.env);
            require({json.dumps(str(launcher / "standin.js"))}).serve(place, [], {json.dumps(times)});
        """
        return [NODE, "-e", textwrap.dedent(script)]

    def run(self, *words: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words], input=said, cwd=self.project, env={**self.environment, **environment},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def start(self, *words: str, **options: Any) -> subprocess.Popen[Any]:
        environment: Mapping[str, str] = options.pop("environment", {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [*self.command, *words], cwd=self.project, env={**self.environment, **environment}, **pipes
        )
