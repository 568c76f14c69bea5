"""Each client: its settings files on each system and scope, how an entry looks there, and how it is recognised.

Sources: the programs themselves (Claude Code 2.1.330, Codex 0.169, Gemini CLI 0.61), the source of Zed and opencode,
and the documentation of Claude Desktop, Cursor, VS Code and Windsurf; 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from manifests.clients.launch import Launch
from manifests.clients.place import Place, System
from manifests.descriptor import Descriptor

_ALL: tuple[System, ...] = ("linux", "darwin", "windows")


@dataclass(frozen=True)
class Spot:
    """A settings file, as a template for Place.path. It counts only where `when` exists; "" is always."""

    path: str
    when: str = ""


@dataclass(frozen=True)
class Entry:
    """`starts`: what starts the server, kept right by every installation. `first`: set when the entry is made, and from
    then on the user's.
    """

    starts: Mapping[str, Any]
    first: Mapping[str, Any] = field(default_factory=dict)


Shape = Callable[[Launch, Descriptor], Entry]


@dataclass(frozen=True)
class Client:
    """`servers` is the key in the file that holds the servers; the first spot that counts is the file.

    `signs` are templates of files and folders, any of which says that the client is on this computer; `programs` are
    names on the PATH that say the same. `then` is what the user does for it to take effect. `locks`: it takes a lock
    for its file, see manifests.install.files.claimed.
    """

    name: str
    title: str
    servers: str
    user: Mapping[System, tuple[Spot, ...]]
    project: tuple[Spot, ...]
    shape: Shape
    signs: Mapping[System, tuple[str, ...]]
    programs: tuple[str, ...]
    then: str
    format: Literal["json", "toml"] = "json"
    locks: bool = False

    def present(self, place: Place) -> bool:
        signs = self.signs[place.system]
        return any(place.exists(sign) for sign in signs) or any(place.program(name) for name in self.programs)


def _plain(launch: Launch, _: Descriptor) -> Entry:
    return Entry({"command": launch.command, "args": launch.arguments})


def _typed(launch: Launch, _: Descriptor) -> Entry:
    return Entry({"type": "stdio", "command": launch.command, "args": launch.arguments})


def _codex(launch: Launch, about: Descriptor) -> Entry:
    # Older versions give a server 10 s to start and a call 60 s.
    limits = {"startup_timeout_sec": about.start_timeout_s, "tool_timeout_sec": about.call_timeout_s}
    return Entry({"command": launch.command, "args": launch.arguments}, limits)


def _gemini(launch: Launch, about: Descriptor) -> Entry:
    return Entry({"command": launch.command, "args": launch.arguments}, {"timeout": about.call_timeout_s * 1000})


def _zed(launch: Launch, _: Descriptor) -> Entry:
    # Its own `timeout` has been milliseconds and is seconds now: left alone, it is a minute in both.
    return Entry({"command": launch.command, "args": launch.arguments}, {"env": {}})


def _opencode(launch: Launch, about: Descriptor) -> Entry:
    first = {"enabled": True, "timeout": about.call_timeout_s * 1000}  # 5 s otherwise, for the start and for calls
    return Entry({"type": "local", "command": [launch.command, *launch.arguments]}, first)


def _everywhere(*spots: Spot) -> dict[System, tuple[Spot, ...]]:
    return dict.fromkeys(_ALL, spots)


def _signs(*signs: str) -> dict[System, tuple[str, ...]]:
    return dict.fromkeys(_ALL, signs)


# The Windows Store's package keeps what it takes for %APPDATA% here; it is named by its publisher's key.
_STORE_CLAUDE = "{localappdata}/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
_MAC = "{home}/Library/Application Support"

CLIENTS: tuple[Client, ...] = (
    Client(
        name="claude-code",
        title="Claude Code",
        servers="mcpServers",
        user=_everywhere(
            # An older name, which it goes on using where there is one.
            Spot("{claude_folder}/.config.json", when="{claude_folder}/.config.json"),
            Spot("{claude}/.claude.json"),
        ),
        project=(Spot("{project}/.mcp.json"),),
        shape=_typed,
        signs=_signs("{claude_folder}", "{claude}/.claude.json"),
        programs=("claude",),
        then="Start a new session; /mcp shows the server.",
        locks=True,
    ),
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        servers="mcpServers",
        user={
            "linux": (Spot("{config}/Claude/claude_desktop_config.json"),),
            "darwin": (Spot(f"{_MAC}/Claude/claude_desktop_config.json"),),
            "windows": (
                Spot(f"{_STORE_CLAUDE}/claude_desktop_config.json", when=_STORE_CLAUDE),
                Spot("{appdata}/Claude/claude_desktop_config.json"),
            ),
        },
        project=(),
        shape=_plain,
        signs={
            "linux": ("{config}/Claude",),
            "darwin": (f"{_MAC}/Claude",),
            "windows": (_STORE_CLAUDE, "{appdata}/Claude"),
        },
        programs=("claude-desktop",),
        then="Quit and start Claude Desktop.",
    ),
    Client(
        name="codex",
        title="Codex",
        servers="mcp_servers",
        user=_everywhere(Spot("{codex}/config.toml")),
        project=(Spot("{project}/.codex/config.toml"),),
        shape=_codex,
        signs=_signs("{codex}"),
        programs=("codex",),
        then="Start a new session; /mcp shows the server.",
        format="toml",
    ),
    Client(
        name="cursor",
        title="Cursor",
        servers="mcpServers",
        user=_everywhere(Spot("{home}/.cursor/mcp.json")),
        project=(Spot("{project}/.cursor/mcp.json"),),
        shape=_typed,
        signs=_signs("{home}/.cursor"),
        programs=("cursor", "cursor-agent"),
        then="Switch the server on in Cursor's settings, under MCP.",
    ),
    Client(
        name="vscode",
        title="VS Code",
        servers="servers",
        user={
            "linux": (Spot("{config}/Code/User/mcp.json"),),
            "darwin": (Spot(f"{_MAC}/Code/User/mcp.json"),),
            "windows": (Spot("{appdata}/Code/User/mcp.json"),),
        },
        project=(Spot("{project}/.vscode/mcp.json"),),
        shape=_typed,
        signs={"linux": ("{config}/Code",), "darwin": (f"{_MAC}/Code",), "windows": ("{appdata}/Code",)},
        programs=("code",),
        then="Start the server with the command MCP: List Servers.",
    ),
    Client(
        name="gemini",
        title="Gemini CLI",
        servers="mcpServers",
        user=_everywhere(Spot("{gemini}/.gemini/settings.json")),
        project=(Spot("{project}/.gemini/settings.json"),),
        shape=_gemini,
        signs=_signs("{gemini}/.gemini"),
        programs=("gemini",),
        then="Start a new session; /mcp shows the server. It starts servers in trusted folders only.",
    ),
    Client(
        name="windsurf",
        title="Windsurf",
        servers="mcpServers",
        user=_everywhere(Spot("{home}/.codeium/windsurf/mcp_config.json")),
        project=(),
        shape=_plain,
        signs=_signs("{home}/.codeium/windsurf"),
        programs=("windsurf",),
        then="Press refresh in Cascade's list of MCP servers.",
    ),
    Client(
        name="zed",
        title="Zed",
        servers="context_servers",
        user={
            "linux": (Spot("{flatpak_config}/zed/settings.json"),),
            "darwin": (Spot("{home}/.config/zed/settings.json"),),
            "windows": (Spot("{appdata}/Zed/settings.json"),),
        },
        project=(Spot("{project}/.zed/settings.json"),),
        shape=_zed,
        signs={"linux": ("{flatpak_config}/zed",), "darwin": ("{home}/.config/zed",), "windows": ("{appdata}/Zed",)},
        programs=("zed", "zeditor"),
        then="Zed sees the change by itself.",
    ),
    Client(
        name="opencode",
        title="opencode",
        servers="mcp",
        # It reads both names, one over the other.
        user=_everywhere(
            Spot("{config}/opencode/opencode.jsonc", when="{config}/opencode/opencode.jsonc"),
            Spot("{config}/opencode/opencode.json"),
        ),
        project=(
            Spot("{project}/opencode.jsonc", when="{project}/opencode.jsonc"),
            Spot("{project}/opencode.json"),
        ),
        shape=_opencode,
        signs=_signs("{config}/opencode"),
        programs=("opencode",),
        then="Start opencode anew.",
    ),
)


def detected(place: Place) -> list[Client]:
    """The clients found on this computer, in a fixed order."""
    return [client for client in CLIENTS if client.present(place)]
