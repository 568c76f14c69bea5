"""Makes the checkout's .venv and installs the project into it, with dependency groups if named.

The install is editable, so the environment always runs the sources as they are; pip is needed again only when
pyproject.toml (or the Python in use) has changed, which a stamp in .venv records for each group.

Usage: python3 scripts/setup_venv.py [GROUP …]      groups of pyproject.toml's [dependency-groups]
Needs nothing but Python's standard library.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
import venv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = VENV / "install.log"
# The first pip that knows --group.
PIP = "pip>=25.1"
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Display:
    """Shows `doing` until it ends: a line that redraws itself on a terminal, else a line every few seconds."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.doing = "starting"
        self.live = sys.stdout.isatty()
        self.started = time.monotonic()
        self.over = threading.Event()
        self.drawer = threading.Thread(target=self._draw, daemon=True)
        if not self.live:
            print(f"{label} …", flush=True)
        self.drawer.start()

    def _draw(self) -> None:
        # A thread of its own: pip says nothing while it unpacks, and a line that stands still looks like a hang.
        step = 0
        while not self.over.wait(0.1 if self.live else 10.0):
            step += 1
            seconds = f"{time.monotonic() - self.started:.0f} s"
            if self.live:
                mark = SPINNER[step % len(SPINNER)]
                print(f"\r\x1b[K{mark} {self.label}: {self.doing[:60]} · {seconds}", end="", flush=True)
            else:
                print(f"  {self.doing} · {seconds}", flush=True)

    def end(self, words: str) -> None:
        self.over.set()
        self.drawer.join()
        start = "\r\x1b[K" if self.live else ""
        print(f"{start}{self.label}: {words} in {time.monotonic() - self.started:.0f} s", flush=True)


def _bar(done: int, total: int, width: int = 16) -> str:
    full = round(width * done / total) if total else 0
    return "█" * full + "░" * (width - full)


def _doing(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """(line, what it means for the person waiting) for every line that pip writes."""
    packages, name, doing = 0, "", "starting"
    for line in lines:
        if match := re.match(r"Collecting ([\w.-]+)", line):
            packages, name = packages + 1, match[1]
            doing = f"package {packages} · {name}"
        elif match := re.match(r"Progress (\d+) of (\d+)", line):
            done, total = int(match[1]), int(match[2])
            doing = f"package {packages} · {_bar(done, total)} {done / 1e6:.1f} of {total / 1e6:.1f} MB · {name}"
        elif line.startswith("Installing collected packages"):
            doing = f"unpacking {line.count(',') + 1} packages"
        yield line, doing


def _pip(label: str, *arguments: str) -> None:
    """Runs pip, showing what it does; its whole output goes to .venv/install.log."""
    display = Display(label)
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    last: deque[str] = deque(maxlen=25)
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PIP_NO_COLOR": "1"}
    with (
        LOG.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line, doing in _doing(process.stdout):
            if not line.startswith("Progress "):
                log.write(line)
                last.append(line)
            display.doing = doing
    if process.returncode != 0:
        display.end("failed")
        sys.exit("".join(last) + f"\npip could not install; the whole log is in {LOG.relative_to(ROOT)}")
    display.end("done")


def _stamp(group: str) -> Path:
    return VENV / f"installed-{group or 'project'}.stamp"


def _wanted() -> str:
    content = (ROOT / "pyproject.toml").read_bytes() + sys.version.encode() + str(ROOT).encode()
    return hashlib.sha256(content).hexdigest()


def _environment_works() -> bool:
    """False when it is missing, or its Python was moved or updated away."""
    if not PYTHON.exists():
        return False
    version = "import sys, pip; print(sys.version_info >= (3, 11))"
    answer = subprocess.run([str(PYTHON), "-c", version], capture_output=True, text=True, check=False)
    return answer.stdout.strip() == "True"


def _make_environment() -> None:
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(
            f"Python could not make the environment {VENV}: {error}\n"
            "On Debian and Ubuntu install its package first: sudo apt install python3-venv"
        )


def main(groups: list[str]) -> None:
    wanted = _wanted()
    if not _environment_works():
        print("Making .venv …", flush=True)
        _make_environment()
    stale = [g for g in ("", *groups) if not _stamp(g).exists() or _stamp(g).read_text() != wanted]
    if not stale:
        return
    LOG.unlink(missing_ok=True)
    _pip("Updating pip", "--upgrade", PIP)
    named = [word for group in groups for word in ("--group", group)]
    _pip("Installing internvl-mcp", "--progress-bar", "raw", "--editable", ".", *named)
    for group in ("", *groups):
        _stamp(group).write_text(wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
