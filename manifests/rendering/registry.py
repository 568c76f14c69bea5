"""The MCP registry's entry (static.modelcontextprotocol.io/schemas): where the server is had, and what may be set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .source import ROOT, Told, as_json, told

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
SECRET = frozenset({"endpoint_key"})


def rendered() -> dict[Path, str]:
    it = told()
    entry = {
        "$schema": SCHEMA,
        "name": it["registry"],
        "title": it["title"],
        "description": it["summary"],
        "repository": {"url": it["repository"], "source": "github"},
        "websiteUrl": it["repository"],
        "version": it.version,
        "packages": [_package(it, "npm", it["npm"], "npx"), _package(it, "pypi", it["pypi"], "uvx")],
    }
    return {ROOT / "manifests" / "registry" / "server.json": as_json(entry)}


def _package(it: Told, registry: str, identifier: str, runtime: str) -> dict[str, Any]:
    return {
        "registryType": registry,
        "identifier": identifier,
        "version": it.version,
        "runtimeHint": runtime,
        "transport": {"type": "stdio"},
        "environmentVariables": [
            {"name": environment_name(option), "description": text, "isRequired": False, "isSecret": option in SECRET}
            for option, text in it["options"].items()
        ],
    }


def environment_name(option: str) -> str:
    """The variable of a setting, as mcp_server/settings.py reads it."""
    return f"INTERNVL_MCP_{option.upper()}"
