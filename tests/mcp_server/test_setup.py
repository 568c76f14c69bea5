"""What setup does once it may: what fails is told, the rest is done; questions at a terminal, none without."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcp_server import setup_command
from mcp_server.settings import add_flags
from mcp_server.setup_facts import Facts
from mcp_server.setup_run import setup
from mcp_server.setup_work import Hands
from tests.mcp_server.simulated import GIB, NANO, Computer, Torch, named, server_entry, snapshot
from tests.vision.weights.site import COMMIT, Site, serve
from vision.config import Settings
from vision.machine import memory_bytes
from vision.variants.catalogue import variant_named

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]
RTX_4090 = named("RTX 4090")
on_posix = pytest.mark.skipif(os.name != "posix", reason="terminals and signals are POSIX's")
READY = Computer(gpus=RTX_4090, torch=Torch("2.15.0", cuda="13.2"), local=True, weights=("InternVL3.5-8B",))


@dataclass
class Watched:
    """Hands that note what they are asked to do; packages come as the extra would bring them."""

    site: Path
    statuses: Sequence[int] = ()
    pulled: int = 0
    missing: bool = False
    done: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def hands(self) -> Hands:
        return Hands(run=self._run, pull=self._pull)

    def _run(self, command: Sequence[str]) -> int:
        if self.missing:
            raise FileNotFoundError(2, "No such file or directory")
        self.done.append(tuple(command))
        status = self.statuses[len(self.done) - 1] if self.statuses else 0
        for name in ("torch", "transformers", "accelerate", "safetensors") if status == 0 else ():
            (self.site / name).mkdir(exist_ok=True)
            (self.site / name / "__init__.py").touch()
        return status

    def _pull(self, options: argparse.Namespace, _: Settings) -> int:
        self.done.append(("pull", options.pulled_variant))
        return self.pulled


def run(facts: Facts, hands: Hands, *flags: str, settings: Settings | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(config=None)
    setup_command.add_arguments(parser)
    return setup(parser.parse_args(flags), settings or Settings(), facts, hands)


def worked(
    computer: Computer, folder: Path, *flags: str, settings: Settings | None = None, **changes: object
) -> tuple[int, list[tuple[str, ...]], Facts]:
    facts = computer.facts(folder)
    watched = Watched(folder / "site", **changes)  # pyright: ignore[reportArgumentType]
    code = run(facts, watched.hands, *flags, settings=settings)
    return code, watched.done, facts


def claude(facts: Facts) -> str:
    return (facts.place.home / ".claude.json").read_text()


# Without a terminal


@pytest.mark.parametrize("closed", [False, True])
def test_without_a_terminal_and_without_yes_nothing_is_done(
    closed: bool, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    if closed:
        monkeypatch.setattr(sys, "stdin", None)
    facts = Computer(gpus=RTX_4090).facts(tmp_path)
    before = snapshot(tmp_path)
    watched = Watched(tmp_path / "site")
    assert run(facts, watched.hands) == 3
    assert watched.done == [] and snapshot(tmp_path) == before
    said = capsys.readouterr().out
    assert "InternVL3.5-8B" in said and said.rstrip().endswith("internvl-mcp setup --yes")


def test_where_all_is_there_nothing_has_to_be_asked(tmp_path: Path, capsys: Captured) -> None:
    facts = READY.facts(tmp_path)
    (facts.place.home / ".claude.json").write_text(server_entry(facts))
    watched = Watched(tmp_path / "site")
    assert run(facts, watched.hands, "--no-self-test") == 0
    assert watched.done == []
    assert "Claude Code: has the server already" in capsys.readouterr().out


def test_yes_installs_fetches_and_adds_in_this_order(tmp_path: Path, capsys: Captured) -> None:
    code, done, facts = worked(Computer(gpus=RTX_4090), tmp_path, "--yes", "--no-self-test")
    assert code == 0
    assert [command[-1] for command in done] == ["internvl-mcp[local]==0.1.0", "InternVL3.5-8B"]
    assert "internvl-mcp" in claude(facts) and "numStartups" in claude(facts)
    said = capsys.readouterr().out
    assert said.index("$ ") < said.index("Added to Claude Code.") < said.index("Say to your agent")


def test_a_second_run_finds_nothing_to_do(tmp_path: Path, capsys: Captured) -> None:
    facts = READY.facts(tmp_path)
    watched = Watched(tmp_path / "site")
    assert run(facts, watched.hands, "--yes", "--no-self-test") == 0
    before = snapshot(tmp_path)
    assert run(facts, watched.hands, "--no-self-test") == 0
    assert watched.done == [] and snapshot(tmp_path) == before


def test_packages_that_do_not_come_keep_the_clients_from_nothing(tmp_path: Path, capsys: Captured) -> None:
    code, done, facts = worked(Computer(gpus=RTX_4090), tmp_path, "--yes", "--no-self-test", statuses=[2])
    assert code == 1 and len(done) == 1
    assert "internvl-mcp" in claude(facts)
    said = capsys.readouterr().out
    assert "Not done" in said and "packages: " in said and "run `internvl-mcp setup` again" in said


def test_the_second_of_two_commands_is_not_begun_when_the_first_fails(tmp_path: Path) -> None:
    computer = Computer(gpus=named("V100 32GB"), programs=())
    code, done, _ = worked(computer, tmp_path, "--yes", "--no-self-test", statuses=[1])
    assert code == 1 and len(done) == 1 and done[0][-1].endswith("/cu126")


def test_an_installer_that_cannot_be_started_is_told(tmp_path: Path, capsys: Captured) -> None:
    code, _, _ = worked(Computer(gpus=RTX_4090), tmp_path, "--yes", "--no-self-test", missing=True)
    assert code == 1 and "it could not be started (No such file" in capsys.readouterr().out


def test_weights_that_do_not_come_are_told_and_the_rest_is_done(tmp_path: Path, capsys: Captured) -> None:
    code, done, facts = worked(Computer(gpus=RTX_4090), tmp_path, "--yes", "--no-self-test", pulled=1)
    assert code == 1 and done[-1] == ("pull", "InternVL3.5-8B")
    assert "internvl-mcp" in claude(facts)
    assert "InternVL3.5-8B could not be fetched" in capsys.readouterr().out


def test_offline_the_weights_are_left_and_the_rest_is_done(tmp_path: Path, capsys: Captured) -> None:
    computer = Computer(gpus=RTX_4090, environment={"HF_HUB_OFFLINE": "1"})
    code, done, facts = worked(computer, tmp_path, "--yes", "--no-self-test")
    assert code == 1 and [command[0] for command in done] != ["pull"] and len(done) == 1
    assert "internvl-mcp" in claude(facts) and "HF_HUB_OFFLINE" in capsys.readouterr().out


def test_without_room_neither_packages_nor_weights_are_begun(tmp_path: Path) -> None:
    code, done, facts = worked(Computer(gpus=RTX_4090, free_gb=12), tmp_path, "--yes", "--no-self-test")
    assert code == 1 and done == [] and "internvl-mcp" in claude(facts)


def test_a_broken_client_is_told_and_left_and_the_others_are_changed(tmp_path: Path, capsys: Captured) -> None:
    computer = Computer(cores=4, clients=("claude-code", "cursor"), broken=("cursor",))
    code, _, facts = worked(computer, tmp_path, "--yes", "--no-self-test")
    assert code == 1 and "internvl-mcp" in claude(facts)
    assert (facts.place.home / ".cursor" / "mcp.json").read_text() == "{ broken"
    assert "Cursor: " in capsys.readouterr().out.partition("Not done")[2]


def test_from_uvs_cache_the_tool_that_was_installed_goes_on(tmp_path: Path) -> None:
    computer = Computer(gpus=RTX_4090, kind="uvx", programs=("uv", "uvx"))
    flags = ("--yes", "--no-self-test", "--target", "claude-code")
    code, done, facts = worked(computer, tmp_path, *flags, statuses=[0, 7])
    assert code == 7
    assert done[0][1:3] == ("tool", "install")
    assert done[1][1:] == ("tool", "run", "internvl-mcp", "setup", "--variant", "InternVL3.5-8B", *flags)
    assert "internvl" not in claude(facts)


def test_settings_that_clients_do_not_get_are_told_with_the_command_that_gives_them(
    tmp_path: Path, capsys: Captured
) -> None:
    facts = Computer(cores=4).facts(tmp_path)
    parser = argparse.ArgumentParser()
    add_flags(parser)
    setup_command.add_arguments(parser)
    words = ["--yes", "--no-self-test", "--endpoint", "http://gpu:8000/v1"]
    settings = Settings(endpoints=("http://gpu:8000/v1",))
    assert setup(parser.parse_args(words), settings, facts, Watched(tmp_path / "site").hands) == 0
    said = capsys.readouterr().out
    assert "To give them these: internvl-mcp install -- --endpoint=http://gpu:8000/v1\n" in said
    assert setup(parser.parse_args(words[:2]), settings, facts, Watched(tmp_path / "site").hands) == 0
    assert "install --" not in capsys.readouterr().out


def test_the_uv_that_the_npm_launcher_fetched_is_taken(tmp_path: Path) -> None:
    facts = Computer(gpus=RTX_4090, kind="npm", programs=()).facts(tmp_path)
    uv = facts.place.prefix / "bin" / "uv"
    uv.touch(0o755)
    watched = Watched(tmp_path / "site")
    assert run(facts, watched.hands, "--yes", "--no-self-test", "--no-clients") == 0
    assert watched.done[0][:3] == (str(uv), "pip", "install")


def test_the_tool_that_goes_on_gets_the_settings_of_this_run(tmp_path: Path) -> None:
    facts = Computer(gpus=RTX_4090, kind="uvx", programs=("uv", "uvx")).facts(tmp_path)
    watched = Watched(tmp_path / "site")
    parser = argparse.ArgumentParser()
    add_flags(parser)
    setup_command.add_arguments(parser)
    words = ["--config", "/own.toml", "--root", "/a", "--root", "/b", "--memory-fraction", "0.5"]
    options = parser.parse_args([*words, "--variant", "3.5-2B", "--yes"])
    assert setup(options, Settings(variant="3.5-2B", memory_fraction=0.5), facts, watched.hands) == 0
    given = parser.parse_args(watched.done[1][5:])
    assert (given.config, given.roots, given.memory_fraction) == ("/own.toml", ["/a", "/b"], "0.5")
    assert (given.variant, given.yes) == ("InternVL3.5-2B", True)


def test_a_model_that_servers_would_not_choose_is_told_how_to_pin(tmp_path: Path, capsys: Captured) -> None:
    computer = Computer(
        gpus=RTX_4090, torch=Torch("2.15.0", cuda="13.2"), local=True, weights=("InternVL3.5-8B", "InternVL3.5-2B")
    )
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "settings")}
    computer = Computer(**{**vars(computer), "environment": environment})
    facts = computer.facts(tmp_path)
    flags = ("--yes", "--no-self-test", "--no-clients")
    assert run(facts, Watched(tmp_path / "site").hands, *flags, settings=Settings(variant="3.5-2B")) == 0
    said = capsys.readouterr().out
    assert f'write into {tmp_path}/settings/internvl-mcp/config.toml: variant = "InternVL3.5-2B"' in said
    assert run(facts, Watched(tmp_path / "site").hands, *flags) == 0
    assert "variant =" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "said"),
    [(Settings(variant="3.5-9B"), "there is no variant"), (Settings(device="xpu"), "device is xpu")],
)
def test_a_setting_that_means_nothing_here_is_one_error(
    settings: Settings, said: str, tmp_path: Path, capsys: Captured
) -> None:
    assert run(Computer(gpus=RTX_4090).facts(tmp_path), Watched(tmp_path).hands, "--yes", settings=settings) == 2
    assert said in capsys.readouterr().err


def test_an_interrupt_says_that_it_goes_on_from_there(tmp_path: Path, capsys: Captured) -> None:
    code, _, facts = worked(Computer(gpus=RTX_4090), tmp_path, "--yes", "--no-self-test", pulled=130)
    assert code == 130 and "internvl" not in claude(facts)
    assert "goes on from there" in capsys.readouterr().err


@on_posix
def test_an_interrupt_while_packages_come_ends_the_installer_and_leaves_the_rest(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from tests.mcp_server.simulated import Computer, named; from tests.mcp_server.test_setup import run;"
        "from mcp_server.setup_work import Hands;"
        "facts = Computer(gpus=named('RTX 4090')).facts(Path(sys.argv[1]));"
        "uv = Path(sys.argv[1]) / 'path' / 'uv'; uv.write_text('#!/bin/sh\\necho at work\\nexec sleep 600\\n');"
        "sys.exit(run(facts, Hands(), '--yes'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, str(tmp_path / "c")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    while (line := process.stdout.readline()) != "at work\n":
        assert line, "it ended before the installer was at work"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that were started there
    said, errors = process.communicate(timeout=60)
    watchdog.cancel()
    assert process.returncode == 130 and "goes on from there" in errors and "Traceback" not in errors
    assert "Added" not in said and "internvl" not in (tmp_path / "c" / "home" / ".claude.json").read_text()


# At a terminal

_AT_A_TERMINAL = """
import sys
from pathlib import Path
from tests.mcp_server.simulated import Computer, named
from tests.mcp_server.test_setup import Watched, run

