"""What the npm launcher says when it cannot set up, to a person and to a client: never a hang, always the next step."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.launcher_place import LAUNCHER, NODE, SECRET, LauncherPlace, wheel

ONLINE = {"PIP_NO_INDEX": "0", "PIP_RETRIES": "1"}
CLOSED = f"http://me:{SECRET}@127.0.0.1:9"
HELLO = json.dumps(
    {
        "jsonrpc": "2.0", "id": "first", "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    }
)  # fmt: skip


def failed(place: LauncherPlace, code: str, *words: str, **environment: str) -> None:
    """Fails with this code, and a person reads these words."""
    person = place.run("doctor", **environment)
    assert (person.returncode, person.stdout) == (1, "")
    text = person.stderr
    for word in words:
        assert word in text, text
    assert SECRET not in text
    assert "at Object" not in text and "node:" not in text, "no trace of the launcher's own"
    failure = place.data / f"{place.made.name}.failed.json"
    assert not failure.exists() or json.loads(failure.read_text())["code"] == code
    assert not place.ready and not list(place.folder.rglob("*.lock"))


def failed_for_client(place: LauncherPlace, code: str, **environment: str) -> None:
    """A client is told the same in a valid answer, and the launcher ends."""
    client = as_client(place, environment)
    assert client.returncode == 1, client.stderr
    assert SECRET not in client.stderr + client.stdout
    reply = json.loads(client.stdout)
    assert (reply["id"], reply["error"]["data"]["code"]) == ("first", code), client.stdout
    assert reply["error"]["data"]["hint"] in client.stderr


def as_client(place: LauncherPlace, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Connects and waits until the launcher ends by itself."""
    with subprocess.Popen(
        place.serving(openMs=60000), cwd=place.project, env={**place.environment, **environment}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(f"{HELLO}\n")
        process.stdin.flush()
        watch = threading.Timer(60, process.kill)
        watch.start()
        out, err = process.stdout.read(), process.stderr.read()
        watch.cancel()
    return subprocess.CompletedProcess(process.args, process.wait(60), out, err)


def prints(text: str) -> str:
    return f"#!/bin/sh\necho '{text}'\n"


def test_neither_uv_nor_python(place: LauncherPlace) -> None:
    failed(place, "NO_PYTHON", "Neither is here", "Install uv")
    failed_for_client(place, "NO_PYTHON")


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("3 9 18 cpython 64 1", "3.9.18, too old"),
        ("2 7 18 cpython 64 0", "2.7.18, too old"),
        ("3 99 0 cpython 64 1", "3.99.0, too new"),
        ("3 11 9 cpython 32 1", "of 32 bits"),
        ("3 11 9 pypy 64 1", "which is pypy"),
        ("3 11 2 cpython 64 0", "apt install python3.11-venv"),
    ],
)
def test_python_that_does_not_do_is_named_with_the_reason(place: LauncherPlace, said: str, word: str) -> None:
    path = place.program("python3", prints(said))
    failed(place, "NO_PYTHON", f"Found only: {path} ", word)


def test_shim_that_fails_and_uv_that_is_broken_are_passed_over(place: LauncherPlace, template: Path) -> None:
    place.program("python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2; exit 127\n")
    place.program("uv", "#!/bin/sh\nexit 1\n")
    assert place.with_python(template).run("call", "exit", "3").returncode == 3


@pytest.mark.parametrize(("name", "word"), [("absent", "does not start"), ("old", "too old")])
def test_python_that_was_named_must_do(place: LauncherPlace, template: Path, name: str, word: str) -> None:
    place.with_python(template).program("old", prints("3 9 18 cpython 64 1"))
    failed(place, "BAD_PYTHON", "INTERNVL_MCP_PYTHON", word, INTERNVL_MCP_PYTHON=name)


def test_python_that_was_named_is_taken(place: LauncherPlace, template: Path) -> None:
    place.with_python(template).program("python3", "#!/bin/sh\nexit 1\n").rename(place.programs / "other")
    place.with_python(template)
    (place.programs / "python3").rename(place.programs / "mine")
    assert place.run("call", "exit", "3", INTERNVL_MCP_PYTHON="mine").returncode == 3


def test_closed_index(place: LauncherPlace, template: Path) -> None:
    place.with_python(template).carry(wheel(place.inside, ["internvl-mcp-absent"]))
    failed(
        place,
        "NO_NETWORK",
        "***@127.0.0.1:9",
        "PIP_INDEX_URL",
        "about 20 MB",
        PIP_INDEX_URL=f"{CLOSED}/simple",
        **ONLINE,
    )
    failed_for_client(place, "NO_NETWORK", PIP_INDEX_URL=f"{CLOSED}/simple", **ONLINE)


