"""The .mcpb bundle for Claude Desktop and others that take it: its manifest, and the project that uv runs in it.

scripts/build_bundle.py puts the wheel beside them and packs it. The server type is uv, so that nothing has to be
installed: the host brings uv, and uv brings Python and the dependencies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .registry import environment_name
from .source import ROOT, Told, as_json, told, tools

FOLDER = ROOT / "manifests" / "mcpb"


def rendered() -> dict[Path, str]:
    it = told()
    return {FOLDER / "manifest.json": as_json(_manifest(it)), FOLDER / "pyproject.toml": _project(it)}


def wheel_name(it: Told) -> str:
    """The file that hatchling makes for this version."""
    return f"{it['pypi'].replace('-', '_')}-{it.version}-py3-none-any.whl"


def _manifest(it: Told) -> dict[str, Any]:
    options = it["options"]
    return {
        "manifest_version": "0.4",
        "name": it["name"],
        "display_name": it["title"],
        "version": it.version,
        "description": it["summary"],
        "long_description": f"{it['about_it']}\n\n{it['privacy']}\n\nThe first start fetches about "
        f"{it['download_mb']} MB of Python packages.",
        "author": {"name": it["author"], "url": it["repository"]},
        "repository": {"type": "git", "url": it["repository"]},
        "homepage": it["repository"],
        "documentation": f"{it['repository']}#readme",
        "support": f"{it['repository']}/issues",
        "icon": "icon.png",
        "license": it["license"],
        "keywords": it["keywords"],
        "server": _server(),
        "tools": [{"name": tool.name, "description": tool.gives} for tool in tools()],
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": ">=3.11"}},
        "user_config": {
            "roots": {
                "type": "directory",
                "title": "Folders to read",
                "description": "Folders whose files may be read. No other file of this computer is opened.",
                "multiple": True,
                "required": True,
                "default": ["${HOME}/Desktop", "${HOME}/Documents", "${HOME}/Downloads"],
            },
            "endpoints": {
                "type": "string",
                "title": "A model's server (optional)",
                "description": options["endpoints"],
                "required": False,
                "default": "",
            },
            "endpoint_key": {
                "type": "string",
                "title": "Its key (optional)",
                "description": options["endpoint_key"],
                "required": False,
                "sensitive": True,
                "default": "",
            },
        },
    }


def _server() -> dict[str, Any]:
    """`uv run` of the entry point: hosts that know uv bundles start that themselves, others this command.

    --project and not --directory: the server stays in the folder that the host starts it in.
    """
    entry = "server.py"
    return {
        "type": "uv",
        "entry_point": entry,
        "mcp_config": {
            "command": "uv",
            "args": ["run", "--project", "${__dirname}", "${__dirname}/" + entry, "${user_config.roots}"],
            "env": {environment_name(option): f"${{user_config.{option}}}" for option in ("endpoints", "endpoint_key")},
        },
    }


def _project(it: Told) -> str:
    return f"""# Made by scripts/render. uv runs the wheel that lies in this bundle; its dependencies come from PyPI.
[project]
name = "{it["name"]}-bundle"
version = "{it.version}"
requires-python = ">=3.11"
dependencies = ["{it["pypi"]}"]

[tool.uv]
package = false

[tool.uv.sources]
{it["pypi"]} = {{ path = "{wheel_name(it)}" }}
"""
