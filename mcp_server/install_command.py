"""`internvl-mcp install` and `uninstall`: puts this server into the settings of MCP clients, and takes it out again."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from manifests.clients import NAMES
from mcp_server import settings
from vision.config import Settings

if TYPE_CHECKING:  # loaded when the command runs: adding its flags costs every start of the server nothing
    from manifests.clients.known import Client
    from manifests.clients.launch import Launch
    from manifests.clients.place import Place, Scope
    from manifests.descriptor import Descriptor
    from manifests.install.plan import Change

_DONE = {
    "create": "new file",
    "add": "entry added",
    "update": "entry changed",
    "already": "already there, nothing to do",
    "remove": "entry removed; the rest stays, it was changed since the installation",
    "restore": "as before the installation",
    "delete": "removed; the installation had made it",
    "absent": "not there, nothing to do",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `install`."""
    _add_shared(parser, "default: all found on this computer")
    parser.add_argument(
        "--command", dest="start", metavar="WORDS", help="what clients start instead, as one shell-quoted text"
    )
    parser.add_argument(
        "flags", nargs="*", metavar="-- FLAGS", help="flags of the server for the entry, such as -- --root /data"
    )


def add_uninstall_arguments(parser: argparse.ArgumentParser) -> None:
    _add_shared(parser, "default: all")


