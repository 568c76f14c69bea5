"""The plugin for Claude Code and Codex, the same for clients of Agent Plugins (agent-plugins.org), the marketplaces.

The first two read one folder: each finds its own manifest there, and both the same skill and server. Agent Plugins have
a folder of their own, because Codex prefers that form where it finds it, and then starts the server in the plugin's
folder, where no relative path means what the user meant. The marketplaces at the repository's root are what
`claude plugin marketplace add` and `codex plugin marketplace add` look for in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.descriptor import descriptor

from .source import AGENT_PLUGIN, PLUGIN, ROOT, SKILL, Told, as_json, told

_SCHEMAS = "https://agent-plugins.org/schemas/1.0.0"


def rendered() -> dict[Path, str]:
    """Each file of the plugins and the marketplaces, but for the skill, which is written by hand and copied here."""
    it = told()
    return {
        PLUGIN / ".claude-plugin" / "plugin.json": as_json(_claude(it)),
        PLUGIN / ".codex-plugin" / "plugin.json": as_json(_codex(it)),
        PLUGIN / ".mcp.json": as_json({"mcpServers": {it["server"]: it.server()}}),
        PLUGIN / "README.md": _readme(it, _INSTALLING),
        ROOT / ".claude-plugin" / "marketplace.json": as_json(_claude_marketplace(it)),
        ROOT / ".agents" / "plugins" / "marketplace.json": as_json(_codex_marketplace(it)),
        **_agent_plugin(it),
    }


def _agent_plugin(it: Told) -> dict[Path, str]:
    manifest = {"$schema": f"{_SCHEMAS}/plugin.schema.json", **_identity(it)}
    server = {"type": "stdio", **it.server()}
    return {
        AGENT_PLUGIN / "plugin.json": as_json(manifest),
        AGENT_PLUGIN / "mcp.json": as_json(
            {"$schema": f"{_SCHEMAS}/mcp.schema.json", "mcpServers": {it["server"]: server}}
        ),
        AGENT_PLUGIN / "README.md": _readme(it, _ROOTS),
        AGENT_PLUGIN / SKILL.relative_to(PLUGIN): SKILL.read_text(encoding="utf-8"),
    }


def _identity(it: Told) -> dict[str, Any]:
    """What all three manifests say alike."""
    return {
        "name": it["name"],
        "version": it.version,
        "description": it["summary"],
        "author": {"name": it["author"]},
        "homepage": it["repository"],
        "repository": it["repository"],
        "license": it["license"],
        "keywords": it["keywords"],
    }


def _claude(it: Told) -> dict[str, Any]:
    return {"$schema": "https://json.schemastore.org/claude-code-plugin-manifest.json", **_identity(it)}


def _codex(it: Told) -> dict[str, Any]:
    return {
        **_identity(it),
        "skills": "./skills/",
        "mcpServers": "./.mcp.json",
        "interface": {
            "displayName": it["title"],
            "shortDescription": it["summary"],
            "longDescription": f"{it['about_it']} {it['privacy']}",
            "developerName": it["author"],
            "category": it["category"],
            "websiteURL": it["repository"],
            "defaultPrompt": [
                "Read the tables of this PDF as Markdown.",
                "What does this screenshot say, and where is the error?",
                "When does the build fail in this screen recording?",
            ],
            "composerIcon": "./assets/icon.png",
            "logo": "./assets/icon.png",
        },
    }


def _claude_marketplace(it: Told) -> dict[str, Any]:
    return {
        "$schema": "https://json.schemastore.org/claude-code-marketplace.json",
        "name": it["name"],
        "description": it["summary"],
        "version": it.version,
        "owner": {"name": it["author"]},
        "plugins": [
            {
                "name": it["name"],
                "source": f"./{PLUGIN.relative_to(ROOT).as_posix()}",
                "description": it["summary"],
                "category": it["category"].lower(),
            }
        ],
    }


def _codex_marketplace(it: Told) -> dict[str, Any]:
    return {
        "name": it["name"],
        "interface": {"displayName": it["title"]},
        "plugins": [
            {
                "name": it["name"],
                "source": {"source": "local", "path": f"./{PLUGIN.relative_to(ROOT).as_posix()}"},
                "policy": {"installation": "AVAILABLE", "authentication": "ON_USE"},
                "category": it["category"],
            }
        ],
    }


_INSTALLING = """
```
/plugin install {name} --marketplace {project}      (in Claude Code)
codex plugin marketplace add {project} && codex plugin add {name}@{name}
```
"""
_ROOTS = """
Clients of Agent Plugins start a server in the plugin's own folder. Give the tools absolute paths; files may be read
under the folders that your client declares as its roots, and under those that `INTERNVL_MCP_ROOTS` names.
"""


def _readme(it: Told, part: str) -> str:
    started = " ".join(descriptor().launcher)
    part = part.format(name=it["name"], project=it["repository"].removeprefix("https://github.com/"))
    return f"""# {it["title"]}

{it["about_it"]}

{it["privacy"]}
{part}
The plugin brings the server, started as `{started}`, and a skill that tells an agent which of its tools
to use when. It needs Node 18 or later, and uv or Python 3.11 or later; at the first start about {it["download_mb"]} MB
are fetched. More, and everything that can be set: {it["repository"]}.

{it["license"]}. It depends on PyMuPDF, which is AGPL-3.0 or commercial.
"""