def test_proxy_that_is_not_there(place: LauncherPlace, template: Path) -> None:
    place.with_python(template).carry(wheel(place.inside, ["internvl-mcp-absent"]))
    failed(place, "PROXY", "***@127.0.0.1:9", "HTTPS_PROXY", HTTPS_PROXY=CLOSED, **ONLINE)


def test_package_without_a_build_for_this_computer(place: LauncherPlace, template: Path, tmp_path: Path) -> None:
    place.with_python(template).carry(wheel(place.inside, ["internvl-mcp-absent"]))
    (tmp_path / "index" / "internvl-mcp-absent").mkdir(parents=True)
    index = (tmp_path / "index").as_uri()
    (tmp_path / "index" / "internvl-mcp-absent" / "index.html").write_text("<html></html>")
    failed(place, "NO_PACKAGE", "internvl-mcp-absent", "no build for this computer", PIP_INDEX_URL=index, **ONLINE)


def test_version_that_an_index_lacks_is_replaced_by_one_that_fits(
    place: LauncherPlace, template: Path, tmp_path: Path
) -> None:
    place.with_python(template).carry(wheel(place.inside, ["helper"]))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    name = wheel(shelf).rename(shelf / "helper-2.0-py3-none-any.whl")
    rename_distribution(name, "helper", "2.0")
    (place.inside / "constraints.txt").write_text("helper==1.0\n")
    done = place.run("call", "exit", "3", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(shelf))
    assert done.returncode == 3, done.stderr + place.log.read_text()