folder = Path(sys.argv[1])
watched = Watched(folder / "site")
gpus = named(*sys.argv[2:])
facts = Computer(gpus=gpus, cores=4, clients=("claude-code", "codex")).facts(folder)
code = run(facts, watched.hands, "--no-self-test")
print("DONE", [command[-1] for command in watched.done], flush=True)
sys.exit(code)
"""


@dataclass(frozen=True)
class Session:
    code: int
    said: str


def at_a_terminal(folder: Path, answers: dict[str, str], gpu: str = "RTX 4090") -> Session:
    """Runs setup at a terminal of its own, and types an answer where each question ends."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _AT_A_TERMINAL, str(folder), *([gpu] if gpu else [])]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True)
    os.close(theirs)
    said, left = "", dict(answers)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        while chunk := _read(ours):
            said += chunk
            question = next((question for question in left if question in said and said.rstrip().endswith("]")), None)
            if question is not None:
                os.write(ours, f"{left.pop(question)}\n".encode())
        return Session(process.wait(60), said.replace("\r\n", "\n"))
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode()
    except OSError:  # Linux: the other side is closed
        return ""


@on_posix
def test_enter_takes_what_is_recommended(tmp_path: Path) -> None:
    enter = dict.fromkeys(("Set up", "Install these", "Claude Code?", "Codex?"), "")
    session = at_a_terminal(tmp_path / "c", enter)
    assert session.code == 0, session.said
    assert "Set up InternVL3.5-8B? [Yes/other/none]" in session.said
    assert "DONE ['internvl-mcp[local]==0.1.0', 'InternVL3.5-8B']" in session.said
    assert "Added to Claude Code." in session.said and "Added to Codex." in session.said