def _add_shared(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--target", action="append", choices=NAMES, metavar="CLIENT", help=f"{', '.join(NAMES)}; repeatable; {default}"
    )
    parser.add_argument(
        "--scope",
        choices=("user", "project"),
        default="user",
        help="for all your work, or for the project in this folder; default: user",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before changing files")


def run(options: argparse.Namespace, configured: Settings) -> int:
    """0: done, or nothing to do; 1: nothing was changed; 2: flags that mean nothing."""
    return _run(options, _install)


def run_uninstall(options: argparse.Namespace, configured: Settings) -> int:
    return _run(options, _uninstall)


def _run(options: argparse.Namespace, work: Callable[[argparse.Namespace, Place, Descriptor], int]) -> int:
    from manifests.clients.place import here
    from manifests.descriptor import descriptor
    from manifests.errors import InstallError

    try:
        return work(options, here(), descriptor())
    except InstallError as e:
        sys.stderr.write(f"internvl-mcp: {e.code}: {e.message}\n{e.hint}\n")
        return 2 if e.code == "unusable_flags" else 1


def _install(options: argparse.Namespace, place: Place, about: Descriptor) -> int:
    from manifests.install.plan import plan_install

    launch = _launch(options, place, about)
    clients, left_out = _clients(options, place)
    changes = plan_install(place, clients, options.scope, launch, about)
    _show(changes, left_out)
    if any(change.writes for change in changes):
        _say(f"\nClients will start: {shlex.join(launch.words)}\n{_downloads(launch, about)}")
    return _go_on(options, place, changes)


def _uninstall(options: argparse.Namespace, place: Place, about: Descriptor) -> int:
    from manifests.clients.known import CLIENTS
    from manifests.install.plan import clients_named, plan_uninstall

    if options.target:
        clients = clients_named(options.target)
    else:
        clients = [client for client in CLIENTS if options.scope == "user" or client.project]
    changes = plan_uninstall(place, clients, options.scope, about)
    if not options.target:
        changes = [change for change in changes if change.action != "absent"]
        if not changes:
            _say("No client has an entry of this server: nothing to do.")
    _show(changes, [])
    return _go_on(options, place, changes)


def _clients(options: argparse.Namespace, place: Place) -> tuple[list[Client], list[Client]]:
    """Those to install into, and those found here that have no such scope. Raises InstallError."""
    from manifests.clients.known import detected
    from manifests.errors import InstallError
    from manifests.install.plan import clients_named

    if options.target:
        return clients_named(options.target), []
    found = detected(place)
    chosen = [client for client in found if options.scope == "user" or client.project]
    if not chosen:
        raise InstallError(
            "no_client_found", "no client was found on this computer", f"Name one: --target {'|'.join(NAMES)}."
        )
    return chosen, [client for client in found if client not in chosen]


def _launch(options: argparse.Namespace, place: Place, about: Descriptor) -> Launch:
    from manifests.clients.launch import Launch, launch_for
    from manifests.errors import InstallError

    given = [settings.flag_of(name, field) for name, field in settings.settable().items() if _is_given(options, name)]
    if given or options.config:
        raise InstallError(
            "unusable_flags", f"{given[0] if given else '--config'} is a flag of the server", "Write it last, after --."
        )
    try:
        words = None if options.start is None else _words(options.start, place)
    except ValueError as e:
        raise InstallError("unusable_flags", f"--command: {e}", "Quote its words as for a shell.") from e
    if words == ():
        raise InstallError("unusable_flags", "--command names no program", "Write the program and its words.")
    launch = Launch(words) if words else launch_for(place, options.scope, about)
    if options.flags:
        _check_flags(options.flags, options.scope)
        launch = launch.with_flags(options.flags)
    return launch


def _words(text: str, place: Place) -> tuple[str, ...]:
    """As a shell takes them; on Windows a backslash parts folders and quotes nothing."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if place.system == "windows":
        lexer.escape = ""
    return tuple(lexer)


def _is_given(options: argparse.Namespace, name: str) -> bool:
    return getattr(options, name, None) is not None


class _FlagParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from manifests.errors import InstallError

        raise InstallError("unusable_flags", message, "`internvl-mcp --help` lists the server's flags.")


def _check_flags(flags: Sequence[str], scope: Scope) -> None:
    """A server with wrong flags would only fail when a client starts it. Raises InstallError, ConfigError."""
    from manifests.errors import InstallError

    parser = _FlagParser(add_help=False, allow_abbrev=False)
    settings.add_flags(parser)
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parsed = parser.parse_args(list(flags))
    settings.load(parsed, {})
    here = [root for root in parsed.roots or () if not Path(root).expanduser().is_absolute()]
    if here and scope == "user":
        raise InstallError(
            "unusable_flags",
            f"--root {here[0]} would be below whatever folder the client is started in",
            f"Write the whole path, such as {Path(here[0]).absolute()}.",
        )


def _show(changes: Sequence[Change], left_out: Sequence[Client]) -> None:
    from manifests.install.diff import diff

    for change in changes:
        _say(f"{change.client.title}: {change.path}: {_DONE[change.action]}")
        for note in change.notes:
            _say(f"  {note}")
        if text := diff(change):
            _say(text + "\n")
    for client in left_out:
        _say(f"{client.title}: left out, it has no settings of a project")


def _downloads(launch: Launch, about: Descriptor) -> str:
    """What starting it will fetch, by others and later: this command fetches nothing."""
    lines = ["Downloads: none now."]
    programs = {word.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".exe") for word in launch.words}
    if programs & {"npx", "uvx"}:
        name = "npx" if "npx" in programs else "uvx"
        size = f"about {about.download_mb} MB, {about.installed_mb} MB on disk"
        lines.append(f"Where the server is not installed yet, {name} fetches it once, at the first start: {size}.")
    lines.append(f"Weights of a model are never fetched by themselves: `{about.command} pull` does that.")
    return "\n".join(lines)


def _go_on(options: argparse.Namespace, place: Place, changes: Sequence[Change]) -> int:
    """Asks, and acts after a yes."""
    from manifests.install.apply import apply

    writing = [change for change in changes if change.writes]
    if options.dry_run or not writing:
        if options.dry_run and writing:
            _say("\nNothing was changed: --dry-run.")
        elif not options.dry_run:
            apply(place, changes)  # forgets what it kept of files that are gone
        return 0
    if not options.yes and not _agreed(len(writing)):
        return 1
    kept = apply(place, changes)
    _say("")
    for change in writing:
        _say(f"Done: {change.client.title}. {change.client.then if change.installs else ''}".rstrip())
    for path in kept:
        _say(f"Kept from before: {path}")
    return 0


def _agreed(files: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():  # None: it was closed
        _say("\nNothing was changed: nobody can be asked here. Run it again with --yes.")
        return False
    _say(f"\nChange {'this file' if files == 1 else f'these {files} files'}? [y/N] ", end="")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    _say("Nothing was changed.")
    return False


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
