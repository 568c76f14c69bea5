"""A picture from the system's clipboard, through the system's own tool. Text and file paths on it are not read."""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import anyio.abc

from vision.access.policy import AccessPolicy
from vision.access.source import Host
from vision.errors import EngineUnavailable, LimitExceeded, SourceNotFound, SourceUnreadable

# In order of preference: lossless first.
_TYPES = ("image/png", "image/webp", "image/tiff", "image/bmp", "image/jpeg", "image/gif")
_POWERSHELL = (
    "Add-Type -AssemblyName System.Windows.Forms,System.Drawing;"
    "$i=[Windows.Forms.Clipboard]::GetImage(); if($i -eq $null){exit 3};"
    "$m=New-Object IO.MemoryStream; $i.Save($m,[Drawing.Imaging.ImageFormat]::Png);"
    "[Console]::Out.Write([Convert]::ToBase64String($m.ToArray()))"
)


@dataclass(frozen=True)
class _Output:
    code: int
    data: bytes


async def read_clipboard(host: Host, policy: AccessPolicy, environ: Mapping[str, str] | None = None) -> bytes:
    """The picture's bytes, in whichever format the clipboard holds it.

    Raises SourceNotFound (no picture), EngineUnavailable (no tool), SourceUnreadable, LimitExceeded.
    """
    environ = os.environ if environ is None else environ
    if host.kind == "macos":
        return await _read_macos(policy, environ)
    if host.kind in ("windows", "wsl") and (tool := _which("powershell.exe", environ)):
        return _from_base64(
            await _run([tool, "-NoProfile", "-NonInteractive", "-STA", "-Command", _POWERSHELL], policy)
        )
    if environ.get("WAYLAND_DISPLAY") and (tool := _which("wl-paste", environ)):
        offered = await _run([tool, "--list-types"], policy)
        return _require_picture(await _run([tool, "--type", _best_type(offered)], policy))
    if environ.get("DISPLAY") and (tool := _which("xclip", environ)):
        offered = await _run([tool, "-selection", "clipboard", "-target", "TARGETS", "-out"], policy)
        best = _best_type(offered)
        return _require_picture(await _run([tool, "-selection", "clipboard", "-target", best, "-out"], policy))
    raise EngineUnavailable(*_advice(host, environ))


def _no_picture() -> SourceNotFound:
    return SourceNotFound("the clipboard holds no picture", "Copy a picture first, or give a file path.")


def _which(tool: str, environ: Mapping[str, str]) -> str | None:
    return shutil.which(tool, path=environ.get("PATH", os.defpath))


def _advice(host: Host, environ: Mapping[str, str]) -> tuple[str, str]:
    instead = "Or save the picture and give its path."
    if host.kind == "windows":
        return "powershell.exe was not found, so the clipboard cannot be read", f"Add it to PATH. {instead}"
    if environ.get("WAYLAND_DISPLAY"):
        return "the clipboard of a Wayland desktop is read with wl-paste", f"Install wl-clipboard. {instead}"
    if environ.get("DISPLAY"):
        return "the clipboard of an X11 desktop is read with xclip", f"Install xclip. {instead}"
    return "there is no desktop here, so no clipboard", "Save the picture and give its path."


async def _read_macos(policy: AccessPolicy, environ: Mapping[str, str]) -> bytes:
    if tool := _which("pngpaste", environ):
        return _require_picture(await _run([tool, "-"], policy))
    if tool := _which("osascript", environ):
        return from_applescript(await _run([tool, "-e", "get the clipboard as «class PNGf»"], policy))
    raise EngineUnavailable("osascript was not found, so the clipboard cannot be read", "Install pngpaste.")


def from_applescript(output: _Output) -> bytes:
    """The bytes in AppleScript's way of writing them, «data PNGf89504E…»."""
    _, marker, rest = output.data.partition(b"PNGf")
    if output.code != 0 or not marker:
        raise _no_picture()
    try:
        return binascii.unhexlify(rest.partition(b"\xc2\xbb")[0].strip())
    except binascii.Error as error:
        raise SourceUnreadable("the clipboard's picture could not be read", "Save it and give its path.") from error


def _from_base64(output: _Output) -> bytes:
    if output.code == 3:
        raise _no_picture()
    if output.code != 0:
        raise SourceUnreadable("the clipboard could not be read", "Save the picture and give its path.")
    try:
        return base64.b64decode(output.data.strip(), validate=True)
    except binascii.Error as error:
        raise SourceUnreadable("the clipboard's picture could not be read", "Save it and give its path.") from error


def _best_type(offered: _Output) -> str:
    types = offered.data.decode("utf-8", "replace").split() if offered.code == 0 else []
    for candidate in _TYPES:
        if candidate in types:
            return candidate
    raise _no_picture()


def _require_picture(output: _Output) -> bytes:
    if output.code != 0 or not output.data:
        raise _no_picture()
    return output.data


async def _run(command: list[str], policy: AccessPolicy) -> _Output:
    """Run the tool until it ends, its time is over, or it says more than a picture may hold (hex doubles the size)."""
    most = 2 * policy.max_bytes + 1024
    try:
        with anyio.fail_after(policy.clipboard_timeout_s):
            async with await anyio.open_process(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    data = await _read_at_most(process, most)
                    return _Output(await process.wait(), data)
                except BaseException:
                    process.kill()
                    raise
    except TimeoutError as error:
        raise SourceUnreadable("the clipboard tool did not answer", "Save the picture and give its path.") from error
    except OSError as error:
        raise EngineUnavailable("the clipboard tool does not start", "Save the picture and give its path.") from error


async def _read_at_most(process: anyio.abc.Process, most: int) -> bytes:
    if process.stdout is None:
        raise SourceUnreadable("the clipboard tool gave no output", "Save the picture and give its path.")
    data = bytearray()
    async for chunk in process.stdout:
        data += chunk
        if len(data) > most:
            raise LimitExceeded("the clipboard's picture is too large", "Save a smaller version and give its path.")
    return bytes(data)
