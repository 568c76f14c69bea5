"""How setup talks: lines on standard output, questions at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class Talk:
    """`asks`: whether questions are wanted. Where nobody can be asked, every question is answered as recommended."""

    def __init__(self, asks: bool) -> None:
        streams = (sys.stdin, sys.stdout)  # None where they were closed
        self.interactive = asks and all(stream is not None and stream.isatty() for stream in streams)

    def say(self, lines: Sequence[str]) -> None:
        """A paragraph; nothing for no lines."""
        if lines:
            sys.stdout.write("\n".join(lines) + "\n\n")
            sys.stdout.flush()

    def complain(self, message: str, hint: str) -> None:
        sys.stdout.flush()
        sys.stderr.write(f"internvl-mcp: {message}\n{hint}\n")

    def agreed(self, question: str) -> bool:
        return self.choose(question, ("yes", "no")) == "yes"

    def choose(self, question: str, answers: Sequence[str]) -> str:
        """One of the answers, the first of which is recommended; their first letters do."""
        offered = "/".join([answers[0].capitalize(), *answers[1:]])
        while self.interactive:
            given = self._asked(f"{question} [{offered}] ").lower()
            found = next((answer for answer in answers if given and answer.startswith(given)), None)
            if not given or found:
                return found or answers[0]
        return answers[0]

    def number(self, question: str, most: int) -> int:
        """From 1 to `most`."""
        while True:
            given = self._asked(f"{question} [1-{most}] ")
            if given.isdecimal() and 1 <= int(given) <= most:
                return int(given)

    def _asked(self, question: str) -> str:
        sys.stdout.write(question)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:  # the terminal is gone: as an interrupt
            raise KeyboardInterrupt
        return line.strip()
