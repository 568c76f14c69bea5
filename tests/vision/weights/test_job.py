from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vision.weights.site import COMMIT, REPOSITORY, SHARDS, Site
from vision.weights.job import COMMAND, Download, Downloads
from vision.weights.layout import RepositoryFolder, hub_cache
from vision.weights.pull import Puller

LONG_S = 60.0
FIRST = SHARDS[0]


@pytest.fixture
def hub_environment(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user would set: processes started from here talk to the site."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


@pytest.fixture
def downloads(hub_environment: None) -> Iterator[Downloads]:
    made = Downloads()
    yield made
    made.close()


def finished(downloads: Downloads) -> Download:
    download = downloads.wait(REPOSITORY, LONG_S)
    assert download is not None
    assert not download.running
    return download


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        threading.Event().wait(0.02)


def test_a_job_brings_the_checkpoint_to_hf_home_from_hf_endpoint_with_hf_token(
    site: Site, downloads: Downloads, folder: RepositoryFolder
) -> None:
    begun = downloads.start(REPOSITORY)
    assert begun.running
    done = finished(downloads)
    assert (done.state, done.commit, done.folder) == ("done", COMMIT, folder.snapshot(COMMIT))
    assert done.done == done.total == sum(map(len, site.wanted.values()))
    assert {path.name for path in folder.snapshot(COMMIT).iterdir()} == set(site.wanted)
    assert {asked.token for asked in site.asked} == {"Bearer hf_secret"}


def test_a_second_request_is_the_same_job(site: Site, downloads: Downloads) -> None:
    site.gate = threading.Event()
    downloads.start(REPOSITORY)
    assert site.reached.wait(LONG_S)
    until(lambda: downloads.start(REPOSITORY).done > 0)
    assert len(downloads.status()) == 1
    site.gate.set()
    assert finished(downloads).state == "done"
    assert len(site.requests("")) == 1


def test_a_download_that_is_stopped_goes_on_with_the_next(site: Site, downloads: Downloads) -> None:
    site.gate = threading.Event()
    site.cuts[FIRST] = [600_000]
    downloads.start(REPOSITORY)
    assert site.reached.wait(LONG_S)
    until(lambda: (downloads.of(REPOSITORY) or downloads.start(REPOSITORY)).done >= 600_000)
    stopped = downloads.stop(REPOSITORY)
    assert stopped is not None
    assert (stopped.state, stopped.error) == ("stopped", None)
    site.gate.set()
    site.cuts.clear()
    downloads.start(REPOSITORY)
    assert finished(downloads).state == "done"
    assert site.requests(FIRST)[-1].range == "bytes=600000-"


def test_an_error_of_the_hub_is_the_jobs_error(site: Site, downloads: Downloads) -> None:
    site.answers[""] = [(403, "GatedRepo")]
    downloads.start(REPOSITORY)
    failed = finished(downloads)
    assert failed.state == "failed"
    assert failed.error is not None
    code, message, hint = failed.error
    assert (code, "accepted its terms" in message, "HF_TOKEN" in hint) == ("download_failed", True, True)


def test_a_failed_job_may_be_started_again(site: Site, downloads: Downloads) -> None:
    site.answers[""] = [(403, "GatedRepo")]
    downloads.start(REPOSITORY)
    finished(downloads)
    downloads.start(REPOSITORY)
    assert finished(downloads).state == "done"


def test_offline_without_the_weights_is_one_error(
    site: Site, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    downloads.start(REPOSITORY)
    failed = finished(downloads)
    assert failed.error is not None
    assert "HF_HUB_OFFLINE is set" in failed.error[1]
    assert not site.asked


def test_offline_with_the_weights_is_done_without_the_hub(
    site: Site, downloads: Downloads, puller: Callable[..., Puller], monkeypatch: pytest.MonkeyPatch
) -> None:
    puller().pull(REPOSITORY)
    site.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    downloads.start(REPOSITORY)
    assert finished(downloads).state == "done"
    assert not site.asked


def test_a_process_that_dies_is_one_error_that_says_why() -> None:
    downloads = Downloads((sys.executable, "-c", "import sys; sys.exit('no such luck')"))
    downloads.start(REPOSITORY)
    failed = finished(downloads)
    assert failed.error is not None
    assert "ended with 1: no such luck" in failed.error[1]


def test_a_process_that_cannot_start_is_one_error(tmp_path: Path) -> None:
    from vision.errors import DownloadFailed

    with pytest.raises(DownloadFailed, match="could not be started"):
        Downloads((str(tmp_path / "nothing"),)).start(REPOSITORY)


def test_a_download_gets_no_key_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNVL_MCP_ENDPOINT_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    said = tmp_path / "said"
    script = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(' '.join(os.environ))"
    downloads = Downloads((sys.executable, "-c", script, str(said)))
    downloads.start(REPOSITORY)
    downloads.wait(REPOSITORY, LONG_S)
    names = said.read_text().split()
    assert "HF_TOKEN" in names and not [name for name in names if name.startswith("INTERNVL_MCP_")]


def test_a_download_ends_with_its_server(site: Site, hub_environment: None) -> None:
    site.gate = threading.Event()
    process = subprocess.Popen([*COMMAND, REPOSITORY, "main"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert site.reached.wait(LONG_S)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LONG_S) == 0


@pytest.mark.parametrize(
    "set_to",
    [
        {},
        {"HF_HOME": "/a/home"},
        {"HF_HOME": "~/home"},
        {"HF_HUB_CACHE": "/a/cache", "HF_HOME": "/a/home"},
        {"HUGGINGFACE_HUB_CACHE": "$HOME/old", "HF_HOME": "/a/home"},
        {"XDG_CACHE_HOME": "/a/xdg"},
    ],
)
def test_the_cache_lies_where_huggingface_hub_looks_for_it(set_to: dict[str, str]) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **set_to}
    ask = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    told = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert str(hub_cache(environment)) == told.stdout.strip()
