"""Runs a command, and ends its whole process group when the other end of standard input closes.

Started by path, by `vision.serving.process`, as the leader of a new group: whoever holds the other end may be killed at
any moment, and servers leave helpers behind when they are killed themselves. Standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _end_with_the_supervisor() -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the supervisor is gone
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    try:
        server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as e:
        sys.stderr.write(f"{sys.argv[1]}: {e.strerror}\n")
        return 127
    # The group is told to end as a whole; this process stays until the server is gone, or its own end comes.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    status = server.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the thread is inside a read that nothing interrupts
