"""Where each client's file is on each system, how an entry looks there, and what starts the server."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.clients import NAMES
from manifests.clients.known import CLIENTS, detected
from manifests.clients.launch import Launch, flags_in, launch_for
from manifests.clients.place import System
from manifests.descriptor import descriptor
from manifests.errors import InstallError
from manifests.install.apply import apply
from manifests.install.plan import clients_named, plan_install, plan_uninstall
from tests.manifests.install_place import place_in, program

_NPX = descriptor().launcher

LAUNCH = Launch(("/opt/bin/internvl-mcp",), ("--root", "/data"))
WORDS = {"command": "/opt/bin/internvl-mcp", "args": ["--root", "/data"]}
TYPED = {"type": "stdio", **WORDS}
MAC = "Library/Application Support"
# client: the entry, its file on Linux, macOS and Windows, and in a project.
EXPECTED: dict[str, tuple[str, dict[str, Any], tuple[str, str, str], str | None]] = {
    "claude-code": ("mcpServers", TYPED, (".claude.json",) * 3, ".mcp.json"),
    "claude-desktop": (
        "mcpServers",
        WORDS,
        (
            ".config/Claude/claude_desktop_config.json",
            f"{MAC}/Claude/claude_desktop_config.json",
            "AppData/Roaming/Claude/claude_desktop_config.json",
        ),
        None,
    ),
    "codex": (
        "mcp_servers",
        {**WORDS, "startup_timeout_sec": 30, "tool_timeout_sec": 120},
        (".codex/config.toml",) * 3,
        ".codex/config.toml",
    ),
    "cursor": ("mcpServers", TYPED, (".cursor/mcp.json",) * 3, ".cursor/mcp.json"),
    "vscode": (
        "servers",
        TYPED,
        (".config/Code/User/mcp.json", f"{MAC}/Code/User/mcp.json", "AppData/Roaming/Code/User/mcp.json"),
        ".vscode/mcp.json",
    ),
    "gemini": ("mcpServers", {**WORDS, "timeout": 120_000}, (".gemini/settings.json",) * 3, ".gemini/settings.json"),
    "windsurf": ("mcpServers", WORDS, (".codeium/windsurf/mcp_config.json",) * 3, None),
    "zed": (
        "context_servers",
        {**WORDS, "env": {}},
        (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
        ".zed/settings.json",
    ),
    "opencode": (
        "mcp",
        {
            "type": "local",
            "command": ["/opt/bin/internvl-mcp", "--root", "/data"],
            "enabled": True,
            "timeout": 120_000,
        },
        (".config/opencode/opencode.json",) * 3,
        "opencode.json",
    ),
}
STORE = "AppData/Local/Packages/Claude_pzs8sxrjxfjjc"
SYSTEMS: tuple[System, ...] = ("linux", "darwin", "windows")


def read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def test_every_client_is_described_once() -> None:
    assert tuple(client.name for client in CLIENTS) == NAMES == tuple(EXPECTED)
    assert clients_named([*NAMES, "codex"]) == list(CLIENTS)


@pytest.mark.parametrize("scope", ["user", "project"])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", NAMES)
def test_an_entry_gets_into_the_clients_own_file_and_out_again(
    name: str, system: System, scope: str, tmp_path: Path
) -> None:
    place = place_in(tmp_path, system)
    servers, entry, user, project = EXPECTED[name]
    clients = clients_named([name])
    if scope == "project" and project is None:
        with pytest.raises(InstallError) as refused:
            plan_install(place, clients, "project", LAUNCH, descriptor())
        assert refused.value.code == "no_project_scope"
        assert "--scope user" in refused.value.hint
        return
    path = place.project / str(project) if scope == "project" else place.home / user[SYSTEMS.index(system)]
    apply(place, plan_install(place, clients, scope, LAUNCH, descriptor()))  # type: ignore[arg-type]
    assert read(path) == {servers: {"internvl": entry}}
    apply(place, plan_uninstall(place, clients, scope, descriptor()))  # type: ignore[arg-type]
    assert list(place.project.iterdir()) == []
    assert [found.name for found in place.home.iterdir()] in ([".local"], ["AppData"])


@pytest.mark.parametrize(
    ("name", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "CODEX_HOME", "config.toml"),
        ("gemini", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("vscode", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
        ("zed", "XDG_CONFIG_HOME", "zed/settings.json"),
        ("zed", "FLATPAK_XDG_CONFIG_HOME", "zed/settings.json"),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
        ("claude-desktop", "XDG_CONFIG_HOME", "Claude/claude_desktop_config.json"),
    ],
)
def test_a_variable_moves_a_clients_files(name: str, variable: str, file: str, tmp_path: Path) -> None:
    place = place_in(tmp_path, **{variable: str(tmp_path / "moved")})
    [change] = plan_install(place, clients_named([name]), "user", LAUNCH, descriptor())
    assert change.path == tmp_path / "moved" / file


@pytest.mark.parametrize(
    ("name", "system", "file"),
    [
        ("claude-code", "linux", ".claude/.config.json"),
        ("opencode", "darwin", ".config/opencode/opencode.jsonc"),
        ("claude-desktop", "windows", f"{STORE}/LocalCache/Roaming/Claude/claude_desktop_config.json"),
    ],
)
def test_another_file_is_used_where_the_client_uses_it(name: str, system: System, file: str, tmp_path: Path) -> None:
    place = place_in(tmp_path, system)
    (place.home / file).parent.mkdir(parents=True)
    (place.home / file).write_text("{}")
    [change] = plan_install(place, clients_named([name]), "user", LAUNCH, descriptor())
    assert change.path == place.home / file


def test_an_entry_is_found_in_the_second_of_two_files(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    apply(place, plan_install(place, clients_named(["opencode"]), "user", LAUNCH, descriptor()))
    (place.home / ".config/opencode/opencode.jsonc").write_text("{ /* newer */ }")
    [change] = plan_install(place, clients_named(["opencode"]), "user", LAUNCH, descriptor())
    assert (change.action, change.path.name) == ("already", "opencode.json")


def test_clients_are_found_by_their_folders_and_programs(tmp_path: Path) -> None:
    place = place_in(tmp_path, PATH=str(tmp_path / "bin"))
    assert detected(place) == []
    (place.home / ".cursor").mkdir()
    program(tmp_path / "bin", "codex")
    (place.home / ".config/zed").mkdir(parents=True)
    assert [client.name for client in detected(place)] == ["codex", "cursor", "zed"]
    assert [client.name for client in detected(replace(place, system="windows"))] == ["codex", "cursor"]


def test_a_client_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(InstallError, match="emacs") as refused:
        clients_named(["emacs"])
    assert refused.value.code == "unknown_client"
    assert "opencode" in refused.value.hint


def test_an_installed_server_is_started_from_where_it_is(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    script = program(place.prefix / "bin", "internvl-mcp")
    assert launch_for(place, "user", descriptor()).words == (str(script),)


def test_on_windows_it_is_an_exe(tmp_path: Path) -> None:
    place = place_in(tmp_path, "windows")
    script = program(place.prefix / "Scripts", "internvl-mcp.exe")
    assert launch_for(place, "user", descriptor()).words == (str(script),)


def test_a_client_whose_folder_cannot_be_looked_into_is_not_there(tmp_path: Path) -> None:
    place = place_in(tmp_path, CODEX_HOME=str(tmp_path / ("x" * 300)))  # a name that no system has
    (place.home / ".cursor").mkdir()
    assert [client.name for client in detected(place)] == ["cursor"]


@pytest.mark.parametrize("cache", ["uv/archive-v0/abc", "uv/environments-v2/internvl-mcp-1", ".cache/pipx/0f",
    "Library/Caches/pipx/0f", "AppData/Local/pipx/pipx/Cache/0f"])  # fmt: skip
def test_what_runs_from_a_cache_is_started_by_what_fills_it(cache: str, tmp_path: Path) -> None:
    place = replace(place_in(tmp_path, PATH=str(tmp_path / "bin")), prefix=tmp_path / cache)
    program(place.prefix / "bin", "internvl-mcp")
    with pytest.raises(InstallError) as refused:
        launch_for(place, "user", descriptor())
    assert refused.value.code == "no_command"
    npx = program(tmp_path / "bin", "npx")
    assert launch_for(place, "user", descriptor()).words == (str(npx), *_NPX[1:])
    uvx = program(tmp_path / "bin", "uvx")
    assert launch_for(place, "user", descriptor()).words == (str(uvx), "internvl-mcp")


def test_a_project_that_is_shared_starts_it_by_npx(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    program(place.prefix / "bin", "internvl-mcp")
    assert launch_for(place, "project", descriptor()).words == _NPX
    windows = launch_for(replace(place, system="windows"), "project", descriptor())
    assert windows.words == ("cmd", "/c", *_NPX)


@pytest.mark.parametrize(
    "words",
    [
        ["/home/u/.local/bin/internvl-mcp"],
        ["C:\\Users\\u\\venv\\Scripts\\internvl-mcp.exe"],
        ["npx", "-y", "internvl-mcp@0.1.0"],
        ["uvx", "internvl-mcp[local]"],
        ["uvx", "--from", "internvl-mcp==0.1.0", "internvl-mcp"],
    ],
)
def test_the_servers_flags_are_known_in_any_entry_of_ours(words: list[str]) -> None:
    assert flags_in([*words, "--root", "/srv/internvl-mcp-data"], descriptor()) == ("--root", "/srv/internvl-mcp-data")
    assert flags_in(["python", "server.py", "--root", "x"], descriptor()) == ()


def test_the_descriptor_has_the_version_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (descriptor().version, descriptor().pypi) == (project["version"], project["name"])
    assert descriptor().command in project["scripts"]