def rename_distribution(path: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_disk_without_room(place: LauncherPlace) -> None:
    place.with_uv().carry(next(place.inside.glob("*.whl")), installedMb=10**9)
    failed(place, "NO_SPACE", "MB are free", "INTERNVL_MCP_ENVIRONMENT")
    failed_for_client(place, "NO_SPACE")


def test_disk_that_fills_up_meanwhile(place: LauncherPlace, template: Path) -> None:
    """The limit on a file's size stands in for the disk: pip hears of it in the same way."""
    limit = 6 * 10**6
    place.with_python(template).carry(wheel(place.inside, ballast=2 * limit))
    with subprocess.Popen(
        [*place.command, "doctor"], cwd=place.project, env=place.environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    ) as process:  # fmt: skip
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "The disk is full" in said, said
    assert not place.made.exists(), "what was half made takes no room"


@pytest.mark.parametrize("where", ["/proc/nowhere", "file"])
def test_folder_that_cannot_be_written(place: LauncherPlace, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    target = where if where.startswith("/") else str(tmp_path / where / "inside")
    failed(place.with_uv(), "NOT_WRITABLE", "cannot be written", INTERNVL_MCP_ENVIRONMENT=target)
    failed_for_client(place, "NOT_WRITABLE", INTERNVL_MCP_ENVIRONMENT=target)


@pytest.mark.skipif(os.getuid() == 0 if hasattr(os, "getuid") else True, reason="root may write anywhere")
def test_home_that_is_read_only(place: LauncherPlace) -> None:
    place.with_uv().home.chmod(0o555)
    failed(place, "NOT_WRITABLE", "cannot be written")


def test_package_without_its_wheel(place: LauncherPlace) -> None:
    shutil.rmtree(place.inside)
    failed(place, "PACKAGE_INCOMPLETE", "npx -y internvl-mcp@latest")
    failed_for_client(place, "PACKAGE_INCOMPLETE")


@pytest.mark.parametrize("left", [None, "", '{"legacy"'])
def test_package_whose_recorded_answers_are_damaged(place: LauncherPlace, left: str | None) -> None:
    (place.inside / "answers.json").unlink()
    if left is not None:
        (place.inside / "answers.json").write_text(left)
    failed_for_client(place, "PACKAGE_INCOMPLETE")


@pytest.mark.parametrize(
    ("step", "said", "code", "word"),
    [
        # What uv 0.13 and pip 23 to 26 say, in the lines that tell it.
        ("fails", "  cause: dns error\n  cause: failed to lookup address information", "NO_NETWORK", "No connection"),
        ("fails", "cause: No space left on device (os error 28)", "NO_SPACE", "disk is full"),
        ("fails", "  cause: invalid peer certificate: UnknownIssuer", "TLS", "SSL_CERT_FILE"),
        ("fails", "  cause: HTTP status client error (401 Unauthorized) for url", "INDEX_REFUSED", "name and password"),
        ("fails", "error: failed to open file: Permission denied (os error 13)", "NOT_WRITABLE", "cannot be written"),
        ("fails", "error: No solution found when resolving dependencies\n  cause: Because onnxruntime>=1.20 has no "
         "wheels with a matching platform tag (e.g., `musllinux`) and", "NO_PACKAGE", "onnxruntime"),
        ("fails", "Segmentation fault", "SETUP_FAILED", "Segmentation fault"),
        ("fails-venv", "error: No interpreter found for Python >=3.11, <3.15 in managed installations or search path",
         "NO_PYTHON", "was told not to fetch one"),
        ("fails-venv", "  cause: Failed to download `https://example.org/python-build-standalone/`\n  cause: dns error",
         "NO_PYTHON", "could not fetch one"),
    ],
)  # fmt: skip
def test_what_uv_says_is_understood(place: LauncherPlace, step: str, said: str, code: str, word: str) -> None:
    place.with_uv()
    (place.programs / step).write_text(said)
    failed(place, code, word)


def test_where_uv_fails_python_is_tried(place: LauncherPlace, template: Path) -> None:
    place.with_uv().with_python(template)
    (place.programs / "fails").write_text("Segmentation fault")
    assert place.run("call", "exit", "3").returncode == 3


def asked(script: str) -> Any:
    """What Node prints for a script that is run beside the launcher's own."""
    assert NODE is not None
    done = subprocess.run([NODE, "-e", script], cwd=LAUNCHER, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_on_windows_only_programs_are_started_no_scripts_of_its_command_interpreter(tmp_path: Path) -> None:
    for name in ("uv.bat", "python3.bat", "python.cmd"):  # as pyenv leaves them
        (tmp_path / name).touch(0o755)
    found = asked(f"""
        Object.defineProperty(process, 'platform', {{ value: 'win32' }});
        const child = require('child_process');
        child.execFile = (file) => {{ throw new Error(`spawn EINVAL ${{file}}`); }};
        const {{ findWays }} = require('./discovery.js');
        const all = async (named) => {{ for await (const way of findWays({{ PATH: {json.dumps(str(tmp_path))} }}, named, [])) return way; return null; }};
        (async () => {{
          const refused = await all({json.dumps(str(tmp_path / "python.cmd"))}).catch((failure) => failure.code);
          console.log(JSON.stringify([await all(), refused]));
        }})();
    """)  # noqa: E501
    assert found == [None, "BAD_PYTHON"]


@pytest.mark.parametrize("password", [SECRET, f"a@{SECRET}", f"{SECRET}@b", f"'{SECRET}"])
def test_no_password_of_an_address_is_shown(password: str) -> None:
    address = f"http://me:{password}@proxy.example:8080"
    script = "console.log(JSON.stringify(require('./failures.js').withoutSecrets({})))"
    assert SECRET not in asked(script.format(json.dumps(f"cannot reach {address}, {address}")))


def measured(lines: list[str]) -> list[dict[str, Any]]:
    """What the meter tells about an installer's lines."""
    assert NODE is not None
    script = f"""
        const told = [];
        const meter = require({json.dumps(str(LAUNCHER / "setup.js"))}).downloadMeter(100, (said) => told.push(said));
        {json.dumps(lines)}.forEach((line) => meter(line));
        console.log(JSON.stringify(told));
    """
    return json.loads(subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    "lines",
    [
        ["Resolved 60 packages in 1s", "Downloading numpy (47.7MiB)", "Downloading av (9.6MiB)", " Downloaded numpy",
         " Downloaded av"],
        ["Collecting numpy", "  Downloading numpy-2.4.6-cp311-abi3.whl (50.0 MB)", "Collecting av",
         "  Downloading av-18.1.0.whl (10.0 MB)", "Collecting six", "  Downloading six-1.17.0.whl (11 kB)"],
    ],
)  # fmt: skip
def test_download_is_measured_by_the_installers_own_lines(place: LauncherPlace, lines: list[str]) -> None:
    told = measured(lines)
    assert told[0] == {"phase": "downloading", "done": 0, "total": 100}
    assert told[-1] == {"phase": "downloading", "done": 60, "total": 100}
    assert measured(["Installing collected packages: a, b"]) == [{"phase": "unpacking"}]
