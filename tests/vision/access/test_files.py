from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from vision.access import files
from vision.access.files import open_file
from vision.access.policy import AccessPolicy
from vision.access.source import FileSource, Host, parse_source
from vision.errors import AccessDenied, SourceNotFound, SourceUnreadable, VisionError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file kinds and symlinks")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"inside")
    (folder / "inner" / "b.png").write_bytes(b"deeper")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    return folder


def read(source: str, root: Path, *, roots: tuple[Path, ...] | None = None) -> bytes:
    parsed = parse_source(source, Host("posix", root.parent / "home"))
    assert isinstance(parsed, FileSource)
    with open_file(parsed, AccessPolicy(roots=(root,) if roots is None else roots), root) as file:
        return file.read()


def refused(kind: type[VisionError], source: str, root: Path, **more: tuple[Path, ...]) -> VisionError:
    with pytest.raises(kind) as caught:
        read(source, root, **more)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("source", ["a.png", "./inner/../a.png", "@a.png", "'a.png'", "inner//../a.png"])
def test_a_file_in_the_root_is_read(root, source):
    assert read(source, root) == b"inside"


def test_a_file_is_found_by_absolute_path_and_file_url(root):
    assert read(str(root / "inner" / "b.png"), root) == b"deeper"
    assert read((root / "a.png").as_uri(), root) == b"inside"


def test_names_with_quotes_spaces_at_and_chinese_are_read_literally(root):
    for name in ("@odd.png", "'q'.png", r"back\ slash.png", "截屏 1.png", "a%20b.png", " lead.png"[1:], "é.png"):
        (root / name).write_bytes(name.encode())
        assert read(name, root) == name.encode()


def test_the_literal_name_wins_over_the_cleaned_one(root):
    (root / "@a.png").write_bytes(b"literal")
    assert read("@a.png", root) == b"literal"


@pytest.mark.parametrize(
    "source",
    ["../outside/secret.png", "inner/../../outside/secret.png", "../outside/absent.png", "/etc/passwd", "..", "/"],
)
def test_paths_out_of_the_root_are_refused_whether_or_not_they_exist(root, source):
    error = refused(AccessDenied, source, root)
    assert "--root" in error.hint and "INTERNVL_MCP_ROOTS" in error.hint and str(root) in error.hint


def test_a_sibling_that_shares_the_roots_prefix_is_outside(root):
    sibling = root.with_name("root-other")
    sibling.mkdir()
    (sibling / "a.png").write_bytes(b"x")
    refused(AccessDenied, str(sibling / "a.png"), root)


def test_symlinks_out_of_the_root_are_refused(root):
    outside = root.parent / "outside"
    (root / "file.png").symlink_to(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    (root / "chain1.png").symlink_to(root / "chain2.png")
    (root / "chain2.png").symlink_to(root / "folder" / "secret.png")
    (root / "passwd.png").symlink_to("/etc/passwd")
    for source in ("file.png", "folder/secret.png", "chain1.png", "passwd.png"):
        assert "secret" not in refused(AccessDenied, source, root).message.replace(source, "")


def test_symlinks_within_the_root_and_a_root_that_is_a_symlink_work(root):
    (root / "alias.png").symlink_to(root / "inner" / "b.png")
    link = root.parent / "link"
    link.symlink_to(root)
    assert read("alias.png", root) == b"deeper"
    assert read(str(link / "a.png"), root, roots=(link,)) == b"inside"
    assert read(str(root / "a.png"), root, roots=(link,)) == b"inside"
    assert read(str(link / "a.png"), root) == b"inside"


def test_a_symlink_loop_is_one_error(root):
    (root / "x.png").symlink_to(root / "y.png")
    (root / "y.png").symlink_to(root / "x.png")
    refused(SourceNotFound, "x.png", root)


@pytest.mark.parametrize(
    "source", ["/proc/self/environ", "/proc/self/mem", "/dev/zero", "/dev/stdin", "/dev/fd/0", "/sys/kernel/notes"]
)
def test_kernel_files_are_refused_even_when_everything_may_be_read(root, source):
    refused(AccessDenied, source, root, roots=(Path("/"),))


def test_a_symlink_to_a_kernel_file_is_refused(root):
    (root / "env.png").symlink_to("/proc/self/environ")
    refused(AccessDenied, "env.png", root, roots=(Path("/"),))


def test_pipes_sockets_and_folders_are_refused_without_waiting(root):
    os.mkfifo(root / "pipe.png")
    assert "pipe" in refused(AccessDenied, "pipe.png", root).message
    assert "folder" in refused(AccessDenied, "inner", root).message
    assert "folder" in refused(AccessDenied, ".", root).message
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "s.png"))
        assert "socket" in refused(AccessDenied, "s.png", root).message


def test_a_pipe_that_takes_a_files_place_after_the_check_does_not_block(root, monkeypatch):
    os.mkfifo(root / "pipe.png")
    monkeypatch.setattr(files, "_refuse_by_kind", lambda status: None)
    assert "pipe" in refused(AccessDenied, "pipe.png", root).message


def test_a_symlink_that_takes_a_folders_place_after_the_check_is_not_followed(root, monkeypatch):
    resolve = AccessPolicy.resolve

    def resolve_then_swap(self: AccessPolicy, path: Path, shown: str) -> tuple[Path, Path]:
        answer = resolve(self, path, shown)
        (root / "inner").rename(root / "moved")
        (root / "inner").symlink_to(root.parent / "outside")
        return answer

    (root / "inner" / "secret.png").write_bytes(b"harmless")
    monkeypatch.setattr(AccessPolicy, "resolve", resolve_then_swap)
    refused(SourceNotFound, "inner/secret.png", root)


def test_a_symlink_that_takes_a_files_place_after_the_check_is_not_followed(root, monkeypatch):
    resolve = AccessPolicy.resolve

    def resolve_then_swap(self: AccessPolicy, path: Path, shown: str) -> tuple[Path, Path]:
        answer = resolve(self, path, shown)
        (root / "a.png").unlink()
        (root / "a.png").symlink_to(root.parent / "outside" / "secret.png")
        return answer

    monkeypatch.setattr(AccessPolicy, "resolve", resolve_then_swap)
    refused(SourceNotFound, "a.png", root)


def test_missing_and_empty_files_say_so(root):
    (root / "empty.png").touch()
    assert "no such file" in refused(SourceNotFound, "absent.png", root).message
    refused(SourceNotFound, "a.png/b.png", root)
    assert "empty" in refused(SourceUnreadable, "empty.png", root).message
    refused(SourceNotFound, "x" * 300 + ".png", root)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(root):
    (root / "a.png").chmod(0)
    assert "permission" in refused(SourceUnreadable, "a.png", root).message


def test_no_roots_means_no_files(root):
    assert "No folder" in refused(AccessDenied, "a.png", root, roots=()).hint


def test_no_descriptor_is_left_open(root):
    read("a.png", root)
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    for source in ("a.png", "inner/b.png", "inner", "absent.png", "inner/absent/b.png"):
        try:
            read(source, root)
        except VisionError:
            continue
    after = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    assert after == before
