"""`internvl-mcp setup`: its arguments; the work is in `mcp_server.setup_run`, which the server never loads."""

from __future__ import annotations

import argparse

from manifests.clients import NAMES
from vision.config import Settings

_STATUS = (
    "Exit status: 0: all is set up, or could be (--dry-run); 1: a part could not be done; 2: a name or setting that "
    "means nothing; 3: nothing was done, as nobody was there to ask and --yes was not given; 130: interrupted, and the "
    "next run goes on from there."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _STATUS
    parser.add_argument("--yes", action="store_true", help="do what is recommended, and ask nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument(
        "--target",
        action="append",
        choices=NAMES,
        metavar="CLIENT",
        help=f"add the server to it: {', '.join(NAMES)}; repeatable; default: those found on this computer",
    )
    parser.add_argument("--no-model", action="store_true", help="leave out the model: its packages and weights")
    parser.add_argument("--no-clients", action="store_true", help="leave the clients as they are")
    parser.add_argument("--no-self-test", action="store_true", help="do not try the server at the end")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """The exit status, see `_STATUS`."""
    from mcp_server.setup_run import setup

    return setup(options, settings)
