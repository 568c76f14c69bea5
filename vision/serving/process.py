"""One server of others as a process group of its own: started, listened to, ended with everything that it started."""

from __future__ import annotations

import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vision.child_environment import child_environment
from vision.errors import EngineUnavailable
from vision.serving import lifeline

LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)
_LOOK_S = 2.0
# A server that ends by itself gives shared memory back; after this long it is killed.
_END_S = 10.0
_KEPT_LINES = 200
_LONGEST_LINE = 1 << 16
_SHOWN_LINES, _SHOWN_CHARACTERS = 3, 300
# What servers write before a message: (EngineCore pid=7) ERROR 11-23 07:00:00 [core.py:700], times, levels.
_PREFIX = re.compile(r"^(?:\([^)]*\)\s*|(?:ERROR|WARNING|INFO)\s+|[\d:./ -]{5,}\s*|\[[^\]]*\]\s*)+")
_COMPLAINT = re.compile(r"\b\w*(?:Error|Exception)\b: \S|\berror\b|\bfailed\b|cannot|out of memory", re.IGNORECASE)


class ServerProcess:
    """`secret` is cut out of everything that the server says. Raises EngineUnavailable when no process can be made."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path, secret: str | None) -> None:
        self._secret = secret
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        guard = (sys.executable, "-I", "-S", lifeline.__file__)
        try:
            self._process = subprocess.Popen(
                [*guard, *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=folder,
                env=child_environment() | dict(env),
                start_new_session=True,
            )
        except OSError as e:
            raise EngineUnavailable(
                f"{argv[0]} could not be started ({e.strerror})", "Free memory or processes, then try again."
            ) from e
        self._listening = threading.Thread(target=self._listen, name="server-log", daemon=True)
        self._listening.start()

    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """Waits for an end that was asked for, then makes it, of everything that the server started."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The last lines that tell what went wrong; the last lines where none looks like it."""
        self._listening.join(1.0)  # helpers may hold the pipe open
        lines = [line for said in self._said if (line := _PREFIX.sub("", said).strip())]
        complaints = [line for line in lines if _COMPLAINT.search(line)]
        shown = list(dict.fromkeys(complaints or lines))[-_SHOWN_LINES:]
        return "; ".join(line[:_SHOWN_CHARACTERS] for line in shown) or "it said nothing"

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self._process.pid, number)

    def _listen(self) -> None:
        out = self._process.stdout
        assert out is not None
        while line := out.readline(_LONGEST_LINE):
            said = line.strip() if self._secret is None else line.strip().replace(self._secret, "***")
            if said:
                self._said.append(said)
                _log.info("%s", said)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]


def is_up(port: int) -> bool:
    """Whether a server there says that it is well. All three have GET /health, and say 200 once the model is there."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_LOOK_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
