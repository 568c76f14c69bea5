"""The packages as people get them: the wheel by pip and by uvx, the npm package by npx, each in an empty environment
with a HOME of its own, until read_document has read a page.

Usage: .venv/bin/python scripts/check_packages.py [NAME …]      with words, only checks whose names hold one
Needs npm and the package registries. Without npm nothing can be checked: that is said loudly.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pymupdf
from mcp import Client, StdioServerParameters

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from manifests.rendering.source import told
from scripts import build_npm

WORDS = "The quick brown fox reads page 7"
_STEP_S = 400


class CheckFailed(Exception):
    """A package does not do what it has to; the message says what it did."""


@dataclass(frozen=True)
class Packages:
    """What was built, and where checks may work. `tools` has uv and pip; `python` has neither uv nor anything else."""

    scratch: Path
    wheel: Path
    tgz: Path
    tools: Path
    python: Path

    def environment(self, name: str, *folders: Path) -> dict[str, str]:
        """A HOME of this name, the system's programs and those of `folders`; pip's and uv's caches are shared."""
        home = self.scratch / f"home-{name}"
        home.mkdir(exist_ok=True)
        kept = {key: os.environ[key] for key in ("LANG", "TMPDIR", "PIP_CERT", "SSL_CERT_FILE") if key in os.environ}
        node = Path(shutil.which("node") or "node").parent
        path = os.pathsep.join(map(str, (*folders, node, "/usr/bin", "/bin")))
        caches = {"PIP_CACHE_DIR": str(self.scratch / "pip"), "UV_CACHE_DIR": str(self.scratch / "uv")}
        return {**kept, **caches, "HOME": str(home), "PATH": path, "npm_config_update_notifier": "false"}


