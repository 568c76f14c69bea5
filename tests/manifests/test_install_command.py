"""`internvl-mcp install` and `uninstall`, as a person and a script use them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.descriptor import descriptor
from mcp_server.cli import main
from tests.manifests.install_place import program, tree


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with Cursor and Codex in it, a server that is installed, and a project to be in."""
    home = tmp_path / "home"
    for name in (".cursor", ".codex"):
        (home / name).mkdir(parents=True)
    (tmp_path / "project").mkdir()
    program(tmp_path / "venv" / "bin", "internvl-mcp")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return home


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_all_clients_found_get_the_server_and_lose_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(home)
    assert main(["install", "--yes"]) == 0
    said = capsys.readouterr().out
    script = home.parent / "venv" / "bin" / "internvl-mcp"
    assert json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["internvl"]["command"] == str(script)
    assert f'+command = "{script}"' in said
    assert "Downloads: none now." in said
    assert "npx" not in said
    assert "Done: Cursor. Switch the server on" in said
    assert main(["install", "--yes"]) == 0
    assert capsys.readouterr().out.count("already there, nothing to do") == 2
    assert main(["uninstall", "--yes"]) == 0
    assert tree(home) == before
    assert main(["uninstall", "--yes"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_dry_run_shows_the_plan_and_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(home)
    assert main(["install", "--dry-run", "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"+++ {home / '.codex/config.toml'}" in said
    assert "Nothing was changed: --dry-run." in said
    assert tree(home) == before
    assert not (home / ".local").exists()


@pytest.mark.parametrize("closed", [False, True])
def test_without_a_terminal_and_a_yes_nothing_is_changed(
    closed: bool, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if closed:
        monkeypatch.setattr(sys, "stdin", None)
    before = tree(home)
    assert main(["install"]) == 1
    assert "--yes" in capsys.readouterr().out.splitlines()[-1]
    assert tree(home) == before


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_a_person_is_asked(answer: str, status: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["install", "--target", "cursor"]) == status
    assert (home / ".cursor/mcp.json").exists() == (status == 0)


def test_the_servers_flags_follow_two_dashes(home: Path) -> None:
    assert main(["install", "--target", "codex", "--yes", "--", "--root", "/data", "--max-pages=3"]) == 0
    assert 'args = ["--root", "/data", "--max-pages=3"]' in (home / ".codex/config.toml").read_text()


def test_a_command_of_ones_own_is_what_clients_start(home: Path) -> None:
    assert main(["install", "--target", "cursor", "--yes", "--command", "ssh 'my gpu' internvl-mcp"]) == 0
    entry = json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["internvl"]
    assert [entry["command"], *entry["args"]] == ["ssh", "my gpu", "internvl-mcp"]


def test_on_windows_a_backslash_parts_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(home / "AppData/Local"))
    assert main(["install", "--target", "cursor", "--yes", "--command", r"'C:\My Tools\serve.exe' C:\x"]) == 0
    entry = json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["internvl"]
    assert [entry["command"], *entry["args"]] == [r"C:\My Tools\serve.exe", r"C:\x"]


def test_a_project_gets_a_command_for_everybody_and_says_what_it_fetches(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".codeium/windsurf").mkdir(parents=True)
    assert main(["install", "--scope", "project", "--yes"]) == 0
    said = capsys.readouterr().out
    assert " ".join(descriptor().launcher) in said
    assert "about 260 MB, 800 MB on disk" in said
    assert "Windsurf: left out" in said
    assert (home.parent / "project/.codex/config.toml").exists()
    assert main(["uninstall", "--scope", "project", "--yes"]) == 0
    assert tree(home.parent / "project") == {}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--target", "codex", "--", "--rot", "/x"], 2, "--rot"),
        (["--target", "codex", "--", "--max-pages", "many"], 2, "max_pages"),
        (["--target", "codex", "--", "--endpoint-key", "sk-secret"], 2, "endpoint-key"),
        (["--target", "codex", "--", "--root", "data"], 2, "whole path"),
        (["--target", "codex", "--command", "'"], 2, "--command"),
        (["--target", "codex", "--command", ""], 2, "--command"),
        (["--target", "windsurf", "--scope", "project"], 1, "no_project_scope"),
    ],
)
def test_what_cannot_be_meant_is_said_and_changes_nothing(
    arguments: list[str], status: int, says: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(home)
    assert main(["install", "--yes", *arguments]) == status
    said = capsys.readouterr().err
    assert says in said
    assert "secret" not in said
    assert tree(home) == before


def test_flags_of_the_server_in_front_are_not_taken_for_the_entrys(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", "/data", "install", "--yes"]) == 2
    assert "after --" in capsys.readouterr().err


def test_a_computer_without_clients_is_told_how_to_name_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".cursor").rmdir()
    (home / ".codex").rmdir()
    assert main(["install", "--yes"]) == 1
    assert "--target" in capsys.readouterr().err


def test_a_broken_file_is_one_clear_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".cursor/mcp.json").write_text("{")
    assert main(["install", "--yes"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"internvl-mcp: file_broken: {home / '.cursor/mcp.json'}: it is not valid JSON")
    assert not (home / ".codex/config.toml").exists()


def test_a_server_that_starts_loads_none_of_it() -> None:
    ask = "import sys, mcp_server.cli as c; c._parser(); print([m for m in sys.modules if m.startswith('manifests.') "
    ask += "and m != 'manifests.clients' or m.startswith(('tree_sitter', 'filelock', 'tomllib'))])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