@on_posix
def test_another_variant_is_chosen_by_its_number(tmp_path: Path) -> None:
    answers = {"Set up": "o", "Which one": "1", "Install these": "y", "Claude Code?": "n", "Codex?": "y"}
    session = at_a_terminal(tmp_path / "c", answers)
    assert session.code == 0, session.said
    assert "InternVL3.5-8B: 17.1 GB, on the GPU (recommended)" in session.said
    assert "'InternVL3-1B']" in session.said
    assert "Added to Claude Code." not in session.said and "Added to Codex." in session.said


@on_posix
def test_no_model_and_no_clients_is_a_decision_not_a_failure(tmp_path: Path) -> None:
    session = at_a_terminal(tmp_path / "c", {"Set up": "none", "Claude Code?": "no", "Codex?": "no"})
    assert session.code == 0 and "DONE []" in session.said
    assert "internvl" not in (tmp_path / "c" / "home" / ".claude.json").read_text()


@on_posix
def test_without_a_gpu_a_model_can_be_chosen_all_the_same(tmp_path: Path) -> None:
    answers = {"all the same?": "o", "Which one": "2", "Install these": "", "Claude Code?": "", "Codex?": ""}
    session = at_a_terminal(tmp_path / "c", answers, gpu="")
    assert session.code == 0, session.said
    assert "Set up a model all the same? [No/other]" in session.said and "on the CPU" in session.said
    assert "DONE ['internvl-mcp[local]==0.1.0', 'InternVL" in session.said