def run(command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path) -> str:
    """What it printed. Raises CheckFailed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=_STEP_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise CheckFailed(
            f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-800:]}{done.stderr[-1500:]}"
        )
    return done.stdout


def document(folder: Path) -> Path:
    """A folder with a page to read."""
    folder.mkdir(exist_ok=True)
    with pymupdf.open() as pdf:
        pdf.new_page().insert_text((72, 72), WORDS)
        pdf.save(folder / "page.pdf")
    return folder


def read_by_client(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> tuple[float, float]:
    """Seconds until a real client had the list of tools, and until it had read the page. Raises CheckFailed."""

    async def ask() -> tuple[float, float]:
        started = time.monotonic()
        server = StdioServerParameters(command=command[0], args=list(command[1:]), env=dict(environment), cwd=cwd)
        async with Client(server) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            if "read_document" not in tools:
                raise CheckFailed(f"tools listed: {sorted(tools)}")
            connected = time.monotonic() - started
            while True:
                result = await client.call_tool("read_document", {"source": "page.pdf"})
                said = str(result.content)
                if WORDS in said:
                    return connected, time.monotonic() - started
                if "still being installed" not in said:
                    raise CheckFailed(f"read_document gave {said[:800]}")

    return anyio.run(ask)


def wheel_holds_what_it_needs(packages: Packages) -> str:
    with zipfile.ZipFile(packages.wheel) as archive:
        names = archive.namelist()
    needed = {"mcp_server/tool_list.json", "manifests/descriptor.json", "vision/variants/catalogue.json"}
    if missing := needed - set(names):
        raise CheckFailed(f"the wheel lacks {sorted(missing)}")
    if astray := [
        name
        for name in names
        if name.startswith(("tests", "scripts", "benchmarks", "node_modules")) or "__pycache__" in name
    ]:
        raise CheckFailed(f"the wheel holds {astray[:5]}")
    return f"{len(names)} files, {packages.wheel.stat().st_size / 1e6:.2f} MB"


def pip_installs(packages: Packages) -> str:
    started = time.monotonic()
    place = document(packages.scratch / "pip-check")
    venv.create(place / "venv", with_pip=True)
    environment = packages.environment("pip")
    run([place / "venv" / "bin" / "pip", "install", "-q", packages.wheel], environment, place)
    seconds = time.monotonic() - started
    program = str(place / "venv" / "bin" / "internvl-mcp")
    if (said := run([program, "--version"], environment, place).strip()) != f"internvl-mcp {told().version}":
        raise CheckFailed(f"--version printed {said}")
    if WORDS not in (said := run([program, "call", "read_document", "page.pdf"], environment, place)):
        raise CheckFailed(f"read_document printed {said[-800:]}")
    connected, read = read_by_client([program], environment, place)
    return (
        f"installed in {seconds:.1f} s; a client had the tools after {connected:.1f} s and the page after {read:.1f} s"
    )


def uvx_runs(packages: Packages) -> str:
    place = document(packages.scratch / "uvx-check")
    environment = packages.environment("uvx", packages.tools)
    command = [str(packages.tools / "uvx"), "--from", str(packages.wheel), "internvl-mcp"]
    started = time.monotonic()
    run([*command, "--version"], environment, place)
    seconds = time.monotonic() - started
    connected, read = read_by_client(command, environment, place)
    return f"first start {seconds:.1f} s; then the tools after {connected:.1f} s and the page after {read:.1f} s"


def npx_runs(packages: Packages, name: str, *folders: Path) -> str:
    """From an empty folder with an empty HOME, then again."""
    environment = packages.environment(name, *folders)
    command = ["npx", "-y", "--package", str(packages.tgz), "internvl-mcp"]
    said = []
    for start in ("first", "again"):
        place = document(packages.scratch / f"{name}-{start}")
        connected, read = read_by_client(command, environment, place)
        said.append(f"{start}: the tools after {connected:.1f} s, the page after {read:.1f} s")
    if (version := run([*command, "--version"], environment, place).strip()) != f"internvl-mcp {told().version}":
        raise CheckFailed(f"--version printed {version}")
    return "; ".join(said)


def answers_are_the_servers(packages: Packages) -> str:
    """What the launcher says for the server is what the server says: they were recorded from this build."""
    recorded = json.loads((packages.scratch / "package" / "python" / "answers.json").read_text(encoding="utf-8"))
    now = json.loads(
        json.dumps(build_npm.answers([str(packages.scratch / "pip-check" / "venv" / "bin" / "internvl-mcp")]))
    )
    if recorded != now:
        raise CheckFailed("the recorded answers differ from those of the installed server")
    return f"{sum(len(era['results']) for era in now.values())} answers"


CHECKS: tuple[tuple[str, Callable[[Packages], str]], ...] = (
    ("the wheel's contents", wheel_holds_what_it_needs),
    ("pip install", pip_installs),
    ("recorded answers", answers_are_the_servers),
    ("uvx --from the wheel", uvx_runs),
    ("npx with uv", lambda packages: npx_runs(packages, "npx-uv", packages.tools)),
    ("npx with python alone", lambda packages: npx_runs(packages, "npx-python", packages.python)),
)


def build(scratch: Path) -> Packages:
    tools = build_npm.build_tools(scratch / "tools", "uv")
    wheel = build_npm.build_wheel(scratch / "wheel", tools / "uv")
    build_npm.lay_out(scratch / "package", wheel, build_npm.constraints(tools / "uv"), build_npm.answers())
    only_uv, only_python = scratch / "only-uv", scratch / "only-python"
    for folder, names in ((only_uv, ("uv", "uvx")), (only_python, ())):
        folder.mkdir()
        for name in names:
            (folder / name).symlink_to(tools / name)
    (only_python / f"python3.{sys.version_info.minor}").symlink_to(Path(sys.executable).resolve())
    return Packages(scratch, wheel, build_npm.pack(scratch / "package", scratch), only_uv, only_python)


def main(words: Sequence[str]) -> int:
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("=" * 100)
        print("SKIPPED: no package was checked, because node and npm are not installed (https://nodejs.org).")
        print("=" * 100)
        return 0
    failed = []
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-packages-") as scratch:
        started = time.monotonic()
        packages = build(Path(scratch).resolve())
        print(f"built the wheel and the npm package in {time.monotonic() - started:.1f} s", flush=True)
        for name, check in CHECKS:
            if words and not any(word in name for word in words):
                continue
            began = time.monotonic()
            try:
                said = check(packages)
            except CheckFailed as error:
                failed.append(name)
                said = f"FAILED: {error}"
            print(f"{name}: {said} ({time.monotonic() - began:.1f} s)", flush=True)
    print(
        f"\n{len(failed)} checks of packages failed: {', '.join(failed)}"
        if failed
        else "\nAll checks of packages passed."
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
