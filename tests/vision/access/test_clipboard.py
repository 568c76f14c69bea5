from __future__ import annotations

import base64
import sys
from pathlib import Path

import anyio
import pytest

from vision.access.clipboard import read_clipboard
from vision.access.policy import AccessPolicy
from vision.access.source import Host
from vision.errors import EngineUnavailable, LimitExceeded, SourceNotFound, SourceUnreadable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in tools are shell scripts")
POLICY = AccessPolicy(roots=(), max_bytes=1000)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return tmp_path


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def read(tools: Path, kind: str = "posix", policy: AccessPolicy = POLICY, **environ: str) -> bytes:
    host = Host(kind, tools)  # pyright: ignore[reportArgumentType]
    return anyio.run(lambda: read_clipboard(host, policy, {"PATH": str(tools), **environ}))


def test_wayland_gives_the_lossless_format(tools):
    tool(tools, "wl-paste", '[ "$1" = --list-types ] && printf "text/html\\nimage/jpeg\\nimage/png\\n" || printf "$2"')
    assert read(tools, WAYLAND_DISPLAY="wayland-0") == b"image/png"


def test_x11_gives_the_format_that_is_there(tools):
    tool(tools, "xclip", '[ "$4" = TARGETS ] && printf "TARGETS\\nimage/bmp\\n" || printf "$4"')
    assert read(tools, DISPLAY=":0") == b"image/bmp"


def test_text_on_the_clipboard_is_no_picture(tools):
    tool(tools, "xclip", '[ "$4" = TARGETS ] && printf "UTF8_STRING\\ntext/uri-list\\n" || printf "/etc/passwd"')
    with pytest.raises(SourceNotFound, match="no picture"):
        read(tools, DISPLAY=":0")


def test_an_empty_clipboard_is_no_picture(tools):
    tool(tools, "wl-paste", "exit 1")
    with pytest.raises(SourceNotFound, match="no picture"):
        read(tools, WAYLAND_DISPLAY="wayland-0")


def test_macos_reads_applescripts_hexadecimal(tools):
    tool(tools, "osascript", "printf '«data PNGf89504E47»\\n'")
    assert read(tools, "macos") == b"\x89PNG"


def test_macos_prefers_pngpaste(tools):
    tool(tools, "pngpaste", "printf picture")
    tool(tools, "osascript", "exit 1")
    assert read(tools, "macos") == b"picture"


@pytest.mark.parametrize("kind", ["windows", "wsl"])
def test_windows_reads_base64_from_powershell(tools, kind):
    tool(tools, "powershell.exe", f"printf {base64.b64encode(b'picture').decode()}")
    assert read(tools, kind) == b"picture"
    tool(tools, "powershell.exe", "exit 3")
    with pytest.raises(SourceNotFound, match="no picture"):
        read(tools, kind)


def test_a_tool_that_hangs_is_ended_in_time(tools):
    tool(tools, "wl-paste", "exec tail -f /dev/null")
    tools_and_system = f"{tools}:/usr/bin:/bin"
    host = Host("posix", tools)
    policy = AccessPolicy(roots=(), clipboard_timeout_s=0.2)
    with pytest.raises(SourceUnreadable, match="did not answer"):
        anyio.run(lambda: read_clipboard(host, policy, {"PATH": tools_and_system, "WAYLAND_DISPLAY": "w"}))


def test_a_picture_without_end_is_cut_off(tools):
    tool(tools, "wl-paste", '[ "$1" = --list-types ] && echo image/png || while :; do printf "xxxxxxxxxxxxxxxx"; done')
    with pytest.raises(LimitExceeded):
        read(tools, WAYLAND_DISPLAY="w")


@pytest.mark.parametrize(
    ("kind", "environ", "advice"),
    [
        ("posix", {"WAYLAND_DISPLAY": "w"}, "wl-clipboard"),
        ("posix", {"DISPLAY": ":0"}, "xclip"),
        ("posix", {}, "path"),
        ("macos", {}, "pngpaste"),
        ("windows", {}, "PATH"),
    ],
)
def test_a_missing_tool_is_named(tools, kind, environ, advice):
    with pytest.raises(EngineUnavailable) as caught:
        read(tools, kind, **environ)
    assert advice in caught.value.hint
