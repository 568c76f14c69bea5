from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_server.pull_command import add_arguments
from mcp_server.pulling import Wanted, duration, progress_text, size
from mcp_server.pulling import pull as pull_now
from tests.vision.weights.site import COMMIT, HELD_AT, REPOSITORY, SHARDS, Site, serve
from vision.config import Settings
from vision.errors import OutOfMemory
from vision.variants.catalogue import variant_named
from vision.weights.hub import Hub
from vision.weights.progress import Line, Progress
from vision.weights.pull import Puller
from vision.weights.snapshot import find_checkpoint
from vision.weights.transfer import Patience

Pull = Callable[..., int]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve(Site())


@pytest.fixture
def pull(site: Site, tmp_path: Path) -> Pull:
    """Runs the command with these arguments against the site."""

    def puller() -> Puller:
        return Puller(cache=tmp_path / "hub", hub=Hub(site.url), patience=Patience(waits=()))

    def call(*arguments: str, settings: Settings | None = None, **more: Any) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return pull_now(parser.parse_args(arguments), settings or Settings(), puller, **more)

    return call


def test_size_and_room_come_first_and_the_folder_last(pull: Pull, capsys: Captured) -> None:
    assert pull(REPOSITORY) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == f"{REPOSITORY} at main (commit {COMMIT[:12]}): 2.0 MB"
    assert second.startswith("2.0 MB to fetch into ")
    assert second.endswith(" are free")
    assert last.startswith("Fetched 2.0 MB in ")
    assert last.endswith(COMMIT)


def test_a_second_pull_says_that_it_is_here(pull: Pull, capsys: Captured) -> None:
    pull(REPOSITORY)
    capsys.readouterr()
    assert pull(REPOSITORY) == 0
    assert "It is here and whole: " in capsys.readouterr().out


