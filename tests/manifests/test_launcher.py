"""The npm launcher where its environment is there, or is made while a person waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.manifests.launcher_place import LAUNCHER, NODE, SECRET, VERSION, LauncherPlace

RUN_LIMIT_S = 60


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=RUN_LIMIT_S)
    return process.returncode, out, err


def test_first_start_makes_the_environment_with_uv_and_passes_the_words_on(place: LauncherPlace) -> None:
    done = place.with_uv().run("call", "tell", "a b", said="piped")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["words"], told["input"]) == (["call", "tell", "a b"], "piped")
    assert "setting up, once" in done.stderr
    venv, install = place.calls()
    assert venv.startswith("venv ") and ">=3.11,<3.15" in venv
    assert "--constraint" in install and install.endswith(".whl")


def test_later_start_asks_nobody_and_says_nothing(place: LauncherPlace) -> None:
    place.with_uv().run("call", "exit", "0")
    (place.programs / "uv").unlink()
    done = place.run("call", "tell")
    assert (done.returncode, done.stderr) == (0, "")


def test_python_alone_makes_a_real_environment(place: LauncherPlace, template: Path) -> None:
    done = place.with_python(template).run("call", "exit", "6")
    assert done.returncode == 6, done.stderr + place.log.read_text()
    assert (place.made / "pyvenv.cfg").exists() and "pip install" in place.log.read_text()


def test_environment_is_isolated_from_pythons_variables_and_the_launchers_own(
    place: LauncherPlace, tmp_path: Path
) -> None:
    hostile = tmp_path / "hostile"
    (hostile / "mcp_server").mkdir(parents=True)
    (hostile / "mcp_server" / "__init__.py").write_text("raise SystemExit('the wrong package was imported')")
    where = tmp_path / "elsewhere"
    done = place.with_uv().run("call", "tell", PYTHONPATH=str(hostile), INTERNVL_MCP_ENVIRONMENT=str(where))
    assert done.returncode == 0, done.stderr
    # The server takes a variable that is no setting of its own for a mistake.
    assert not {"INTERNVL_MCP_ENVIRONMENT", "INTERNVL_MCP_PYTHON"} & json.loads(done.stdout)["environment"].keys()
    assert (where / f"env-{VERSION}" / "ready.json").exists() and not place.ready


@pytest.mark.parametrize("code", ["0", "1", "7"])
def test_exit_codes_are_mirrored(place: LauncherPlace, code: str) -> None:
    place.with_uv()
    assert [place.run("call", "exit", code).returncode for _ in range(2)] == [int(code)] * 2


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGTERM"])
def test_death_by_a_signal_is_mirrored(place: LauncherPlace, name: str) -> None:
    number = getattr(signal, name)
    done = place.with_uv().run("call", "die", str(int(number)))
    assert done.returncode == -number


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 41), ("SIGINT", 42), ("SIGHUP", 43)])
def test_signals_reach_the_program(place: LauncherPlace, name: str, status: int) -> None:
    place.with_uv().run("call", "exit", "0")
    process = place.start("call", "wait")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(getattr(signal, name))
    assert ended(process)[0] == status


def test_end_of_input_ends_the_server(place: LauncherPlace) -> None:
    place.with_uv().run("call", "exit", "0")
    code, out, _ = ended(place.start())
    assert (code, out) == (0, b"")


def test_server_whose_launcher_was_killed_ends_with_its_input(place: LauncherPlace) -> None:
    place.with_uv().run("call", "exit", "0")
    process = place.start()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b'{"id": 1, "method": "there"}\n')
    process.stdin.flush()
    assert b"there" in process.stdout.readline()
    process.kill()
    # The output ends when the last of those that could write to it is gone.
    assert ended(process)[:2] == (-signal.SIGKILL, b"")


def test_person_sees_one_line_that_moves_and_it_is_gone_in_the_end(place: LauncherPlace) -> None:
    place.with_uv().hold()
    reading, terminal = os.openpty()
    process = place.start("call", "exit", "3", stderr=terminal)
    os.close(terminal)
    said = b""
    while b"downloading, 0 of about 20 MB" not in said:
        said += os.read(reading, 1000)
    place.let_go()
    assert ended(process)[0] == 3
    said += os.read(reading, 10000)
    os.close(reading)
    assert b"\r\x1b[K" in said and said.count(b"\n") == 1 and b"set up in" in said


@pytest.mark.parametrize("damage", ["module", "interpreter", "program", "stamp", "build"])
def test_environment_that_broke_is_made_anew(place: LauncherPlace, damage: str) -> None:
    place.with_uv().run("call", "exit", "0")
    if damage == "module":
        (place.made / "lib" / "mcp_server" / "cli.py").write_text("import what_is_not_there")
    elif damage == "interpreter":
        program = place.made / "bin" / "internvl-mcp"
        program.write_text("#!/nowhere/python\n")
    elif damage == "program":
        (place.made / "bin" / "internvl-mcp").unlink()
    elif damage == "stamp":
        (place.made / "ready.json").write_text("{")
    else:
        place.carry(next(place.inside.glob("*.whl")), build="2")
    done = place.run("call", "tell")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["words"] == ["call", "tell"]
    assert len(place.calls()) == 4


def test_server_whose_environment_broke_says_so_and_comes_back_next_time(place: LauncherPlace) -> None:
    place.with_uv().run("call", "exit", "0")
    (place.made / "lib" / "mcp_server" / "cli.py").write_text("import what_is_not_there")
    code, _, err = ended(place.start())
    assert code == 1 and b"made anew when it is next started" in err
    assert place.run("call", "exit", "5").returncode == 5


def test_two_launchers_make_one_environment(place: LauncherPlace) -> None:
    place.with_uv()
    processes = [place.start("call", "exit", str(status)) for status in (3, 4, 5)]
    assert [ended(process)[0] for process in processes] == [3, 4, 5]
    assert len(place.calls()) == 2


def test_lock_of_a_process_that_died_is_taken_over(place: LauncherPlace) -> None:
    place.with_uv()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    place.data.mkdir(parents=True)
    lock = place.data / f"env-{VERSION}.lock"
    lock.write_text(json.dumps({"token": "x", "pid": gone.pid, "host": os.uname().nodename, "phase": "downloading"}))
    (place.made / "bin").mkdir(parents=True)
    assert place.run("call", "exit", "3").returncode == 3
    assert not lock.exists()


def test_interrupt_while_setting_up_ends_the_set_up(place: LauncherPlace) -> None:
    pipe = place.with_uv().hold()
    process = place.start("call", "exit", "0")
    # Opening it for writing returns when uv waits at its other end.
    with pipe.open("w"):
        process.send_signal(signal.SIGINT)
        code, _, _ = ended(process)
    assert code == -signal.SIGINT
    pipe.unlink()
    assert place.run("call", "exit", "3").returncode == 3


def test_proxy_and_certificates_of_npm_reach_the_installer_and_secrets_no_log(place: LauncherPlace) -> None:
    done = place.with_uv().run(
        "call", "exit", "0",
        npm_config_https_proxy=f"http://me:{SECRET}@127.0.0.1:9", npm_config_cafile="/certificates",
        PIP_TARGET="/astray", PIP_INDEX_URL="https://example.org/simple",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads((place.programs / "seen").read_text())
    assert (seen["HTTPS_PROXY"], seen["SSL_CERT_FILE"]) == (f"http://me:{SECRET}@127.0.0.1:9", "/certificates")
    assert "PIP_TARGET" not in seen and seen["UV_DEFAULT_INDEX"] == "https://example.org/simple"
    log = place.log.read_text()
    assert SECRET not in log and "proxy http://***@127.0.0.1:9" in log


def test_environments_of_versions_that_nothing_uses_any_more_are_removed(place: LauncherPlace) -> None:
    place.with_uv()
    names = ("env-0.0.0", "env-0.0.0rc1", "env-0.0.0rc2", "notes")
    for name in names:
        (place.data / name).mkdir(parents=True)
        (place.data / name / "ready.json").write_text("{}")
        os.utime(place.data / name / "ready.json", (0, 0))
    os.utime(place.data / "env-0.0.0rc1" / "ready.json")
    (place.home / ".codex").mkdir()
    (place.home / ".codex" / "config.toml").write_text(f'command = "{place.data}/env-0.0.0rc2/bin/internvl-mcp"')
    # The server's package knows where clients keep their servers.
    place.environment["SERVER_PATH"] = str(Path(__file__).parents[2])
    place.run("call", "exit", "0")
    place.settle()
    left = {path.name for path in place.data.iterdir() if path.is_dir()}
    assert left == {*names, place.made.name} - {"env-0.0.0"}


def test_a_flag_s_value_that_is_called_like_a_command_is_none(place: LauncherPlace) -> None:
    script = f"process.stdout.write(JSON.stringify(require({json.dumps(str(LAUNCHER / 'words.js'))}).isServer("
    for words, server in ((["--root", "doctor"], True), (["doctor"], False), (["--root", "/x", "setup"], False)):
        done = subprocess.run(
            [str(NODE), "-e", f"{script}{json.dumps(words)}, false)))"], capture_output=True, text=True, check=True
        )
        assert done.stdout == json.dumps(server), words
