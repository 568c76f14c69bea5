"""`internvl-mcp pull`: its arguments; the work is in `mcp_server.pulling`, which the server never loads."""

from __future__ import annotations

import argparse

from vision.config import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pulled_variant",
        metavar="VARIANT",
        nargs="?",
        help="such as InternVL3.5-8B, or a repository; default: the best for this machine",
    )
    parser.add_argument("--revision", help="commit, branch or tag of its repository; default: the catalogue's, or main")
    parser.add_argument("--json", action="store_true", help="report in lines of JSON")
    parser.add_argument("--yes", action="store_true", help="do not ask before fetching")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """0: the checkpoint is here and whole; 1: it is not; 2: no such variant; 130: interrupted."""
    from mcp_server.pulling import pull

    return pull(options, settings)