@on_posix
def test_an_answer_that_means_nothing_is_asked_for_again(tmp_path: Path) -> None:
    answers = {"Set up": "perhaps", "none] perhaps": "none", "Claude Code?": "n", "Codex?": "n"}
    session = at_a_terminal(tmp_path / "c", answers)
    assert session.code == 0 and session.said.count("Set up InternVL3.5-8B?") == 2 and "DONE []" in session.said


@on_posix
def test_control_c_at_a_question_ends_it_with_nothing_done(tmp_path: Path) -> None:
    session = at_a_terminal(tmp_path / "c", {"Set up": "\x04"})
    assert session.code == 130 and "DONE []" in session.said


# The real thing


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve(Site())


@pytest.mark.skipif(os.name != "posix", reason="the model host's folders are set as on POSIX systems")
def test_from_nothing_to_an_answer_of_the_model(site: Site, tmp_path: Path) -> None:
    """The nano model in place of InternVL3.5-1B: fetched from a hub, asked, and added to a client."""
    pytest.importorskip("torch", reason="the extra [local] is not installed")
    if (memory_bytes()[1] or 0) < 8 * GIB:
        pytest.skip("the plan for InternVL3.5-1B on the CPU wants 8 GiB of free memory")
    site.repository = variant_named("InternVL3.5-1B").repository
    site.files = {path.name: path.read_bytes() for path in NANO.iterdir()}
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    (tmp_path / "run").mkdir(mode=0o700)
    own = {"HOME": home, "XDG_RUNTIME_DIR": tmp_path / "run", "HF_HOME": tmp_path / "hf", "HF_ENDPOINT": site.url}
    base = {"XDG_STATE_HOME": home / "state", "XDG_CONFIG_HOME": home / "config"}
    environment = os.environ | {name: str(value) for name, value in (own | base).items()}
    program = Path(sys.executable).parent / "internvl-mcp"

    def internvl(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    done = internvl("setup", "--yes", "--variant", "3.5-1B", "--memory-fraction", "1", "--device", "cpu")
    internvl("call", "manage_model", "action=unload")
    assert "Fetched" in done.stdout and COMMIT in done.stdout, done.stdout + done.stderr
    assert "Added to Codex." in done.stdout
    assert "answered 'What colour is the circle?' with 'circle blue.', which is right" in done.stdout
    assert done.returncode == 0, done.stderr
    assert "[mcp_servers.internvl]" in (home / ".codex" / "config.toml").read_text()
