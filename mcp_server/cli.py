"""The command line: `internvl-mcp` serves over stdio, `serve --http` over HTTP; `call` runs one tool from a shell,
`setup` makes it ready and `install` puts it into clients; `plan` shows which model fits, `pull` fetches it, `doctor`
says what works.

Imports stay inside the functions that need them: a client waits for the server's first reply.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mcp_server import __version__, install_command, logs, plan_command, pull_command, settings, setup_command
from vision.config import Settings
from vision.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        _require_working_directory()
        configured = settings.load(options)
        logs.start(options.log_level or "warning", configured.log_format)
        done = options.run(options, configured)
        sys.stdout.flush()
        return done
    except BrokenPipeError:
        # Whoever read the output, `head` perhaps, has seen enough. Python would complain once more at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ConfigError as error:
        print(f"internvl-mcp: {error.message}\n{error.hint}", file=sys.stderr)  # noqa: T201
        return 2


def _require_working_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as e:
        raise ConfigError("the folder that this was started in is gone", "Change to one that is there.") from e


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="internvl-mcp",
        description="Gives agents tools to see with. Without a command: the MCP server over standard input and output.",
        allow_abbrev=False,  # or --http, a command's own flag, would be taken for the beginning of many
    )
    parser.add_argument("--version", action="version", version=f"internvl-mcp {__version__}")
    parser.set_defaults(run=_serve, config=None, log_level=None, http=False)
    # Flags may stand before or after the command: those of a command leave no trace unless they are given.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for wanting in (parser, shared):
        settings.add_flags(wanting)
        wanting.add_argument(
            "--log-level",
            choices=("debug", "info", "warning", "error"),
            default=argparse.SUPPRESS,
            help="what goes to stderr; default: warning, and every request of serve --http",
        )
    commands = parser.add_subparsers(title="commands", metavar="")
    _add_serve(commands, shared)
    call = commands.add_parser("call", help="run one tool from the shell", parents=[shared])
    call.add_argument("tool", help="such as extract_text; without arguments its parameters are listed")
    call.add_argument("arguments", nargs="*", metavar="name=value", help="a value without a name is the source")
    call.add_argument("--arguments", dest="json_arguments", metavar="JSON", help="all arguments as a JSON object")
    call.add_argument("--json", action="store_true", help="print the whole result as JSON")
    call.set_defaults(run=_call)
    doctor = commands.add_parser("doctor", help="what works here, and what to do about the rest", parents=[shared])
    doctor.set_defaults(run=_doctor)
    plan = commands.add_parser("plan", help="which InternVL fits this hardware (or other), and why", parents=[shared])
    plan_command.add_arguments(plan)
    plan.set_defaults(run=plan_command.run)
    pull = commands.add_parser("pull", help="fetch a model's weights", parents=[shared])
    pull_command.add_arguments(pull)
    pull.set_defaults(run=pull_command.run)
    setup = commands.add_parser(
        "setup", help="make it ready: model, torch, clients, a test of it all", parents=[shared]
    )
    setup_command.add_arguments(setup)
    setup.set_defaults(run=setup_command.run)
    _add_install(commands)
    return parser


def _add_install(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Without the server's flags: those are for the entry, and stand after --."""
    install = commands.add_parser("install", help="put this server into Claude Code, Codex, Cursor and others")
    install_command.add_arguments(install)
    install.set_defaults(run=install_command.run)
    uninstall = commands.add_parser("uninstall", help="take it out of them again")
    install_command.add_uninstall_arguments(uninstall)
    uninstall.set_defaults(run=install_command.run_uninstall)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    serve = commands.add_parser("serve", help="the MCP server; --http: for several clients", parents=[shared])
    serve.add_argument("--http", action="store_true", help="over HTTP instead of standard input and output")
    # Short names of settings that are mostly given here.
    unset = argparse.SUPPRESS
    serve.add_argument("--host", dest="http_host", metavar="HOST", default=unset, help="the same as --http-host")
    serve.add_argument("--port", dest="http_port", metavar="N", default=unset, help="the same as --http-port")
    serve.add_argument(
        "--stateless", dest="http_stateless", action="store_const", const="yes", default=unset, help="without sessions"
    )
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace, configured: Settings) -> int:
    if options.http:
        from mcp_server.http_serve import serve as serve_http

        if options.log_level is None:
            logs.tell_requests()
        serve_http(configured)
    from mcp_server.app import LazyService, build_app
    from mcp_server.stdio import serve

    service = LazyService(configured, Path.cwd())
    serve(build_app(service), service)
    return 0


def _call(options: argparse.Namespace, configured: Settings) -> int:
    from mcp_server.shell import call_tool

    return call_tool(options, configured)


def _doctor(_: argparse.Namespace, configured: Settings) -> int:
    from mcp_server.doctor import examine

    return examine(configured)
