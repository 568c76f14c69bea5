from __future__ import annotations

from pathlib import Path

import pytest

from vision.access.source import (
    ClipboardSource,
    DataSource,
    FileSource,
    Host,
    UrlSource,
    parse_source,
    shown_url,
)
from vision.errors import AccessDenied, InvalidArgument

POSIX = Host("posix", Path("/home/ada"))
WSL = Host("wsl", Path("/home/ada"))
WINDOWS = Host("windows", Path("C:/Users/ada"))


def last_reading(text: str, host: Host = POSIX) -> str:
    parsed = parse_source(text, host)
    assert isinstance(parsed, FileSource)
    return parsed.candidates[-1]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.png", "a.png"),
        ("  a.png\n", "a.png"),
        ("~/a.png", "/home/ada/a.png"),
        ("~", "/home/ada"),
        ("~bob/a.png", "~bob/a.png"),
        ("'a b.png'", "a b.png"),
        ('"a b.png"', "a b.png"),
        ("`a.png`", "a.png"),
        ("@a.png", "a.png"),
        ('@"a b.png"', "a b.png"),
        ('"@docs/a.png"', "docs/a.png"),
        (r"My\ File\ \(1\).png", "My File (1).png"),
        ("图片/截屏 2026.png", "图片/截屏 2026.png"),
        ("IMG:1.png", "IMG:1.png"),
        ("Screenshot at 10:30:00.png", "Screenshot at 10:30:00.png"),
        ("file:///tmp/a%20b%23.png", "/tmp/a b#.png"),
        ("file://localhost/tmp/a.png", "/tmp/a.png"),
        ("FILE:/tmp/a.png", "/tmp/a.png"),
        ("file:///tmp/C#/a.png", "/tmp/C#/a.png"),
        ("100%20.png", "100%20.png"),
    ],
)
def test_a_path_is_understood_however_it_is_written(text, path):
    assert last_reading(text) == path


def test_the_literal_reading_comes_first():
    parsed = parse_source(r"@a\ b.png", POSIX)
    assert isinstance(parsed, FileSource)
    assert parsed.candidates == (r"@a\ b.png", r"a\ b.png", "a b.png")
    assert parsed.shown == "a b.png"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (r"C:\Users\ada\a b.png", "/mnt/c/Users/ada/a b.png"),
        ("d:/x.png", "/mnt/d/x.png"),
        (r"\\wsl$\Ubuntu\home\ada\a.png", "/home/ada/a.png"),
        (r"\\wsl.localhost\Ubuntu-24.04\home\a.png", "/home/a.png"),
        ("file:///C:/x%20y.png", "/mnt/c/x y.png"),
        ("file://wsl.localhost/Ubuntu/home/a.png", "/home/a.png"),
    ],
)
def test_windows_paths_are_translated_inside_wsl(text, path):
    parsed = parse_source(text, WSL)
    assert isinstance(parsed, FileSource)
    assert parsed.candidates[0] == path


def test_windows_paths_keep_their_backslashes_on_windows():
    assert last_reading(r"C:\Users\a.png", WINDOWS) == r"C:\Users\a.png"
    assert last_reading("file:///C:/a.png", WINDOWS) == "C:/a.png"


@pytest.mark.parametrize("text", [r"\\server\share\a.png", "//server/share/a.png", r"\\.\PhysicalDrive0"])
def test_network_shares_are_refused_on_windows(text):
    with pytest.raises(AccessDenied):
        parse_source(text, WINDOWS)


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://h/a.png", "gopher://h/1", "smb://h/a", "sftp://h/a", "javascript:alert(1)", "chrome://version"),
        *("blob:https://h/1", "mailto:a@b", "ws://h/", "dict://h:11211/", "concat://a|b", "about:blank", "s3://b/k"),
        *("file://server/share/a.png", "file://127.0.0.1/etc/passwd", "file://evil%2fx/a"),
    ],
)
def test_other_schemes_are_refused_with_what_is_possible_instead(text):
    with pytest.raises(AccessDenied) as caught:
        parse_source(text, POSIX)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "''", "a\0.png", "a\x1b[31m.png", "a\nb.png", "file:///a%00b.png", "file:///a%0Ab.png", "file://"),
        *("file:///%ff%fe.png", "a" * 5000, "https://h/" + "a" * 9000, "https://h/a b.png", "data:image/png;base64"),
    ],
)
def test_what_cannot_be_meant_is_an_invalid_argument(text):
    with pytest.raises(InvalidArgument) as caught:
        parse_source(text, POSIX)
    assert caught.value.hint


def test_urls_data_and_clipboard_are_told_apart():
    assert parse_source("https://h/a.png?x=1", POSIX) == UrlSource("https://h/a.png?x=1")
    assert parse_source("HTTPS://h/a.png", POSIX) == UrlSource("HTTPS://h/a.png")
    assert parse_source("data:image/png;base64,AAAA", POSIX) == DataSource("AAAA", is_base64=True)
    assert parse_source("DATA:,a%20b", POSIX) == DataSource("a%20b", is_base64=False)
    assert parse_source("clipboard", POSIX) == ClipboardSource()
    assert last_reading("./clipboard") == "./clipboard"


def test_a_shown_url_keeps_no_secret():
    assert shown_url("https://user:pw@h.example:8443/a.png?sig=s#f") == "https://h.example:8443/a.png"
    assert shown_url("https://[::1]/a") == "https://[::1]/a"
