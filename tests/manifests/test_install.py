"""Installing and taking back: files as they were, whatever they held, and nothing changed where anything is wrong."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.clients.launch import Launch
from manifests.edits import jsonc, toml
from manifests.errors import InstallError
from manifests.install import apply as applying
from manifests.install import files
from manifests.install.apply import apply
from manifests.install.diff import diff
from manifests.install.receipts import MOST_BACKUPS
from tests.manifests.install_place import (
    LAUNCH,
    file_of,
    install,
    place_in,
    planned,
    tree,
    uninstall,
    written,
)
from tests.manifests.install_texts import json_texts, toml_texts

OTHER = b'{\n  "mcpServers": {\n    "other": {"env": {"KEY": "sk-theirs"}}\n  }\n}\n'
NEWER = Launch(("/opt/newer/internvl-mcp",))
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
marks = st.sampled_from([b"", b"\xef\xbb\xbf"])


def entry(file: Path) -> dict[str, object]:
    return json.loads(file.read_text(encoding="utf-8-sig"))["mcpServers"]["internvl"]


@many
@given(json_texts(), marks, st.booleans())
def test_any_json_file_is_byte_for_byte_as_before(text: bytes, mark: bytes, twice: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = place_in(Path(folder))
        file = written(place, "cursor", mark + text)
        install(place, "cursor")
        assert jsonc.meaning(file.read_bytes().removeprefix(mark))["mcpServers"]["internvl"]["args"] == []
        if twice:
            install(place, "cursor", launch=NEWER)
        uninstall(place, "cursor")
        assert file.read_bytes() == mark + text


@many
@given(toml_texts(), marks)
def test_any_toml_file_is_byte_for_byte_as_before(text: bytes, mark: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = place_in(Path(folder))
        file = written(place, "codex", mark + text)
        install(place, "codex")
        assert toml.meaning(file.read_bytes().removeprefix(mark))["mcp_servers"]["internvl"]["args"] == []
        install(place, "codex", launch=NEWER)
        uninstall(place, "codex")
        assert file.read_bytes() == mark + text


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["cursor", "codex"])
def test_an_empty_file_is_an_empty_configuration_and_empty_again(name: str, data: bytes, tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, name, data)
    assert [change.action for change in install(place, name)] == ["add"]
    assert file.read_bytes().startswith(data)
    # A client that writes it anew does not keep it from being empty again.
    file.write_bytes(file.read_bytes().replace(b"  ", b"    ") + b"\n")
    uninstall(place, name)
    assert file.read_bytes() == data


def test_what_was_not_there_is_not_there_again(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    changes = install(place, "claude-code", "codex", "zed", "windsurf")
    assert [change.action for change in changes] == ["create"] * 4
    assert stat.S_IMODE(file_of(place, "zed").stat().st_mode) == 0o600
    assert [change.action for change in uninstall(place, "claude-code", "codex", "zed", "windsurf")] == ["delete"] * 4
    assert tree(place.home) == {}


def test_a_folder_that_others_use_by_now_stays(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    install(place, "windsurf")
    (place.home / ".codeium" / "settings").write_text("theirs")
    uninstall(place, "windsurf")
    assert list(tree(place.home)) == [".codeium", ".codeium/settings"]


def test_a_second_installation_changes_nothing(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    written(place, "cursor", OTHER)
    install(place, "cursor", "codex")
    before = tree(tmp_path)
    changes = install(place, "cursor", "codex")
    assert [(change.action, diff(change)) for change in changes] == [("already", "")] * 2
    assert tree(tmp_path) == before


def test_an_older_entry_is_brought_up_to_date_and_keeps_what_is_the_users(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(
        place,
        "gemini",
        b'{"mcpServers": {"internvl": {\n'
        b'  "command": "/old/bin/internvl-mcp", // theirs\n'
        b'  "args": ["--root", "/data"], "timeout": 5, "trust": true}}}',
    )
    [change] = install(place, "gemini")
    assert change.action == "update"
    assert change.notes == ("keeps the server's flags: --root /data",)
    assert '-  "command": "/old/bin/internvl-mcp", // theirs' in diff(change)
    assert file.read_bytes() == change.before.replace(b"/old/bin", b"/opt/bin")  # type: ignore[union-attr]
    install(place, "gemini", launch=LAUNCH.with_flags(["--max-pages", "3"]))
    assert jsonc.meaning(file.read_bytes())["mcpServers"]["internvl"]["args"] == ["--max-pages", "3"]
    [change] = uninstall(place, "gemini")
    assert file.read_bytes().count(b"/old/bin") == 1
    assert "is back" in change.notes[0]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("codex", b'[mcp_servers.internvl]\ncommand = "/opt/bin/internvl-mcp"\nenabled = false\n', "enabled = false"),
        ("windsurf", b'{"mcpServers": {"internvl": {"command": "/old", "disabled": true}}}', "disabled = true"),
        ("windsurf", b'{"mcpServers": {"internvl": {"command": "/old", "disabled": false}}}', ""),
        ("cursor", b'{"mcpServers": {"internvl": {"url": "https://x.example", "disabled": true}}}', ""),
    ],
)
def test_an_entry_that_is_switched_off_stays_so_and_that_is_told(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    place = place_in(tmp_path)
    file = written(place, name, data)
    (change,) = install(place, name)
    assert [said in note and "switched off" in note for note in change.notes] == ([True] if said else [])
    assert (said.encode() in file.read_bytes().replace(b'"disabled": true', b"disabled = true")) or not said


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"allowed": ["other"]}, "mcp.allowed names others"),
        ({"excluded": ["internvl"]}, "mcp.excluded names"),
        ({"allowed": ["internvl"], "excluded": ["other"]}, ""),
        ({"allowed": []}, ""),
        ("all", ""),
    ],
)
def test_a_list_that_keeps_it_out_is_told(lists: object, said: str, tmp_path: Path) -> None:
    place = place_in(tmp_path)
    written(place, "gemini", json.dumps({"mcp": lists}).encode())
    (change,) = install(place, "gemini")
    assert [said in note for note in change.notes] == ([True] if said else [])


def test_an_entry_of_a_remote_server_is_replaced_whole(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", b'{"mcpServers": {"internvl": {"url": "http://gpu:8000/mcp", "headers": {}}}}')
    install(place, "cursor")
    assert entry(file) == {"type": "stdio", "command": "/opt/bin/internvl-mcp", "args": []}


def test_after_the_client_wrote_its_file_only_the_entry_goes(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "claude-code", b'{"numStartups": 1}')
    install(place, "claude-code")
    values = json.loads(file.read_bytes())
    file.write_text(json.dumps({**values, "numStartups": 2}, indent=2))
    assert [change.action for change in uninstall(place, "claude-code")] == ["remove"]
    assert file.read_bytes() == b'{\n  "numStartups": 2\n}'


def test_a_container_that_was_there_stays(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", b'{\n  "mcpServers": {}\n}')
    install(place, "cursor")
    file.write_bytes(file.read_bytes() + b"\n")
    uninstall(place, "cursor")
    assert file.read_bytes() == b'{\n  "mcpServers": {}\n}\n'


def test_a_file_that_only_the_entry_was_in_goes_although_it_was_formatted(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    install(place, "cursor", scope="project")
    file = place.project / ".cursor" / "mcp.json"
    file.write_text(json.dumps(json.loads(file.read_bytes())))
    uninstall(place, "cursor", scope="project")
    assert tree(place.project) == {}


def test_an_entry_made_by_hand_can_be_taken_out(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(
        place, "codex", b'a = 1\n\n[mcp_servers.internvl]\ncommand = "/x"\n\n[mcp_servers.internvl.env]\nA = "1"\n'
    )
    uninstall(place, "codex")
    assert file.read_bytes() == b"a = 1\n"
    assert [change.action for change in uninstall(place, "codex", "cursor")] == ["absent"] * 2


def test_a_link_stays_a_link_and_its_target_keeps_its_mode(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    target = tmp_path / "dotfiles" / "mcp.json"
    target.parent.mkdir()
    target.write_bytes(OTHER)
    target.chmod(0o640)
    link = written(place, "cursor", b"")
    link.unlink()
    link.symlink_to(target)
    install(place, "cursor")
    assert link.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert entry(target)["command"] == "/opt/bin/internvl-mcp"
    uninstall(place, "cursor")
    assert link.is_symlink() and target.read_bytes() == OTHER


def test_clients_that_share_a_file_through_a_link_get_one_entry(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    link = written(place, "windsurf", b"")
    link.unlink()
    link.symlink_to(file)
    assert [change.action for change in install(place, "cursor", "windsurf")] == ["add", "already"]
    uninstall(place, "cursor", "windsurf")
    assert file.read_bytes() == OTHER


REFUSED = {
    "broken": (b'{"mcpServers": {', "file_broken"),
    "not UTF-8": (b'{"a": "\xff"}', "file_broken"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "file_broken"),
    "a list": (b"[]", "wrong_type"),
    "servers are a list": (b'{"mcpServers": []}', "wrong_type"),
    "servers are null": (b'{"mcpServers": null}', "wrong_type"),
    "the entry is a text": (b'{"mcpServers": {"internvl": "x"}}', "wrong_type"),
    "servers twice": (b'{"mcpServers": {}, "mcpServers": {}}', "wrong_type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_edited_keeps_every_file_as_it_is(case: str, tmp_path: Path) -> None:
    place = place_in(tmp_path)
    data, code = REFUSED[case]
    written(place, "cursor", data)
    written(place, "codex", b"a = 1\n")
    refused_everywhere(place, code, str(file_of(place, "cursor")))


def refused_everywhere(place: object, code: str, named: str) -> None:
    before = tree(place.home)  # type: ignore[attr-defined]
    with pytest.raises(InstallError, match=named.replace("\\", ".")) as refused:
        install(place, "codex", "zed", "cursor")  # type: ignore[arg-type]
    assert refused.value.code == code
    assert refused.value.hint
    assert tree(place.home) == before  # type: ignore[attr-defined]


def test_a_read_only_file_is_refused_also_as_root(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    file.chmod(0o444)
    refused_everywhere(place, "file_read_only", str(file))


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    file.parent.chmod(0o555)
    refused_everywhere(place, "file_read_only", str(file.parent))
    file.parent.chmod(0o755)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file_of(place, "cursor").mkdir(parents=True)
    refused_everywhere(place, "file_unreadable", str(file_of(place, "cursor")))


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file_of(place, "cursor").parent.write_text("")
    refused_everywhere(place, "file_unreadable", str(file_of(place, "cursor").parent))


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", b"")
    file.unlink()
    file.symlink_to(file)
    refused_everywhere(place, "file_unreadable", str(file))


def test_a_disk_that_fills_up_takes_back_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in(tmp_path)
    written(place, "cursor", OTHER)
    written(place, "gemini", OTHER)
    before = tree(place.home)
    changes = planned(place, "cursor", "zed", "gemini")
    replace = files.replace

    def full(path: Path, *arguments: object, **named: object) -> None:
        if path == file_of(place, "gemini"):
            raise OSError(28, "No space left on device", str(path))
        replace(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(applying.files, "replace", full)
    with pytest.raises(InstallError, match="No space left") as refused:
        apply(place, changes)
    assert refused.value.code == "write_failed"
    assert tree(place.home) == before
    assert [change.action for change in uninstall(place, "cursor", "zed", "gemini")] == ["absent"] * 3


def test_what_a_client_writes_between_plan_and_yes_is_kept(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "claude-code", b'{\n  "numStartups": 1,\n  "z": 0\n}\n')
    changes = planned(place, "claude-code")
    file.write_bytes(file.read_bytes().replace(b": 1", b": 2"))
    apply(place, changes)
    assert entry(file)["command"] == "/opt/bin/internvl-mcp"
    assert json.loads(file.read_bytes())["numStartups"] == 2
    uninstall(place, "claude-code")
    assert file.read_bytes() == b'{\n  "numStartups": 2,\n  "z": 0\n}\n'


def test_what_a_client_writes_in_the_last_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    changes = planned(place, "cursor")
    like, writes = files._like, [OTHER.replace(b"other", b"newer")]

    def slow(path: Path, temporary: Path, private: bool) -> None:
        if path == file and writes:
            file.write_bytes(writes.pop())
        like(path, temporary, private)

    monkeypatch.setattr(files, "_like", slow)
    apply(place, changes)
    assert sorted(json.loads(file.read_bytes())["mcpServers"]) == ["internvl", "newer"]


def test_a_client_that_locks_its_file_is_kept_out_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in(tmp_path)
    file = written(place, "claude-code", b"{}")
    lock, like, held = file.with_name(".claude.json.lock"), files._like, []
    monkeypatch.setattr(files, "_like", lambda path, *rest: (held.append(lock.is_dir()), like(path, *rest)))
    lock.mkdir()
    os.utime(lock, (0, 0))  # left behind
    install(place, "claude-code")
    assert held[-1] and not lock.exists()
    before = tree(place.home)
    lock.mkdir()
    monkeypatch.setattr(files, "_CLAIM_S", 0)
    with pytest.raises(InstallError) as refused:
        uninstall(place, "claude-code")
    assert refused.value.code == "changed_meanwhile"
    lock.rmdir()
    assert tree(place.home) == before


def test_another_change_than_the_one_that_was_shown_is_not_made(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    changes = planned(place, "codex", "cursor")
    theirs = OTHER.replace(b'"other"', b'"internvl"')
    file.write_bytes(theirs)
    with pytest.raises(InstallError) as refused:
        apply(place, changes)
    assert refused.value.code == "changed_meanwhile"
    assert file.read_bytes() == theirs
    assert not file_of(place, "codex").exists()


def test_what_is_kept_is_bounded_and_private(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    written(place, "cursor", OTHER)
    for number in range(MOST_BACKUPS + 3):
        install(place, "cursor", launch=Launch((f"/opt/{number}/internvl-mcp",)))
    kept = [path for path in place.state().rglob("*") if path.is_file() and path.name != "lock"]
    assert len([path for path in kept if path.suffix == ".backup"]) == MOST_BACKUPS
    assert {path.read_bytes() for path in kept if path.name == "before"} == {OTHER}
    if os.name == "posix":
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
        assert stat.S_IMODE((place.state() / "installs").stat().st_mode) == 0o700


def test_a_damaged_receipt_means_that_only_the_entry_goes(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    install(place, "cursor")
    for receipt in place.state().rglob("receipt.json"):
        receipt.write_text("{")
    assert [change.action for change in uninstall(place, "cursor")] == ["remove"]
    assert file.read_bytes() == OTHER


@pytest.mark.parametrize(
    "data",
    [
        b'{"mcpServers": {}, "apiKey": "sk-secret-9"}',
        b'{\n  "mcpServers": {\n    "o": {"env": {"K": "sk-secret-9"}}\n  },\n  "apiKey": "sk-secret-9"\n}',
        b'{\n  "apiKey": "sk-secret-9"\n}',
        b'{"mcpServers":{"internvl":{"command":"/old/internvl-mcp","args":[]},"o":{"env":{"K":"sk-secret-9"}}}}',
    ],
)
def test_the_diff_shows_no_value_of_others(data: bytes, tmp_path: Path) -> None:
    place = place_in(tmp_path)
    written(place, "cursor", data)
    for changes in (install(place, "cursor"), uninstall(place, "cursor")):
        shown = diff(changes[0])
        assert shown.startswith(f"--- {changes[0].path}\n+++ ")
        assert "secret" not in shown


def test_the_diff_shows_the_whole_entry(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    file = written(place, "cursor", OTHER)
    [change] = planned(place, "cursor")
    assert diff(change).splitlines() == [
        f"--- {file}",
        f"+++ {file}",
        "@@ -3 +3,6 @@",
        '-    "other": …',
        '+    "other": …,',
        '+    "internvl": {',
        '+      "type": "stdio",',
        '+      "command": "/opt/bin/internvl-mcp",',
        '+      "args": []',
        "+    }",
    ]