def test_json_lines_end_with_what_was_pulled(pull: Pull, capsys: Captured) -> None:
    assert pull(REPOSITORY, "--json") == 0
    lines = [Line.model_validate_json(text) for text in capsys.readouterr().out.splitlines()]
    assert [line.progress is not None for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[-1].pulled is not None
    assert lines[-1].pulled.commit == COMMIT


def test_without_a_name_the_choice_for_this_machine_is_fetched_and_explained(pull: Pull, capsys: Captured) -> None:
    chosen = Wanted("InternVL3.5-Tiny", REPOSITORY, "main", "it fits a pocket calculator")
    assert pull(choose=lambda _: chosen) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "InternVL3.5-Tiny is the choice for this machine: it fits a pocket calculator"


def test_a_variant_in_the_settings_is_fetched(pull: Pull, capsys: Captured) -> None:
    assert pull(settings=Settings(variant=REPOSITORY)) == 0
    assert REPOSITORY in capsys.readouterr().out


def test_a_revision_is_asked_for(site: Site, pull: Pull, capsys: Captured) -> None:
    assert pull(REPOSITORY, "--revision", "v9") == 1
    assert "has no revision v9" in capsys.readouterr().err
    assert pull(REPOSITORY, "--revision", "v1") == 0


def test_nothing_that_fits_is_one_error(pull: Pull, capsys: Captured) -> None:
    def choose(_: Settings) -> Wanted:
        raise OutOfMemory("nothing fits", "Buy a bigger machine.")

    assert pull(choose=choose) == 1
    assert capsys.readouterr().err == "internvl-mcp: nothing fits\nBuy a bigger machine.\n"


def test_an_unknown_variant_is_bad_usage(pull: Pull, capsys: Captured) -> None:
    assert pull("InternVL9-1B") == 2
    assert "InternVL" in capsys.readouterr().err


def test_an_error_in_json_is_a_line(site: Site, pull: Pull, capsys: Captured) -> None:
    site.answers[""] = [(403, "GatedRepo")]
    assert pull(REPOSITORY, "--json") == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["error"][0] == "download_failed"


class Terminal:
    """Standard input and output of somebody who types `answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 0), ("y\n", 0), ("", 1)])
def test_at_a_terminal_it_asks_before_it_fetches(
    site: Site, pull: Pull, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    Terminal(monkeypatch, answer)
    assert pull(REPOSITORY) == code
    assert bool(site.requests(SHARDS[0])) == (code == 0)


def test_where_the_input_was_closed_the_command_itself_is_the_wish(pull: Pull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert pull(REPOSITORY) == 0


def test_yes_is_not_asked_again_and_a_terminal_shows_one_changing_line(
    pull: Pull, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    Terminal(monkeypatch, "n\n")
    assert pull(REPOSITORY, "--yes") == 0
    out = capsys.readouterr().out
    assert "Fetch it?" not in out
    assert "\r\x1b[K" in out
    assert "\r\x1b[KFetched" in out


def largest_part(folder: Path) -> int:
    return max((path.stat().st_size for path in folder.rglob("*.incomplete")), default=0)


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts in another way")
def test_an_interrupt_keeps_what_has_come(site: Site, tmp_path: Path) -> None:
    site.gate = threading.Event()
    # Where the tests run in the background, a shell may have set that interrupts are ignored, for all below it.
    program = (
        "import argparse, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from mcp_server.pull_command import add_arguments, run;"
        "from vision.config import Settings;"
        "p = argparse.ArgumentParser(); add_arguments(p); sys.exit(run(p.parse_args(sys.argv[1:]), Settings()))"
    )
    # The hub stands still: the longest wait for it is the hub library's own.
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_ENDPOINT": site.url, "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, REPOSITORY], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while largest_part(tmp_path) < HELD_AT:
        assert time.monotonic() < deadline, "nothing came"
        threading.Event().wait(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    site.gate.set()
    assert process.returncode == 130
    assert "the next pull goes on from there" in errors
    assert "Traceback" not in errors
    assert largest_part(tmp_path) >= HELD_AT


def test_the_command_brings_a_checkpoint_that_was_cut_off_in_the_middle(site: Site, tmp_path: Path) -> None:
    made, cache = tmp_path / "made", tmp_path / "hub"
    maker = Path(__file__).parents[2] / "scripts" / "tiny_checkpoint.py"
    subprocess.run([sys.executable, maker, made], check=True, capture_output=True)
    site.repository = variant_named("InternVL3.5-1B").repository
    site.files = {path.name: path.read_bytes() for path in made.iterdir()} | {"modeling.py": b"raise SystemExit"}
    weights = site.files["model.safetensors"]
    site.cuts["model.safetensors"] = [len(weights) // 2]
    ran = subprocess.run(
        [Path(sys.executable).parent / "internvl-mcp", "pull", "3.5-1B"],
        env=os.environ | {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": site.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert [asked.range for asked in site.requests("model.safetensors")] == [None, f"bytes={len(weights) // 2}-"]
    found = find_checkpoint(site.repository, cache=cache)
    assert (found.tile, found.text_model, found.dtypes, found.commit) == (112, "qwen3", ("F32",), COMMIT)
    assert (found.folder / "model.safetensors").read_bytes() == weights
    assert not (found.folder / "modeling.py").exists()


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(state="asking"), "asking the hub"),
        (Progress(state="waiting", done=1, total=2), "another process fetches it"),
        (
            Progress(state="downloading", done=7_100_000_000, total=17_000_000_000, rate=85.3e6, left_s=116.2),
            "42 %  7.1 GB of 17.0 GB  85.3 MB/s  1 min 56 s left",
        ),
        (Progress(state="downloading", done=0, total=999_400), "0 %  0 bytes of 999.4 kB"),
    ],
)
def test_progress_reads_well(progress: Progress, text: str) -> None:
    assert progress_text(progress) == text


def test_sizes_and_times_read_well() -> None:
    assert [size(count) for count in (12, 999_600, 1_000_000_000)] == ["12 bytes", "1.0 MB", "1.0 GB"]
    assert [duration(seconds) for seconds in (0.4, 59.6, 7_380)] == ["0 s", "1 min 0 s", "2 h 3 min"]
