from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from tests.vision.weights.site import COMMIT, REPOSITORY, SHARDS, UNWANTED, Site
from vision.errors import DownloadFailed, EngineUnavailable, WeightsUnusable
from vision.weights.hub import Hub, wanted
from vision.weights.layout import RepositoryFolder
from vision.weights.progress import Progress
from vision.weights.pull import Puller
from vision.weights.transfer import Patience, Stopped

MakePuller = Callable[..., Puller]
FIRST = SHARDS[0]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def part_of_the_first(site: Site, folder: RepositoryFolder) -> Path:
    return folder.blob(f"{site.sibling(FIRST)['lfs']['sha256']}.incomplete")


def test_a_pull_brings_the_files_of_the_commit_and_keeps_what_main_stood_for(
    site: Site, puller: MakePuller, folder: RepositoryFolder
) -> None:
    pulled = puller().pull(REPOSITORY)
    assert pulled.folder == folder.snapshot(COMMIT)
    assert files_of(pulled.folder) == site.wanted
    assert folder.ref("main").read_text() == COMMIT
    assert (pulled.commit, pulled.size, pulled.fetched) == (
        COMMIT,
        sum(map(len, site.wanted.values())),
        sum(map(len, site.wanted.values())),
    )
    assert not list(folder.path.rglob("*.incomplete"))


def test_code_and_pickles_are_never_asked_for(site: Site, puller: MakePuller) -> None:
    puller().pull(REPOSITORY)
    assert not {asked.name for asked in site.asked} & set(UNWANTED)


@pytest.mark.parametrize(
    "name",
    ["modeling.py", "pytorch_model.bin", "a.pt", "../config.json", "x/../y.json", ".json", "a\\b.json", "/etc/x.json"],
)
def test_a_name_that_leaves_the_folder_or_holds_code_is_not_wanted(name: str) -> None:
    assert not wanted(name)


def test_huggingface_hub_finds_what_was_pulled(puller: MakePuller, cache: Path) -> None:
    from huggingface_hub import try_to_load_from_cache

    pulled = puller().pull(REPOSITORY)
    found = try_to_load_from_cache(REPOSITORY, FIRST, cache_dir=cache)
    assert found == str(pulled.folder / FIRST)


def test_a_second_pull_fetches_nothing(site: Site, puller: MakePuller) -> None:
    puller().pull(REPOSITORY)
    site.asked.clear()
    assert puller().pull(REPOSITORY).fetched == 0
    assert [asked.name for asked in site.asked] == [""]


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_tag_is_resolved_and_kept_and_a_commit_stands_for_itself(
    puller: MakePuller, folder: RepositoryFolder, revision: str
) -> None:
    assert puller().pull(REPOSITORY, revision).commit == COMMIT
    assert folder.commit_of(revision) == COMMIT
    assert folder.ref("v1").exists() == (revision == "v1")


