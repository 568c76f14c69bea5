"""`python -P -m vision.weights REPOSITORY REVISION`: a download in a process of its own, for `vision.weights.job`.

Reports on standard output, a `Line` of JSON at a time, and ends when standard input is closed: a server that is gone
leaves no download behind, and the next one goes on from there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from vision.errors import VisionError
from vision.weights.progress import Line, Progress
from vision.weights.pull import Puller
from vision.weights.transfer import Patience, Stopped

# A connection that says nothing holds its thread for the hub's time limit; nobody waits for that.
_STOPS_WITHIN_S = 1.0


def main(repository: str, revision: str) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    stopped = threading.Event()
    threading.Thread(target=_watch_the_server, args=(stopped,), daemon=True).start()
    try:
        pulled = Puller(patience=Patience(stopped=stopped)).pull(repository, revision, _report)
    except VisionError as e:
        _say(Line(error=(e.code, e.message, e.hint)))
        return 1
    except Stopped:
        return 0
    _say(Line(pulled=pulled))
    return 0


def _watch_the_server(stopped: threading.Event) -> None:
    sys.stdin.buffer.read()
    stopped.set()
    threading.Event().wait(_STOPS_WITHIN_S)
    os._exit(0)


def _report(progress: Progress) -> None:
    _say(Line(progress=progress))


def _say(line: Line) -> None:
    sys.stdout.write(line.json_line())
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
