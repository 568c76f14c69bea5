"""The command line, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_server.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.mark.parametrize("flags_first", [True, False])
def test_call_prints_the_result_as_json(
    sample_files: Any, flags_first: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--root", str(sample_files.report.parent)]
    call = ["call", "read_document", str(sample_files.report), "pages=2", "format=text", "--json"]
    assert main([*flags, *call] if flags_first else [*call, *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [page["number"] for page in result["pages"]] == [2]
    assert result["markdown"]


def test_call_prints_the_result_for_a_person(
    sample_files: Any, sample_maker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(sample_files.report.parent), "call", "read_document", str(sample_files.report)]) == 0
    assert sample_maker.REPORT.pages[0].heading in capsys.readouterr().out


def test_call_takes_all_arguments_as_json(sample_files: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = json.dumps({"source": str(sample_files.report), "pages": "1-3", "format": "json"})
    folder = str(sample_files.report.parent)
    assert main(["call", "read_document", "--arguments", arguments, "--json", "--root", folder]) == 0
    pages = json.loads(capsys.readouterr().out)["pages"]
    assert any(page["tables"] for page in pages)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["call", "read_documant", "a.pdf"], 2, "read_document"),
        (["call", "read_document"], 2, "source (required)"),
        (["call", "read_document", "/etc/passwd"], 1, "access_denied"),
        (["call", "read_document", "a.pdf", "paces=1"], 1, "paces"),
        (["call", "read_document", "a.pdf", "b.pdf"], 1, "b.pdf"),
        (["call", "read_document", "--arguments", "{"], 1, "JSON"),
        (["--max-pages", "no", "doctor"], 2, "max_pages"),
    ],
)
def test_what_cannot_be_meant_is_said_clearly(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert says in out + err


def test_doctor_reads_a_picture_and_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's own clients
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Hello 2026" in said
    assert "no InternVL weights are on this machine" in said or "[local] is not installed" in said
    assert "internvl-mcp pull" in said
    assert "internvl-mcp install --target" in said


def test_a_folder_that_is_gone_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["install", "--dry-run"]) == 2
    assert "started in is gone" in capsys.readouterr().err


def test_a_download_from_the_shell_is_sent_to_pull(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "manage_model", "action=download"]) == 1
    assert "internvl-mcp pull" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path: Path) -> None:
    code = "import sys; from mcp_server.cli import main; sys.exit(main(['plan']))"
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(60), said) == (1, b"")