def test_a_connection_cut_in_the_middle_is_continued_with_a_range(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [400_000, 300_000]
    pulled = puller().pull(REPOSITORY)
    ranges = [asked.range for asked in site.requests(FIRST)]
    assert ranges == [None, "bytes=400000-", "bytes=700000-"]
    assert files_of(pulled.folder) == site.wanted


def test_a_pull_that_gave_up_is_continued_by_the_next_one(
    site: Site, puller: MakePuller, folder: RepositoryFolder
) -> None:
    site.cuts[FIRST] = [400_000, 0, 0, 0]
    with pytest.raises(DownloadFailed, match="broke off") as error:
        puller().pull(REPOSITORY)
    assert "goes on where it stopped" in error.value.hint
    assert part_of_the_first(site, folder).stat().st_size == 400_000
    site.cuts.clear()
    site.asked.clear()
    pulled = puller().pull(REPOSITORY)
    assert [asked.range for asked in site.requests(FIRST)] == ["bytes=400000-"]
    assert files_of(pulled.folder) == site.wanted
    assert pulled.fetched < len(site.files[FIRST])


def test_a_hub_that_ignores_ranges_sends_the_file_once_more(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [400_000]
    site.ignore_range = True
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted


def test_a_part_that_was_not_asked_for_is_not_put_in_its_place(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [400_000]
    site.shift_range = 1
    with pytest.raises(DownloadFailed, match="another part of the file"):
        puller().pull(REPOSITORY)


def test_a_part_that_the_hub_will_not_continue_is_fetched_from_the_start(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [400_000, 0]
    site.answers[FIRST] = []
    first = puller()
    with pytest.raises(DownloadFailed):
        Puller(first.cache, first.hub, Patience(waits=())).pull(REPOSITORY)
    site.cuts.clear()
    site.answers[FIRST] = [(416, "")]
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted
    assert [asked.range for asked in site.requests(FIRST)][-2:] == ["bytes=400000-", None]


def test_bytes_changed_on_the_way_are_fetched_again(site: Site, puller: MakePuller) -> None:
    site.swapped[FIRST] = [b"x" * len(site.files[FIRST])]
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted


@pytest.mark.parametrize("name", [FIRST, "config.json"])
def test_bytes_changed_twice_are_an_error_and_never_a_file(
    site: Site, puller: MakePuller, folder: RepositoryFolder, name: str
) -> None:
    site.swapped[name] = [b"x" * len(site.files[name])] * 2
    with pytest.raises(DownloadFailed, match=f"{name} came damaged twice"):
        puller().pull(REPOSITORY)
    assert not (folder.snapshot(COMMIT) / name).exists()


def test_a_reply_longer_than_the_listing_says_is_not_kept(site: Site, puller: MakePuller) -> None:
    site.swapped["merges.txt"] = [site.files["merges.txt"] + b"more"] * 9
    with pytest.raises(DownloadFailed, match=r"more bytes came than merges\.txt has"):
        puller().pull(REPOSITORY)


def test_a_file_damaged_on_the_disk_is_mended_by_another_pull(site: Site, puller: MakePuller) -> None:
    pulled = puller().pull(REPOSITORY)
    shard = (pulled.folder / FIRST).resolve()
    shard.write_bytes(b"\0" * shard.stat().st_size)
    (pulled.folder / "config.json").resolve().write_bytes(b" " * len(site.files["config.json"]))
    site.asked.clear()
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted
    assert {asked.name for asked in site.asked} == {"", FIRST, "config.json"}


@pytest.mark.parametrize(
    ("status", "code", "says", "advises"),
    [
        (401, "RepoNotFound", "has no repository", "HF_TOKEN"),
        (401, "", "refuses", "HF_TOKEN"),
        (403, "GatedRepo", "accepted its terms", "HF_TOKEN"),
        (403, "", "refuses", "HF_TOKEN"),
        (404, "RepoNotFound", "has no repository", "internvl-mcp plan"),
        (404, "", "has no repository", "internvl-mcp plan"),
        (418, "", "answered 418", "HF_ENDPOINT"),
    ],
)
def test_a_refusal_says_what_to_do(
    site: Site, puller: MakePuller, status: int, code: str, says: str, advises: str
) -> None:
    site.answers[""] = [(status, code)]
    with pytest.raises(DownloadFailed, match=says) as error:
        puller().pull(REPOSITORY)
    assert advises in error.value.hint
    assert len(site.asked) == 1


def test_a_listed_file_that_is_not_there_is_named(site: Site, puller: MakePuller) -> None:
    site.answers[FIRST] = [(404, "EntryNotFound")]
    with pytest.raises(DownloadFailed, match=f"{FIRST} of .* is listed, but not there"):
        puller().pull(REPOSITORY)


def test_an_unknown_revision_is_named(puller: MakePuller) -> None:
    with pytest.raises(DownloadFailed, match="has no revision v9"):
        puller().pull(REPOSITORY, "v9")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_for_a_moment_is_asked_again(site: Site, puller: MakePuller, status: int) -> None:
    site.answers = {"": [(status, "")], "config.json": [(status, "")]}
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted


def test_an_endpoint_that_is_down_is_one_error(site: Site, cache: Path) -> None:
    nobody = Hub("http://127.0.0.1:1")
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:1: ConnectError"):
        Puller(cache, nobody, Patience(waits=(0,))).pull(REPOSITORY)


def test_a_hub_out_of_reach_does_not_hide_that_a_whole_copy_is_here(puller: MakePuller) -> None:
    there = puller().pull(REPOSITORY).folder
    with pytest.raises(DownloadFailed) as error:
        puller(hub=Hub("http://127.0.0.1:1")).pull(REPOSITORY)
    assert f"can be used: {there}" in error.value.hint


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"[]", b'{"id": "x", "siblings": []}', b'{"sha": 3}'])
def test_an_answer_that_is_not_a_hubs_is_one_error(site: Site, puller: MakePuller, body: bytes) -> None:
    site.listing = body
    with pytest.raises(DownloadFailed, match="not a model hub"):
        puller().pull(REPOSITORY)


@pytest.mark.parametrize("name", ["", "no spaces please/x", "a/b/c", "../../etc"])
def test_a_name_that_is_none_is_one_error(puller: MakePuller, name: str) -> None:
    with pytest.raises(DownloadFailed, match="no name of a repository"):
        puller().pull(name)


@pytest.mark.parametrize("revision", ["", "../main", "refs/../../x", "/etc", "a b"])
def test_a_revision_that_is_none_is_one_error(site: Site, puller: MakePuller, revision: str) -> None:
    with pytest.raises(DownloadFailed, match="is no revision"):
        puller().pull(REPOSITORY, revision)
    assert not site.asked


def test_without_huggingface_hub_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EngineUnavailable) as error:
        Hub()
    assert "internvl-mcp setup" in error.value.hint


@pytest.mark.parametrize("header", [("Retry-After", "7"), ("RateLimit", '"api";r=0;t=7')])
def test_a_hub_that_names_a_wait_is_given_it(site: Site, puller: MakePuller, header: tuple[str, str]) -> None:
    class Waits(threading.Event):
        asked: ClassVar[list[float | None]] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.asked.append(timeout)
            return False

    site.answers["config.json"] = [(429, "")]
    site.extra_headers = dict([header])
    puller(patience=Patience(waits=(1.0, 2.0), stopped=Waits())).pull(REPOSITORY)
    assert Waits.asked == [7.0]


@pytest.mark.parametrize("address", ["huggingface.co", "ftp://hub", "http://"])
def test_an_endpoint_that_is_no_address_is_one_error(address: str) -> None:
    with pytest.raises(DownloadFailed, match="HF_ENDPOINT"):
        Hub(address)


def test_a_repository_of_code_is_refused_before_its_weights_come(site: Site, puller: MakePuller) -> None:
    site.files["config.json"] = b'{"model_type": "internvl_chat"}'
    with pytest.raises(WeightsUnusable, match="code that comes with it"):
        puller().pull(REPOSITORY)
    assert not site.requests(FIRST)


def test_a_repository_without_safetensors_is_refused(site: Site, puller: MakePuller) -> None:
    for name in SHARDS:
        del site.files[name]
    with pytest.raises(DownloadFailed, match=r"holds no \*\.safetensors"):
        puller().pull(REPOSITORY)


def test_room_on_the_disk_is_checked_before_anything_comes(site: Site, puller: MakePuller) -> None:
    with pytest.raises(DownloadFailed, match=r"needs 2\.0 MB more") as error:
        puller(free_bytes=lambda _: 1_000_000).pull(REPOSITORY)
    assert "HF_HOME" in error.value.hint
    assert [asked.name for asked in site.asked] == [""]


def test_what_is_there_needs_no_room(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [1_000_000, 0, 0, 0]
    with pytest.raises(DownloadFailed):
        puller().pull(REPOSITORY)
    looked = puller().look(REPOSITORY, "main")
    assert looked.size - looked.missing >= 1_000_000
    site.cuts.clear()
    puller(free_bytes=lambda _: looked.missing + (512 << 20)).pull(REPOSITORY)


@pytest.mark.skipif(sys.platform == "win32", reason="limits files in another way")
def test_a_disk_that_fills_up_on_the_way_is_one_error_and_the_part_stays(
    site: Site, puller: MakePuller, folder: RepositoryFolder
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, before[1]))
        with pytest.raises(DownloadFailed, match="is full") as error:
            puller().pull(REPOSITORY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "goes on from there" in error.value.hint
    site.asked.clear()
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted
    assert [asked.range for asked in site.requests(FIRST)] == ["bytes=900000-"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs an account that can be refused")
def test_a_cache_that_may_not_be_written_is_one_error(puller: MakePuller, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    try:
        with pytest.raises(DownloadFailed, match="cannot be written"):
            puller().pull(REPOSITORY)
    finally:
        cache.chmod(0o700)


def test_a_cache_that_is_a_file_is_one_error(puller: MakePuller, cache: Path) -> None:
    cache.write_text("not a folder")
    with pytest.raises(DownloadFailed, match="cannot be written"):
        puller().pull(REPOSITORY)


def test_progress_never_goes_back_and_ends_complete(site: Site, puller: MakePuller) -> None:
    site.cuts[FIRST] = [700_000]
    site.swapped[SHARDS[1]] = [b"x" * len(site.files[SHARDS[1]])]
    seen: list[Progress] = []
    pulled = puller().pull(REPOSITORY, report=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[0].state, seen[-1].state) == ("asking", "done")
    assert seen[-1].done == seen[-1].total == pulled.size


def test_a_pull_that_is_stopped_keeps_its_part(site: Site, puller: MakePuller, folder: RepositoryFolder) -> None:
    site.gate = threading.Event()
    site.cuts[FIRST] = [600_000]
    stopped = threading.Event()

    def stop(progress: Progress) -> None:
        if site.reached.is_set():
            stopped.set()
            assert site.gate is not None
            site.gate.set()

    with pytest.raises(Stopped):
        puller(patience=Patience(waits=(0,), stopped=stopped)).pull(REPOSITORY, report=stop)
    assert part_of_the_first(site, folder).stat().st_size == 600_000


def test_a_second_pull_of_the_same_repository_waits_for_the_first(site: Site, puller: MakePuller) -> None:
    site.gate = threading.Event()
    outcome: list[object] = []
    first = threading.Thread(target=lambda: outcome.append(puller().pull(REPOSITORY)))
    first.start()
    assert site.reached.wait(20)
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if progress.state == "waiting":
            assert site.gate is not None
            site.gate.set()

    second = puller().pull(REPOSITORY, report=report)
    first.join(20)
    assert len(outcome) == 1
    assert second.fetched == 0
    assert any(p.state == "waiting" and 0 < p.done < p.total for p in seen)
    assert len(site.requests(FIRST)) == 1


def test_the_token_goes_to_the_hub_and_not_to_its_storage(
    site: Site, storage: Site, puller: MakePuller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    site.storage = storage.url.replace("127.0.0.1", "localhost")
    assert files_of(puller().pull(REPOSITORY).folder) == site.wanted
    assert {asked.token for asked in site.asked} == {"Bearer hf_secret"}
    assert {asked.token for asked in storage.asked} == {None}


def test_without_links_a_snapshot_holds_the_files_themselves(
    site: Site, puller: MakePuller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("links need a privilege")

    monkeypatch.setattr(Path, "symlink_to", refused)
    pulled = puller().pull(REPOSITORY)
    assert not any(path.is_symlink() for path in pulled.folder.iterdir())
    assert files_of(pulled.folder) == site.wanted
    site.asked.clear()
    assert puller().pull(REPOSITORY).fetched == 0
    assert not site.requests(FIRST)
